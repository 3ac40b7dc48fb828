"""What the explorer shows of one query: exact rankings under every window, and the tokens and heads behind them.

Scores, orders and values are those of `attention.scores` and `evaluation.measures`, window by window; nothing is
recomputed on the page. Only the shading of tokens and heads is quantised when a page is written (`explorer.page`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layerrank.attention.scores import MASKED, sweep_scores
from layerrank.attention.signal import Signal
from layerrank.core.errors import InputError, UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Judgements = Mapping[str, int]

TOP_TOKENS = 3
"""Tokens that a sentence names."""

CALIBRATED, RAW, NA = SIGNALS = ("calibrated", "raw", "na")
"""What a token is shown to get: the query's attention less that of `N/A`, the query's alone, that of `N/A` alone."""

_NAMED = {CALIBRATED: "", RAW: " of the query's attention", NA: " of the attention of N/A"}


@dataclass(frozen=True, eq=False)
class View:
    """One query's candidates in one order, under every window.

    Attributes:
        name: of the order, `first stage` for the study's own.
        places: int[N], each passage's number in the prompt, from 1; passages in the first view's input order.
        scores: float64[W, N], windows in the order of `all_windows`.
        orders: int[W, N], passages by falling score; ties keep the order that the prompt was made from.
        values: float64[W], the measure; None where the query is not judged.
    """

    name: str
    places: Ints
    scores: Floats
    orders: Ints
    values: Floats | None


@dataclass(frozen=True, eq=False)
class Run:
    """Another system's ranking of a query: passages by falling rank, and the measure (None where not judged)."""

    order: Ints
    value: float | None


