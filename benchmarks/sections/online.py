"""Setwise heapsort, many queries side by side, against one comparison at a time and against plain batched prefill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from benchmarks.texts import made_up
from benchmarks.timing import in_turns, ratios
from layerrank.core.records import Candidates
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import Decoder
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine, Ranked
from layerrank.ranking.mechanism import Answer, Mechanism, Work

SECTION = "online"
DTYPE = "bfloat16"
BATCH_TOKENS = 8192
QUERIES, DEPTH, WORDS, TOP = 20, 8, 24, 2


def run(settings: Settings) -> Iterator[Row]:
    """Passes, seconds and tokens a second of the three mechanisms."""
    rows = made_up(2 if settings.quick else QUERIES, DEPTH, 10 if settings.quick else WORDS)
    for mechanism in ("attention", "likelihood", "generation"):
        decoder = settings.decoder(DTYPE, head=mechanism != "attention")
        windows = LayerWindow(0, decoder.layers - 1) if mechanism == "attention" else None
        family = settings.family if mechanism == "attention" else None
        cell = Cell("setwise", mechanism, {"sort": "heapsort", "c": 2, "k": TOP}, family=family, windows=windows)
        built = cell.build(decoder)
        yield from _cell(settings, cell, decoder, built, rows)


def _cell(
    settings: Settings, cell: Cell, decoder: Decoder, built: Mechanism, rows: Sequence[Candidates]
) -> Iterator[Row]:
    case = f"setwise heapsort, {cell.mechanism}, {len(rows)} queries, {DTYPE}"
    passes = _Passes(decoder)
    seen = _Seen(built)
    _rank(cell, seen, rows[:1], BATCH_TOKENS, len(rows))
    found: dict[str, list[Ranked]] = {}
    counts: dict[str, int] = {}
    works: dict[str, list[Work]] = {}

    def ranked(name: str, batch_tokens: int, queries: int) -> None:
        passes.number = 0
        seen.works.clear()
        found[name] = _rank(cell, seen, rows, batch_tokens, queries)
        counts[name], works[name] = passes.number, list(seen.works)

    runs = {
        "batched": lambda: ranked("batched", BATCH_TOKENS, len(rows)),
        "one by one": lambda: ranked("one by one", 1, 1),
    }
    seconds = in_turns(runs, 1, settings.device, warmup=False)
    sequences = [_ids(work.prompt) for work in works["batched"]]
    again = {"prefill": lambda: _prefill(decoder, sequences), "batched": runs["batched"]}
    seconds |= in_turns(again, max(1, settings.rounds - 1), settings.device, warmup=False)
    orders = {name: {one.ranking.qid: one.ranking.pids for one in done} for name, done in found.items()}
    same = sum(orders["batched"][qid] == order for qid, order in orders["one by one"].items())
    yield Row(SECTION, case, "comparisons", "", float(sum(one.cost.groups for one in found["batched"])))
    yield Row(SECTION, case, "known already", "", float(sum(one.cost.memo_hits for one in found["batched"])))
    yield Row(SECTION, case, "same ranking as one by one", "%", 100 * same / len(rows))
    single = seconds["one by one"]
    tokens = sum(len(ids) for ids in sequences)
    for name, number in counts.items():
        yield Row(SECTION, case, f"forward passes, {name}", "", float(number))
    yield Row(
        SECTION, case, "fewer passes than one by one", "×", counts["one by one"] / counts["batched"], target="≥ 3"
    )
    yield row_of(SECTION, case, "batched", "s", seconds["batched"])
    yield row_of(SECTION, case, "one by one", "s", single)
    yield row_of(SECTION, case, "plain batched prefill of the same tokens", "s", seconds["prefill"])
    yield row_of(SECTION, case, "faster than one by one", "×", [single[0] / one for one in seconds["batched"]])
    yield row_of(SECTION, case, "tokens a second", "1/s", [tokens / one for one in seconds["batched"]])
    share = [100 * one for one in ratios(seconds["prefill"], seconds["batched"])]
    yield row_of(SECTION, case, "rate, share of plain prefill's", "%", share, "≥ 75")


def _rank(
    cell: Cell, mechanism: Mechanism, rows: Sequence[Candidates], batch_tokens: int, queries: int
) -> list[Ranked]:
    engine = Engine(cell.sorter, mechanism, name=cell.name, batch_tokens=batch_tokens, queries_at_once=queries)
    return list(engine.rank(rows))


class _Seen:
    """A mechanism that keeps the works it scores."""

    def __init__(self, mechanism: Mechanism) -> None:
        self.mechanism = mechanism
        self.works: list[Work] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mechanism, name)

    def score(self, works: Sequence[Work]) -> list[Answer]:
        self.works += works
        return self.mechanism.score(works)


class _Passes:
    """Counts the model's forward passes."""

    def __init__(self, decoder: Decoder) -> None:
        self.number = 0
        decoder.model.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.number += 1


def _ids(prompt: Any) -> list[int]:
    """All tokens that a mechanism has the model read for one group, as one sequence."""
    tree = getattr(prompt, "tree", None)
    if tree is None:
        return list(prompt)
    return [*tree.prefix, *(token for branch in tree.branches for token in branch)]


@torch.inference_mode()
def _prefill(decoder: Decoder, sequences: Sequence[Sequence[int]]) -> None:
    """The model itself over padded batches, longest first, nothing kept."""
    waiting = sorted(sequences, key=len, reverse=True)
    while waiting:
        size = max(1, BATCH_TOKENS // len(waiting[0]))
        batch, waiting = waiting[:size], waiting[size:]
        ids = torch.zeros((len(batch), len(batch[0])), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(batch):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        decoder.model(input_ids=ids.to(decoder.device), attention_mask=mask.to(decoder.device), use_cache=False)
