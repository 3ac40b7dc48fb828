"""Beginnings that groups of a round share, computed once, against each group in full: tokens, passes and seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from benchmarks.texts import cut
from benchmarks.timing import in_turns, ratios
from layerrank.core.records import Candidates
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import Decoder
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine, Ranked
from layerrank.ranking.mechanism import Answer, Mechanism, Request, Work

SECTION = "sharing"
DTYPE = "float32"
QUERIES, DEPTH, WORDS = 20, 20, 60
FULL_WORDS = 20
SORTS: Sequence[tuple[str, Mapping[str, Any], int, int, int]] = (
    ("pointwise", {}, 4, 20, DEPTH),
    ("pairwise", {"sort": "allpair"}, 1, 10, 6),
    ("pairwise", {"sort": "heapsort", "k": 2}, 2, 20, DEPTH),
    ("setwise", {"sort": "heapsort", "k": 2}, 4, 20, DEPTH),
    ("listwise", {"size": 10, "step": 5}, 4, 20, DEPTH),
)
"""Frameworks, the queries and depth that keep each below a minute or two, and the depth with `--full`.

That has 20 queries, texts of 20 words and one round; all pairs of 20 passages would take longer than all else together.
"""


def run(settings: Settings) -> Iterator[Row]:
    """Every framework by likelihood, and by attention up to a third of the layers."""
    decoder = settings.decoder(DTYPE, head=True)
    window = LayerWindow(0, max(0, decoder.layers // 3 - 1))
    for mechanism in ("likelihood", "attention"):
        own: dict[str, Any] = {} if mechanism == "likelihood" else {"family": settings.family, "windows": window}
        for framework, sort, queries, depth, full in SORTS:
            cell = Cell(framework, mechanism, sort, **own)
            rows = _rows(settings, *((QUERIES, full) if settings.full else (queries, depth)))
            yield from _cell(settings, cell, decoder, rows)


def _rows(settings: Settings, queries: int, depth: int) -> list[Candidates]:
    """The collection's first queries, lists and texts cut."""
    depth, words = 5 if settings.quick else depth, FULL_WORDS if settings.full else WORDS
    return cut(settings.rows()[: 2 if settings.quick else queries], depth, words)


def _cell(settings: Settings, cell: Cell, decoder: Decoder, rows: Sequence[Candidates]) -> Iterator[Row]:
    sort = cell.framework_settings.get("sort", "")
    case = f"{cell.framework} {sort}".strip() + f", {cell.mechanism}, {len(rows)} × {len(rows[0])}"
    counter = _Counter(decoder)
    watched = {share: _Rounds(cell.build(decoder, share=share == "on")) for share in ("off", "on")}
    found: dict[str, list[Ranked]] = {}
    counts: dict[str, tuple[int, int]] = {}

    def ranked(share: str) -> None:
        counter.tokens = counter.passes = 0
        watched[share].rounds.clear()
        found[share] = list(Engine(cell.sorter, watched[share], name=cell.name).rank(rows))
        counts[share] = counter.tokens, counter.passes

    list(Engine(cell.sorter, watched["on"], name=cell.name).rank(rows[:1]))
    runs = {"off": lambda: ranked("off"), "on": lambda: ranked("on")}
    seconds = in_turns(runs, 1 if settings.full else settings.rounds, settings.device, warmup=False)
    counter.remove()
    (written, passes_off), (computed, passes_on) = counts["off"], counts["on"]
    allowed = sum(fewest([work.prompt.tree for work in works]) for works in watched["on"].rounds)
    orders = {share: {one.ranking.qid: one.ranking.pids for one in done} for share, done in found.items()}
    same = sum(orders["on"][qid] == order for qid, order in orders["off"].items())
    kept = sum(one.cost.computed_tokens for one in found["on"])
    yield Row(SECTION, case, "tokens written", "", float(written))
    yield Row(SECTION, case, "tokens computed", "", float(computed), note=f"{kept} in the costs")
    yield Row(SECTION, case, "the fewest that the rounds allow", "", float(allowed))
    yield Row(SECTION, case, "the fewest, share of computed", "%", 100 * allowed / computed, target="≥ 90")
    saved = 100 * (written - computed) / (written - allowed) if written > allowed else 100.0
    yield Row(SECTION, case, "saved of what can be saved", "%", saved)
    yield Row(SECTION, case, "passes in full", "", float(passes_off))
    yield Row(SECTION, case, "passes", "", float(passes_on))
    yield row_of(SECTION, case, "in full", "s", seconds["off"])
    yield row_of(SECTION, case, "shared", "s", seconds["on"])
    yield row_of(SECTION, case, "faster", "×", ratios(seconds["off"], seconds["on"]))
    yield Row(SECTION, case, "same ranking", "%", 100 * same / len(rows), target="≥ 100")


def fewest(trees: Sequence[Any]) -> int:
    """Tokens that prompts take at least: different beginnings, counted one by one, and all branches."""
    beginnings = set()
    for tree in trees:
        before = 0
        for token in tree.prefix:
            before = hash((before, token))
            beginnings.add(before)
    return len(beginnings) + sum(len(branch) for tree in trees for branch in tree.branches)


class _Rounds:
    """A mechanism that keeps the works of each round: those that are made ready before anything is scored."""

    def __init__(self, mechanism: Mechanism) -> None:
        self.mechanism = mechanism
        self.rounds: list[list[Work]] = []
        self._scored = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mechanism, name)

    def prepare(self, request: Request) -> Work:
        work = self.mechanism.prepare(request)
        if self._scored or not self.rounds:
            self.rounds.append([])
            self._scored = False
        self.rounds[-1].append(work)
        return work

    def score(self, works: Sequence[Work]) -> list[Answer]:
        self._scored = True
        return self.mechanism.score(works)


class _Counter:
    """Counts the tokens that the model is given, and its passes."""

    def __init__(self, decoder: Decoder) -> None:
        self.tokens = self.passes = 0
        self._hook = decoder.model.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, _: Any, given: Any, __: Any) -> None:
        self.tokens += given[0].numel()
        self.passes += 1

    def remove(self) -> None:
        """Count no more."""
        self._hook.remove()
