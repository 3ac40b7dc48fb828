"""A study's page: which of its queries it shows, and everything it shows of them, from what lies on the disk."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from layerrank.attention.explorer.page import Curves, Preset
from layerrank.attention.explorer.view import QueryView, discordance, view_query
from layerrank.attention.scores import window_scores
from layerrank.attention.signal import Signal
from layerrank.attention.store import read_signals, stored_layers, stored_qids
from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.progress import counted
from layerrank.core.records import Candidates
from layerrank.core.windows import LayerWindow, read_selection, rule_of, window_label
from layerrank.evaluation import measures
from layerrank.prompts.icr import PromptSettings, passage_pieces

_log = logging.getLogger(__name__)

ALL = "all"


@dataclass(frozen=True, eq=False)
class Sources:
    """What a page is made from.

    Attributes:
        candidates: of the study's own order.
        signals: files by name of the order, the study's own first.
        qrels: judgements.
        runs: run files by system.
        presets: windows by name; the first is the one that queries are chosen by.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2.
        prompt: settings that the signals were read with.
        na_tokens: show what `N/A` alone pays each token, where the signals have it.
    """

    candidates: Path
    signals: Mapping[str, Sequence[Path]]
    qrels: Path
    runs: Mapping[str, Path]
    presets: Sequence[Preset]
    measure: str
    strategy: str
    prompt: PromptSettings
    na_tokens: bool = True


Key = Callable[["_Glance"], float]


@dataclass(frozen=True, eq=False)
class _Glance:
    """A query under all layers and under its chosen window: orders int[2, N] in each order of the candidates."""

    orders: Mapping[str, npt.NDArray[np.int64]]
    pids: Mapping[str, tuple[str, ...]]
    value: float


def _changed(glance: _Glance) -> float:
    everything, chosen = next(iter(glance.orders.values()))
    return -float(discordance(everything[None], chosen[None])[0])


def _unstable(glance: _Glance) -> float:
    """Mean Kendall's τ of the chosen window's rankings between orders; queries that have one order alone come last."""
    ranked = [
        [glance.pids[name][place] for place in orders[1]]
        for name, orders in glance.orders.items()
        if set(glance.pids[name]) == set(next(iter(glance.pids.values())))
    ]
    at = {pid: place for place, pid in enumerate(ranked[0])}
    numbers = [np.array([[at[pid] for pid in order]]) for order in ranked]
    pairs = [1 - 2 * float(discordance(a, b)[0]) for a, b in itertools.combinations(numbers, 2)]
    return float(np.mean(pairs)) if pairs else 2.0


CHOICES: Mapping[str, Key] = {
    "changed": _changed,
    "unstable": _unstable,
    "worst": lambda glance: glance.value,
}
"""How queries are chosen: name → a number by which they are sorted, lowest first; ties stay in the study's order."""


def presets(names: Sequence[str], selections: Sequence[Path], layers: int) -> list[Preset]:
    """The windows of `names` as presets, in their order; a selected one needs the file of its rule.

    Raises `UserError` for a selected window without a file, and for one beyond the layers.
    """
    rules = {found.rule: found for found in map(read_selection, selections)}
    made = []
    for name in names:
        rule = rule_of(name)
        if rule is None:
            made.append(Preset(window_label(name), LayerWindow.parse(name, layers), {}))
        elif rule not in rules:
            raise UserError(f"window {name!r}: needs the file of its selection (--selections)")
        else:
            found = rules[rule]
            own = {qid: chosen.window for chosen in found.windows for qid in chosen.qids}
            made.append(Preset(f"{rule} window", found.default, own, found.upper_bound))
    return made


def curves(profile: Path | None, orders: Sequence[Path], measure: str, layers: int) -> Curves:
    """What stands behind the slider, from the tables of the profile and of the input orders, where there are any."""
    by_layer: dict[int, float] = {}
    if profile is not None:
        frame = frames.read_frame(profile, frames.PROFILE)
        own = frame[frame["measure"] == measure]
        by_layer = dict(zip(own["layer"].astype(int), own["mean"].astype(float), strict=True))
    return Curves([by_layer.get(layer) for layer in range(layers)], *_shares(orders, layers))


def _shares(orders: Sequence[Path], layers: int) -> tuple[list[float], list[float]]:
    """Shares of passage and place by layer, of 0 to 1; none where the study has too few shuffles to tell."""
    if not orders:
        return [], []
    frame = frames.read_frames(orders, frames.ORDERS)
    own = frame[frame["start"] == frame["end"]].drop_duplicates("start").set_index("start").reindex(range(layers))
    passage, place = (own[name].to_numpy(dtype=np.float64) for name in ("passage", "place"))
    if not (np.isfinite(passage) & np.isfinite(place)).all():
        return [], []
    return np.clip(passage, 0, 1).tolist(), np.clip(place, 0, 1).tolist()


