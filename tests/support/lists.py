"""Candidates of random words, the same in every run."""

from __future__ import annotations

import random

from layerrank.core.records import Candidates, Passage, Query

WORDS = ["wings", "air", "lift", "bread", "yeast", "oven", "sugar", "layers", "flows", "rises"]


def drawn(count: int, n: int, words: range, *, query: int = 1, fewer: bool = False, seed: int = 7) -> list[Candidates]:
    """`count` queries, `q0` of `query` words and each next of one more, with `n` passages of so many `words`.

    With `fewer`, each next query has one passage less.
    """
    source = random.Random(seed)
    rows = []
    for number in range(count):
        text = " ".join(source.choices(WORDS, k=query + number))
        places = range(n - number * fewer)
        passages = [Passage(f"p{place}", " ".join(source.choices(WORDS, k=source.choice(words)))) for place in places]
        rows.append(Candidates(Query(f"q{number}", text), tuple(passages), tuple(float(-place) for place in places)))
    return rows
