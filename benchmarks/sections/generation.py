"""What generation computes for nothing: padding of prompts in a batch, and rows that have ended while others go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from benchmarks.texts import cut
from benchmarks.timing import in_turns, ratios
from layerrank.core.records import Candidates, Cost
from layerrank.models.decoder import Decoder
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine
from layerrank.ranking.generation import LEFT, Generation
from layerrank.ranking.reranker import Reranker

SECTION = "generation"
DTYPE = "float32"
BATCH_TOKENS, DEPTH, WORDS = 8192, 10, 60
CELLS: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any], int]] = (
    ("pointwise", {}, {}, 6),
    ("pairwise", {"sort": "heapsort", "k": 2}, {}, 4),
    ("setwise", {"sort": "heapsort", "k": 2}, {}, 8),
    ("listwise", {"size": 10}, {}, 12),
    ("setwise", {"sort": "heapsort", "k": 1}, {"prompt": "setwise_reasoning", "max_new_tokens": 256}, 4),
)
"""Frameworks, settings of generation, and the queries that keep each below a minute or two."""


def run(settings: Settings) -> Iterator[Row]:
    """Token positions computed, by cell, with answers written to the end of a batch and with rows that leave it."""
    decoder = settings.decoder(DTYPE, head=True)
    for framework, sort, own, queries in CELLS:
        own = {**own, "max_new_tokens": 24} if settings.quick and "max_new_tokens" in own else own
        cell = Cell(framework, "generation", sort, own)
        rows = _rows(settings, queries)
        built = cell.build(decoder)
        assert isinstance(built, Generation)

        def rank(cell: Cell = cell, built: Generation = built, rows: Sequence[Candidates] = rows) -> list[Cost]:
            engine = Engine(cell.sorter, built, name=cell.name, batch_tokens=BATCH_TOKENS)
            return [ranked.cost for ranked in engine.rank(rows)]

        case = f"{framework} {own.get('prompt', '')}".strip() + f", {len(rows)} queries"
        yield from _case(settings, case, decoder, built, rank)
    reranker = Reranker(settings.model, "listwise", "generation", framework_settings={"size": 10}, dtype=DTYPE)
    rows = _rows(settings, CELLS[3][-1])
    built = reranker._engine.mechanism
    assert isinstance(reranker.decoder, Decoder) and isinstance(built, Generation)

    def rank_many() -> list[Cost]:
        list(reranker.rank_many(rows))
        return reranker.costs

    yield from _case(settings, f"Reranker.rank_many, listwise, {len(rows)} queries", reranker.decoder, built, rank_many)


def _rows(settings: Settings, queries: int) -> list[Candidates]:
    """The collection's first queries, lists and texts cut."""
    return cut(settings.rows()[: 2 if settings.quick else queries], DEPTH, WORDS)


def _case(
    settings: Settings, case: str, decoder: Decoder, built: Generation, rank: Callable[[], list[Cost]]
) -> Iterator[Row]:
    positions = _Positions(decoder)
    counts: dict[str, tuple[int, int]] = {}
    costs: dict[str, list[Cost]] = {}

    def ranked(name: str, left: int) -> None:
        positions.prompts = positions.written = 0
        built.left = left
        costs[name] = rank()
        counts[name] = positions.prompts, positions.written

    runs = {"to the end": lambda: ranked("to the end", sys.maxsize), "leaving": lambda: ranked("leaving", LEFT)}
    seconds = in_turns(runs, 1, settings.device, warmup=False)
    positions.remove()
    for name, (prompts, written) in counts.items():
        real = sum(cost.computed_tokens for cost in costs[name])
        answers = sum(cost.groups - cost.memo_hits for cost in costs[name])
        used = sum(cost.generated_tokens for cost in costs[name]) - answers  # the last token is not read again
        whole = prompts + written
        target = "≤ 10" if name == "leaving" else ""
        yield Row(SECTION, case, f"positions computed, {name}", "", float(whole))
        yield Row(SECTION, case, f"lost to padding, {name}", "%", 100 * (prompts - real) / whole)
        yield Row(SECTION, case, f"lost to rows that have ended, {name}", "%", 100 * (written - used) / whole)
        yield Row(SECTION, case, f"lost, {name}", "%", 100 * (whole - real - used) / whole, target=target)
    same = [(cost.generated_tokens, cost.outcomes) for cost in costs["leaving"]]
    alike = sum(
        one == (cost.generated_tokens, cost.outcomes) for one, cost in zip(same, costs["to the end"], strict=True)
    )
    yield Row(SECTION, case, "queries with the same answers", "%", 100 * alike / max(1, len(same)))
    yield row_of(SECTION, case, "faster by leaving", "×", ratios(seconds["to the end"], seconds["leaving"]))


class _Positions:
    """Counts token positions that the model runs: of prompts, and of tokens written."""

    def __init__(self, decoder: Decoder) -> None:
        self.prompts = self.written = 0
        self._hook = decoder.model.get_input_embeddings().register_forward_hook(self._count)

    def remove(self) -> None:
        self._hook.remove()

    def _count(self, _: Any, given: Any, __: Any) -> None:
        rows, length = given[0].shape
        if length > 1:
            self.prompts += rows * length
        else:
            self.written += rows
