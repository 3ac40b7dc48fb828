"""Made-up candidates of any length, the same everywhere, so that anyone can repeat a measurement."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from layerrank.core.records import Candidates, Passage, Query
from layerrank.prompts.icr import IcrPrompt, build_icr

_WORDS = (
    "the of and a to in is that for it as was with be by on not he this are or his from at which but have an had they "
    "flow pressure layer boundary surface wing heat transfer theory plate velocity number wave shock supersonic body "
    "method result solution problem effect distribution temperature laminar turbulent stream edge angle attack ratio "
    "equation experiment measured value range small large case given used between above under near point line field "
    "structure load stress shell buckling cylinder nose cone jet nozzle air gas density energy motion stability"
)
WORDS = tuple(_WORDS.split())


def made_up(queries: int, passages: int, words: int, seed: int = 0) -> list[Candidates]:
    """Candidates of random common words; passages vary by a fifth around `words`."""
    rng = random.Random(seed)
    rows = []
    for number in range(queries):
        texts = [
            " ".join(rng.choices(WORDS, k=rng.randint(round(0.8 * words), round(1.2 * words)))) for _ in range(passages)
        ]
        query = Query(f"q{number}", " ".join(rng.choices(WORDS, k=9)))
        rows.append(
            Candidates(
                query,
                tuple(Passage(f"d{number}-{index}", text) for index, text in enumerate(texts)),
                tuple(float(passages - index) for index in range(passages)),
            )
        )
    return rows


def cut(rows: Sequence[Candidates], depth: int, words: int) -> list[Candidates]:
    """Candidates with lists of at most `depth` passages, and texts of at most so many words."""
    return [
        Candidates(
            row.query,
            tuple(
                Passage(each.pid, " ".join(each.text.split(" ")[:words]), each.title) for each in row.passages[:depth]
            ),
            row.scores[:depth],
        )
        for row in rows
    ]


def prompt_of(tokenizer: Any, family: str, tokens: int, words: int = 100, seed: int = 0) -> IcrPrompt:
    """One query's prompt of about `tokens` tokens: passages of about `words` words, as many as fit."""
    passages = max(1, round(tokens / (1.25 * words)))
    for _ in range(6):
        row = made_up(1, passages, words, seed)[0]
        prompt = build_icr(tokenizer, family, row.query, row.passages)
        if abs(prompt.tree.tokens - tokens) < 0.02 * tokens:
            break
        scale = tokens / prompt.tree.tokens
        if passages > 4 and abs(round(passages * scale) - passages) >= 1:
            passages = round(passages * scale)
        else:
            words = max(4, round(words * scale))
    return prompt
