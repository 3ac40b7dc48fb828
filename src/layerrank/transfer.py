"""What carries over: windows chosen on one collection or model, used on another, against the oracle of the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from layerrank.errors import UserError
from layerrank.records import LayerWindow
from layerrank.windows.selection import Rule, best_window
from layerrank.windows.sweep import Sweep

COLUMNS = (
    "kind",
    "source",
    "target",
    "measure",
    "window",
    "value",
    "oracle_window",
    "oracle",
    "regret",
    "same_queries",
    "relative_depth",
)
"""Columns of `transfer`."""

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
    selections: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> pd.DataFrame:
    """The regret of every window chosen somewhere, used on every target: columns `COLUMNS`.

    Args:
        sweeps: by name of collection and model; each is a source and a target.
        rule: `peak` or `best`: how a source's window is chosen, on all its queries. On a target with another number of
            layers the window at the same relative depth is used (`relative_depth` is 1).
        selections: documents of select-window, by name of the sweep that they belong to. Their windows, label-free
            ones among them, come below the matrix; upper bounds are left out.

    Returns:
        A row a source and target. `value` is the target's mean under the window, `oracle` its mean under the best
        single window, `regret` the difference. `same_queries` is 1 where the window was chosen on the judgements that
        it is measured by. All layers, no choice at all, are a source of their own.

    Raises:
        UserError: sweeps or selections of different measures or strategies, or a selection of no sweep.
    """
    _alike({**{name: (swept.measure, swept.strategy) for name, swept in sweeps.items()}})
    oracles = {name: best_window(swept, Rule("oracle")) for name, swept in sweeps.items()}
    rows = []
    for source, chosen_on in sweeps.items():
        window = best_window(chosen_on, rule)
        for target, used_on in sweeps.items():
            placed = at_depth(window, chosen_on.layers, used_on.layers)
            value = _mean(used_on, placed)
            scaled = chosen_on.layers != used_on.layers
            rows.append(
                _row(CHOSEN_ON, source, target, used_on, str(placed), value, oracles[target], source == target, scaled)
            )
    for target, used_on in sweeps.items():
        every = LayerWindow(0, used_on.layers - 1)
        value = _mean(used_on, every)
        rows.append(_row(ALL, "all layers", target, used_on, str(every), value, oracles[target], False, False))
    for target, document in selections:
        if target not in sweeps:
            raise UserError(f"selection of {target}: no such sweep; given: {', '.join(sweeps)}")
        if document["upper_bound"]:
            continue
        used_on = sweeps[target]
        _alike({target: (used_on.measure, used_on.strategy), "selection": (document["measure"], document["strategy"])})
        windows = sorted({LayerWindow(*entry["window"]) for entry in document["windows"]})
        shown = str(windows[0]) if len(windows) == 1 else f"{len(windows)} windows"
        value = float(document["regret"]["selected"])
        rows.append(_row(BY_RULE, document["rule"], target, used_on, shown, value, oracles[target], False, False))
    return pd.DataFrame(rows, columns=list(COLUMNS))


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
    best = _mean(used_on, oracle)
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


def _mean(swept: Sweep, window: LayerWindow) -> float:
    return float(swept.means()[swept.column(window)])


def _alike(settings: Mapping[str, tuple[str, str]]) -> None:
    first, *others = settings.items()
    for name, (measure, strategy) in others:
        if (measure, strategy) != first[1]:
            raise UserError(
                f"transfer: {first[0]} is of {first[1][0]} and {first[1][1]}, {name} of {measure} and {strategy}"
            )