def study_views(
    sources: Sources, tokenizer: Any, chosen: str | Sequence[str] = "changed", queries: int | None = 50
) -> list[QueryView]:
    """The views of the chosen queries, in the study's order.

    Args:
        sources: files and settings.
        tokenizer: the model's.
        chosen: a name of `CHOICES`, `all`, or the ids of queries.
        queries: the most that are shown; None: no limit. An own list is shown whole.

    Raises:
        UserError: an unknown choice, a query that has no signal, signals of other candidates.
    """
    rows = {row.query.qid: row for row in files.read_candidates(sources.candidates) if len(row)}
    own, *others = sources.signals.items()
    held = stored_qids(own[1])
    if missing := [qid for qid in rows if qid not in held]:
        raise UserError(f"query {missing[0]} and {len(missing) - 1} more have candidates and no signal")
    qrels = files.read_qrels(sources.qrels)
    wanted = _wanted(sources, list(rows), qrels, chosen, queries)
    runs = {
        system: {ranking.qid: ranking.pids for ranking in files.read_run(path)} for system, path in sources.runs.items()
    }
    kept: dict[str, dict[str, Signal]] = {qid: {} for qid in wanted}
    for name, paths in (own, *others):
        for signal in read_signals(paths, wanted):
            kept[signal.qid][name] = signal
    _log.info("%d of %d queries are shown", len(wanted), len(rows))
    return [
        _view(sources, tokenizer, rows[qid], kept.pop(qid), qrels.get(qid), runs)
        for qid in counted(wanted, "explorer", total=len(wanted))
    ]


def _view(
    sources: Sources,
    tokenizer: Any,
    row: Candidates,
    signals: Mapping[str, Signal],
    judgements: Mapping[str, int] | None,
    runs: Mapping[str, Mapping[str, Sequence[str]]],
) -> QueryView:
    prompt = sources.prompt
    if not sources.na_tokens:
        signals = {name: replace(signal, na=None) for name, signal in signals.items()}
    return view_query(
        row,
        signals,
        passage_pieces(tokenizer, prompt.family, row.query, row.passages, prompt.instruction),
        judgements=judgements,
        measure=sources.measure,
        strategy=sources.strategy,
        runs={system: ranked[row.query.qid] for system, ranked in runs.items() if row.query.qid in ranked},
    )


def _wanted(
    sources: Sources, qids: Sequence[str], qrels: files.Qrels, chosen: str | Sequence[str], queries: int | None
) -> list[str]:
    if not isinstance(chosen, str):
        if unknown := [qid for qid in chosen if qid not in qids]:
            raise UserError(f"explorer: query {unknown[0]!r} has no candidates in this study")
        return [qid for qid in qids if qid in set(chosen)]
    if chosen == ALL or queries is None or len(qids) <= queries:
        return list(qids)[: queries if chosen == ALL else None]
    try:
        key = CHOICES[chosen]
    except KeyError:
        raise UserError(f"explorer: chosen is {chosen!r}; one of {', '.join((*CHOICES, ALL))}, or a list") from None
    glances = _glances(sources, qids, qrels)
    best = sorted(qids, key=lambda qid: key(glances[qid]))[:queries]
    return [qid for qid in qids if qid in set(best)]


def _glances(sources: Sources, qids: Iterable[str], qrels: files.Qrels) -> dict[str, _Glance]:
    """Each query under all layers and under the first preset, signal by signal."""
    first = sources.presets[0]
    everything = LayerWindow(0, stored_layers(next(iter(sources.signals.values()))) - 1)
    orders: dict[str, dict[str, npt.NDArray[np.int64]]] = {qid: {} for qid in qids}
    pids: dict[str, dict[str, tuple[str, ...]]] = {qid: {} for qid in orders}
    for name, paths in sources.signals.items():
        for signal in read_signals(paths, orders):
            scores = window_scores(signal, [everything, first.of(signal.qid)], sources.strategy)
            orders[signal.qid][name] = np.argsort(-scores, axis=1, kind="stable")
            pids[signal.qid][name] = signal.pids
    found = {}
    for qid, own in orders.items():
        name = next(iter(own))
        judged = qrels.get(qid)
        values = measures.of_orders(sources.measure, judged, pids[qid][name], own[name]) if judged else [0.0, np.inf]
        found[qid] = _Glance(own, pids[qid], float(values[1]))
    return found