@dataclass(frozen=True, eq=False)
class QueryView:
    """One query with its N candidates, L layers and H heads.

    Attributes:
        query: id and text.
        passages: in first-stage order, best first.
        first_scores: float64[N], the first stage's.
        grades: of the passages; None where a passage is not judged.
        views: the study's own order first, then the others.
        pieces: each passage's text as the prompt shows it, cut into its tokens.
        signal: float32[L, T], (q − n)[l, t] of the first view (semantics.md §2).
        sums: float32[L, H, N] by name of `SUMS`, of the first view.
        na: float32[L, T], n[l, t] of the first view; None where it was not kept.
        runs: other systems' rankings, by name.
        first_value: the measure of the first stage's order; None where the query is not judged.
        ceiling: the measure of the best order of the candidates; None likewise.
    """

    query: Query
    passages: tuple[Passage, ...]
    first_scores: Floats
    grades: tuple[int | None, ...]
    views: tuple[View, ...]
    pieces: tuple[tuple[str, ...], ...]
    signal: npt.NDArray[np.float32]
    sums: Mapping[str, npt.NDArray[np.float32]]
    runs: Mapping[str, Run]
    first_value: float | None
    ceiling: float | None
    na: npt.NDArray[np.float32] | None = None

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return int(self.signal.shape[0])

    def column(self, window: LayerWindow) -> int:
        """Position of a window among the W windows."""
        if window.end >= self.layers:
            raise UserError(f"window {window}: query {self.query.qid} has layers 0 to {self.layers - 1}")
        return window.start * self.layers - window.start * (window.start - 1) // 2 + window.end - window.start

    def order(self, window: LayerWindow, view: int = 0) -> Ints:
        """int[N]: passages by falling score under a window."""
        return self.views[view].orders[self.column(window)]

    def rank(self, passage: int, window: LayerWindow, view: int = 0) -> int:
        """Rank of a passage, from 1."""
        return int(np.flatnonzero(self.order(window, view) == passage)[0]) + 1

    def tokens(self, signal: str = CALIBRATED) -> npt.NDArray[np.float32]:
        """float32[L, T] of one of `SIGNALS`. Raises `UserError` for another, and where the store has no `N/A`."""
        if signal not in SIGNALS:
            raise InputError(f"signal {signal!r}: one of {', '.join(SIGNALS)}")
        if signal == CALIBRATED:
            return self.signal
        if self.na is None:
            raise UserError(f"signal {signal!r}: query {self.query.qid} was read without the tokens of N/A")
        return self.na if signal == NA else self.signal + self.na

    def heads(self, signal: str = CALIBRATED) -> npt.NDArray[np.float32]:
        """float32[L, H, N] of one of `SIGNALS`, summed over a passage's tokens."""
        query, na = self.sums["query"], self.sums["na"]
        return {CALIBRATED: query - na, RAW: query, NA: na}[signal]

    def token_scores(
        self, passage: int, window: LayerWindow, signal: str = CALIBRATED
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """What a passage's tokens get under a window, and which of them count (semantics.md §2).

        The mask is of the calibrated signal, which makes the score; every token counts of the others.
        """
        ends = np.cumsum([len(pieces) for pieces in self.pieces])
        tokens = slice(int(ends[passage]) - len(self.pieces[passage]), int(ends[passage]))
        c = self.tokens(signal)[window.start : window.end + 1, tokens].sum(axis=0, dtype=np.float64)
        if len(c) < 2 or signal != CALIBRATED:
            return c, np.ones(len(c), dtype=bool)
        return c, c > c.mean() - 2 * c.std(ddof=1)


def view_query(
    candidates: Candidates,
    signals: Mapping[str, Signal],
    pieces: Sequence[Sequence[str]],
    *,
    judgements: Judgements | None = None,
    measure: str = "nDCG@10",
    strategy: str = MASKED,
    runs: Mapping[str, Sequence[str]] | None = None,
) -> QueryView:
    """Gather what the explorer shows of a query.

    Args:
        candidates: in first-stage order.
        signals: by name of the order, the study's own first; each may be of fewer or reordered passages, not of others.
        pieces: of each passage, `prompts.icr.passage_pieces`.
        judgements: grades by passage; None where the query is not judged.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2.
        runs: passage ids by falling rank, by system.

    Raises:
        UserError: a signal of other passages, or pieces that do not fit the signal's tokens.
    """
    pids = [passage.pid for passage in candidates.passages]
    at = {pid: place for place, pid in enumerate(pids)}
    views = [
        _view(name, signal, at, judgements, measure, strategy)
        for name, signal in signals.items()
        if set(signal.pids) <= at.keys()
    ]
    own = next(iter(signals.values()))
    if list(own.pids) != pids:
        raise UserError(f"query {own.qid}: signal of other candidates; extract it again")
    if [len(tokens) for tokens in pieces] != own.lengths.tolist():
        raise UserError(f"query {own.qid}: the tokenizer cuts its passages otherwise than the signal has them")
    known = judgements or {}
    first = np.arange(len(pids))[None, :]
    grades = tuple(known.get(pid) for pid in pids)
    best = np.array(sorted(range(len(pids)), key=lambda place: -(grades[place] or 0)), dtype=np.int64)[None, :]
    value = {
        name: float(measures.of_orders(measure, judgements, pids, order)[0]) if judgements else None
        for name, order in (("first", first), ("ceiling", best))
    }
    return QueryView(
        query=candidates.query,
        passages=candidates.passages,
        first_scores=np.array(candidates.scores, dtype=np.float64),
        grades=grades,
        views=tuple(views),
        pieces=tuple(tuple(tokens) for tokens in pieces),
        signal=own.signal,
        sums=own.sums,
        na=own.na,
        runs={name: _run(order, at, judgements, measure) for name, order in (runs or {}).items()},
        first_value=value["first"],
        ceiling=value["ceiling"],
    )


def _run(ranked: Sequence[str], at: Mapping[str, int], judgements: Judgements | None, measure: str) -> Run:
    known = [pid for pid in ranked if pid in at]
    values = measures.of_orders(measure, judgements, known, np.arange(len(known))[None, :]) if judgements else None
    return Run(np.array([at[pid] for pid in known], dtype=np.int64), None if values is None else float(values[0]))


def _view(
    name: str, signal: Signal, at: Mapping[str, int], judgements: Judgements | None, measure: str, strategy: str
) -> View:
    """A signal's scores and orders under every window, passages as the first view counts them."""
    scores = sweep_scores(signal, strategy)
    orders = np.argsort(-scores, axis=1, kind="stable")
    to = np.array([at[pid] for pid in signal.pids], dtype=np.int64)
    mapped = np.full((len(scores), len(at)), np.nan)
    mapped[:, to] = scores
    places = np.zeros(len(at), dtype=np.int64)
    places[to] = len(to) - np.arange(len(to))  # the prompt shows the input order reversed, numbered from 1
    values = measures.of_orders(measure, judgements, signal.pids, orders) if judgements else None
    return View(name, places, mapped, to[orders], values)


def discordance(one: Ints, other: Ints) -> Floats:
    """float64[W]: share of passage pairs that two orders int[W, N] of the same passages rank the other way round.

    Kendall's τ is 1 − 2 · share, since an order has no ties.
    """
    windows, n = one.shape
    pairs = n * (n - 1) / 2
    a, b = np.argsort(one, axis=1), np.argsort(other, axis=1)
    share = np.empty(windows)
    for begin in range(0, windows, 64):
        block = slice(begin, begin + 64)
        above = a[block, :, None] < a[block, None, :]
        share[block] = (above & (b[block, :, None] > b[block, None, :])).sum(axis=(1, 2)) / max(pairs, 1)
    return share


def describe(view: QueryView, passage: int, window: LayerWindow, signal: str = CALIBRATED) -> str:
    """One sentence that follows from the numbers: how far a passage moved, what carries its score, where it stood.

    The head and the tokens are those of one of `SIGNALS`, which is named where it is not the calibrated one.

    Such as: "Rose from 15 to 1: layer 10, head 4 gives the most; 'the', 'the', 'longitude' give 61% of the score; stood
    first in the prompt; rank 9 when reversed."
    """
    n = len(view.passages)
    to = view.rank(passage, window)
    parts = [_moved(passage + 1, to), *_carried(view, passage, window, signal)]
    place = int(view.views[0].places[passage])
    parts.append(f"stood {_nth(place, n)} in the prompt")
    others = [(number, other.name) for number, other in enumerate(view.views) if number and other.places[passage]]
    found = ", ".join(str(view.rank(passage, window, number)) for number, _ in others)
    names = ", ".join(name for _, name in others)
    if others:
        parts.append(f"rank {found} when {names}" if len(others) == 1 else f"ranks {found} in other orders ({names})")
    head, *rest = parts
    return f"{head}: {'; '.join(rest)}."


def _carried(view: QueryView, passage: int, window: LayerWindow, signal: str) -> list[str]:
    """The head and the tokens that give most of a passage's score."""
    inside = view.heads(signal)[window.start : window.end + 1, :, passage]
    layer, head = np.unravel_index(int(np.argmax(inside)), inside.shape)
    parts = [f"layer {window.start + int(layer)}, head {int(head)} gives the most{_NAMED[signal]}"]
    c, kept = view.token_scores(passage, window, signal)
    total = float(c[kept].sum())
    if total > 0 and len(c):
        top = [int(t) for t in np.argsort(-np.where(kept, c, -np.inf), kind="stable")[:TOP_TOKENS] if kept[t]]
        words = ", ".join(f"'{shown(view.pieces[passage][t])}'" for t in top)
        share = 100 * float(c[top].sum()) / total
        parts.append(
            f"{words} {'give' if len(top) > 1 else 'gives'} {share:.0f}% of {'it' if _NAMED[signal] else 'the score'}"
        )
    return parts


def shown(piece: str) -> str:
    """A token as a sentence quotes it: without the space around it, and visible where it is nothing else."""
    return piece.strip() or ("↵" if "\n" in piece else "␣")


def _moved(before: int, after: int) -> str:
    if before == after:
        return f"Stayed at {after}"
    return f"{'Rose' if after < before else 'Fell'} from {before} to {after}"


def _nth(place: int, of: int) -> str:
    if place == of:
        return "last (next to the query)"
    return "first" if place == 1 else f"at place {place} of {of}"
