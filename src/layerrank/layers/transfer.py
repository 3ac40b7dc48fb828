"""What carries over: windows chosen on one collection or model, used on another, against the oracle of the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from layerrank.core.errors import UserError
from layerrank.core.frames import TRANSFER
from layerrank.core.windows import ORACLE, LayerWindow, Selection
from layerrank.layers.rules import Rule, parse_rule
from layerrank.layers.rules.settings import folds_for
from layerrank.layers.selection import best_window, folds_of
from layerrank.layers.sweep import Sweep

CHOSEN_ON, ALL, BY_RULE = "chosen on a sweep", "every layer", "chosen by a rule"


def at_depth(window: LayerWindow, layers: int, other: int) -> LayerWindow:
    """The window at the same relative depth, layer / (layers - 1), of a model with `other` layers.

    Both ends go to the nearest layer, halves to the later one; with as many layers the window is itself.
    """
    scale = (other - 1) / (layers - 1) if layers > 1 else 0.0
    return LayerWindow(*(math.floor(layer * scale + 0.5) for layer in (window.start, window.end)))


def transfer(
    sweeps: Mapping[str, Sweep],
    rule: Rule,
    selections: Sequence[tuple[str, Selection]] = (),
    *,
    same_collection: bool = False,
) -> pd.DataFrame:
    """The regret of every window chosen somewhere, used on every target: columns `frames.TRANSFER`.

    Where source and target have their queries in common, on the diagonal and between models of one collection, windows
    are cross-validated: those of a fold are chosen on the source's other folds.

    Args:
        sweeps: by name of collection or model; each is a source and a target.
        rule: one that sees judgements: how a source's window is chosen; its `folds` (at most one a query) and `seed`
            are those of the cross-validation. On a target with another number of layers the window at the same relative
            depth is used (`relative_depth` is 1).
        selections: what select-window chose, by name of the sweep that they belong to. Their windows, label-free
            ones among them, come below the matrix; upper bounds are left out.
        same_collection: the sweeps are of different models on one collection.

    Returns:
        A row a source and target. `value` is the target's mean under the window or windows, `oracle` its mean under the
        best single window, `regret` the difference. `same_queries` is 1 where the window was chosen on the judgements
        that it is measured by, which is where a single query leaves nothing to choose on. All layers, no choice at all,
        are a source of their own.

    Raises:
        UserError: sweeps or selections of different measures or strategies, a selection of no sweep, or sweeps of the
            same collection with different queries.
    """
    _alike({name: (swept.measure, swept.strategy) for name, swept in sweeps.items()})
    if same_collection and len({frozenset(swept.qids) for swept in sweeps.values()}) > 1:
        raise UserError(f"transfer: sweeps of one collection with different queries: {', '.join(sweeps)}")
    oracle = parse_rule({"rule": ORACLE})
    oracles = {name: best_window(swept, oracle) for name, swept in sweeps.items()}
    rows = []
    for source, chosen_on in sweeps.items():
        for target, used_on in sweeps.items():
            shared = same_collection or source == target
            folds = _folds(rule, chosen_on.qids) if shared else None
            windows = _carried(rule, chosen_on, used_on, folds)
            value, scaled = _mean(used_on, windows), chosen_on.layers != used_on.layers
            seen = shared and folds is None
            rows.append(_row(CHOSEN_ON, source, target, used_on, _shown(windows), value, oracles[target], seen, scaled))
    for target, used_on in sweeps.items():
        every = [LayerWindow(0, used_on.layers - 1)] * len(used_on.qids)
        value = _mean(used_on, every)
        rows.append(_row(ALL, "all layers", target, used_on, _shown(every), value, oracles[target], False, False))
    for target, selection in selections:
        if target not in sweeps:
            raise UserError(f"selection of {target}: no such sweep; given: {', '.join(sweeps)}")
        if selection.upper_bound:
            continue
        used_on = sweeps[target]
        _alike({target: (used_on.measure, used_on.strategy), "selection": (selection.measure, selection.strategy)})
        shown = _shown([chosen.window for chosen in selection.windows])
        rows.append(
            _row(BY_RULE, selection.rule, target, used_on, shown, selection.selected, oracles[target], False, False)
        )
    return pd.DataFrame(rows, columns=list(TRANSFER))


def _folds(rule: Rule, qids: Sequence[str]) -> dict[str, int] | None:
    """The fold of each query, no more folds than queries; None where one query is all there is."""
    folds = min(folds_for(rule.settings, len(qids)), len(qids))
    return folds_of(qids, folds, rule.settings["seed"]) if folds > 1 else None


def _carried(rule: Rule, source: Sweep, target: Sweep, folds: Mapping[str, int] | None) -> list[LayerWindow]:
    """The window of each of the target's queries, chosen on the source without the query's fold."""
    if folds is None:
        return [at_depth(best_window(source, rule), source.layers, target.layers)] * len(target.qids)
    number = np.array([folds[qid] for qid in source.qids])
    chosen = {
        fold: at_depth(best_window(source, rule, np.flatnonzero(number != fold)), source.layers, target.layers)
        for fold in sorted({folds[qid] for qid in target.qids})
    }
    return [chosen[folds[qid]] for qid in target.qids]


def _shown(windows: Sequence[LayerWindow]) -> str:
    different = set(windows)
    return str(windows[0]) if len(different) == 1 else f"{len(different)} windows"


def _row(
    kind: str,
    source: str,
    target: str,
    used_on: Sweep,
    window: str,
    value: float,
    oracle: LayerWindow,
    same_queries: bool,
    scaled: bool,
) -> tuple[Any, ...]:
    best = _mean(used_on, [oracle] * len(used_on.qids))
    measure = used_on.measure
    return (
        kind,
        source,
        target,
        measure,
        window,
        value,
        str(oracle),
        best,
        best - value,
        int(same_queries),
        int(scaled),
    )


def _mean(swept: Sweep, windows: Sequence[LayerWindow]) -> float:
    """The mean over queries, each under its own window."""
    columns = [swept.column(window) for window in windows]
    return float(np.mean(swept.values[np.arange(len(columns)), columns], dtype=np.float64))


def _alike(settings: Mapping[str, tuple[str, str]]) -> None:
    first, *others = settings.items()
    for name, (measure, strategy) in others:
        if (measure, strategy) != first[1]:
            raise UserError(
                f"transfer: {first[0]} is of {first[1][0]} and {first[1][1]}, {name} of {measure} and {strategy}"
            )
