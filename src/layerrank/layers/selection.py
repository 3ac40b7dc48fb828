"""Choosing a layer window: fixed, by the best layer, by the sweep, without labels; and the oracle that bounds them.

A rule never sees the judgements that it is judged on: it is chosen by cross-validation over queries, or on other
collections. Ties between windows go to the smaller end (fewer layers to run), then to the narrower window.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerrank.core.errors import UserError
from layerrank.core.windows import ORACLE, Chosen, LayerWindow, Selection
from layerrank.layers.sweep import Sweep

TIE = 1e-7
"""Means closer than this are ties: sweeps store float32."""

Means = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a window is chosen.

    Attributes:
        rule: `fixed`, `peak`, `best`, `label-free` or `oracle`.
        window: for `fixed`, START-END, `all` or a layer.
        width: for `peak`, layers on either side of the best one; cut at the ends of the model.
        max_width: for `best` and `oracle`, the widest window allowed, in layers.
        last_layer: the last layer that a window may end at (not for `fixed`).
        standard_errors: for `best`, how far below the best mean a window may lie, in standard errors of the paired
            difference over queries, to be taken because it ends earlier. 0 takes the best mean.
        chosen_on: for `peak` and `best`: `folds`, `others`, or names of collections.
        folds, seed: of the cross-validation.
        criterion: for `label-free`, a name in `labelfree.CRITERIA`.
    """

    rule: str
    window: str | None = None
    width: int = 0
    max_width: int | None = None
    last_layer: int | None = None
    standard_errors: float = 0.0
    chosen_on: str | tuple[str, ...] = "folds"
    folds: int = 5
    seed: int = 42
    criterion: str = "agreement"


_KEYS: Mapping[str, frozenset[str]] = {
    "fixed": frozenset({"window"}),
    "peak": frozenset({"width", "last_layer", "chosen_on", "folds", "seed"}),
    "best": frozenset({"max_width", "last_layer", "standard_errors", "chosen_on", "folds", "seed"}),
    "label-free": frozenset({"max_width", "last_layer", "criterion"}),
    "oracle": frozenset({"max_width", "last_layer"}),
}


def parse_rule(settings: Mapping[str, Any]) -> Rule:
    """Check a rule's settings. Raises `UserError` that names the key, the value and what is allowed."""
    name = str(settings.get("rule"))
    if name not in _KEYS:
        raise UserError(f"selection rule {name!r}: one of {', '.join(_KEYS)}")
    if stranger := sorted(settings.keys() - _KEYS[name] - {"rule"}):
        raise UserError(f"selection rule {name!r}: no key {stranger[0]!r}; its keys: {', '.join(sorted(_KEYS[name]))}")
    if name == "fixed" and "window" not in settings:
        raise UserError("selection rule 'fixed': needs a window, such as 10-13")
    for key, least in (("width", 0), ("max_width", 1), ("last_layer", 0), ("standard_errors", 0), ("folds", 2)):
        value = settings.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < least):
            raise UserError(f"selection rule {name!r}: {key} is {value!r}, must be a number of at least {least}")
    on = settings.get("chosen_on", "folds")
    if isinstance(on, str):
        if on not in ("folds", "others"):
            raise UserError(
                f"selection rule {name!r}: chosen_on is {on!r}, must be 'folds', 'others' or a list of collections"
            )
    else:
        on = tuple(on)
    return Rule(**{**settings, "chosen_on": on})


def select(
    name: str,
    rule: Rule,
    collection: str,
    own: Sweep,
    others: Mapping[str, Sweep] | None = None,
    criterion: Means | None = None,
) -> Selection:
    """Choose the windows of `own`'s queries.

    Args:
        name: the rule's name in the study, as in the window `selected-<name>`.
        rule: how to choose.
        collection: whose queries are judged.
        own: its sweep. A rule reads no value of a query that it chooses a window for, the oracle excepted.
        others: sweeps of other collections, same model, by name.
        criterion: for `label-free`, float64[W], higher is better, from signals alone (`labelfree.criterion`).

    Raises:
        UserError: settings that the sweeps cannot meet.
    """
    entries, default, how, where = _choose(rule, collection, own, others or {}, criterion)
    oracle = best_window(own, Rule(ORACLE))
    column = {qid: own.column(entry.window) for entry in entries for qid in entry.qids}
    rows = range(len(own.qids))
    selected = float(np.mean([own.values[row, column[own.qids[row]]] for row in rows], dtype=np.float64))
    return Selection(
        rule=name,
        family=rule.rule,
        settings=_settings(rule),
        chosen_by=how,
        upper_bound=rule.rule == ORACLE,
        measure=own.measure,
        strategy=own.strategy,
        layers=own.layers,
        folds=rule.folds if how == "cross-validation" else None,
        seed=rule.seed if how == "cross-validation" else None,
        collection=collection,
        collections=tuple(where),
        windows=tuple(entries),
        default=default,
        selected=selected,
        oracle=float(own.means()[own.column(oracle)]),
        oracle_window=oracle,
    )


def folds_of(qids: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    """The fold of each query, 0 to `folds` − 1, sizes within one of each other: {qid: fold}.

    Queries are dealt out in the order of SHA-256(`seed:qid`), which no judgement, file order or library version moves.
    Raises `UserError` for fewer queries than folds.
    """
    if len(qids) < folds:
        raise UserError(f"folds: {folds} with {len(qids)} judged queries; at most one fold a query")
    dealt = sorted(qids, key=lambda qid: hashlib.sha256(f"{seed}:{qid}".encode()).digest())
    fold = {qid: place % folds for place, qid in enumerate(dealt)}
    return {qid: fold[qid] for qid in qids}


def best_window(swept: Sweep, rule: Rule, rows: NDArray[np.integer[Any]] | None = None) -> LayerWindow:
    """The window that `rule` (peak, best or oracle) takes from one sweep, of all its queries or of those at `rows`."""
    return _from_sweeps(rule, [swept.values if rows is None else swept.values[rows]], swept.windows, swept.layers)


def first_of_best(means: Means, windows: Sequence[LayerWindow], allowed: NDArray[np.bool_]) -> int:
    """Position of the highest mean among the allowed; of ties the smallest end, then the narrowest window."""
    if not allowed.any():
        raise UserError("selection: max_width and last_layer allow no window")
    top = means[allowed].max()
    tied = np.flatnonzero(allowed & (means >= top - TIE)).tolist()
    return int(min(tied, key=lambda i: (windows[i].end, windows[i].width)))


def allowed_windows(rule: Rule, windows: Sequence[LayerWindow]) -> NDArray[np.bool_]:
    """bool[W]: windows no wider than `max_width` that end at `last_layer` or before."""
    return np.array(
        [
            (rule.max_width is None or window.width <= rule.max_width)
            and (rule.last_layer is None or window.end <= rule.last_layer)
            for window in windows
        ]
    )


def _choose(
    rule: Rule, collection: str, own: Sweep, others: Mapping[str, Sweep], criterion: Means | None
) -> tuple[list[Chosen], LayerWindow, str, list[str]]:
    """Entries that name each query once, the default window, how it was chosen, and on which collections."""
    every = tuple(own.qids)
    if rule.rule == "fixed":
        window = LayerWindow.parse(str(rule.window), own.layers)
        return [Chosen(window, every, None, "given in the configuration")], window, "none", []
    if rule.rule == "label-free":
        if criterion is None:
            raise UserError("selection rule 'label-free': needs the signal (--signal)")
        best = first_of_best(criterion, own.windows, allowed_windows(rule, own.windows))
        window = own.windows[best]
        seen = f"signals of {collection}, no judgements"
        return [Chosen(window, every, float(criterion[best]), seen)], window, "none", [collection]
    if rule.rule == "oracle":
        window = best_window(own, rule)
        return (
            [Chosen(window, every, _value([own], window), f"{collection}: the test queries")],
            window,
            "test queries",
            [collection],
        )
    if rule.chosen_on == "folds":
        return _cross_validated(rule, collection, own)
    listed = sorted(others) if rule.chosen_on == "others" else rule.chosen_on
    names = [name for name in listed if name != collection]
    sweeps = [_other(name, collection, own, others) for name in names]
    if not sweeps:
        raise UserError(f"selection rule {rule.rule!r}: chosen_on names no collection other than {collection}")
    window = _from_sweeps(rule, [swept.values for swept in sweeps], own.windows, own.layers)
    return [Chosen(window, every, _value(sweeps, window), ", ".join(names))], window, "other-collections", names


def _cross_validated(rule: Rule, collection: str, own: Sweep) -> tuple[list[Chosen], LayerWindow, str, list[str]]:
    fold = folds_of(own.qids, rule.folds, rule.seed)
    places = np.array([fold[qid] for qid in own.qids])
    entries = []
    for number in range(rule.folds):
        chosen_on = np.flatnonzero(places != number)
        window = best_window(own, rule, chosen_on)
        value = float(own.means(chosen_on)[own.column(window)])
        judged = [qid for qid in own.qids if fold[qid] == number]
        entries.append(
            Chosen(window, tuple(judged), value, f"{collection}: {len(chosen_on)} queries of the other folds")
        )
    return entries, best_window(own, rule), "cross-validation", [collection]


def _other(name: str, collection: str, own: Sweep, others: Mapping[str, Sweep]) -> Sweep:
    if name not in others:
        raise UserError(f"selection: no sweep of collection {name!r}; given: {', '.join(sorted(others)) or 'none'}")
    other = others[name]
    for key in ("layers", "measure", "strategy"):
        if getattr(other, key) != getattr(own, key):
            raise UserError(
                f"selection: the sweep of {collection} has {key} {getattr(own, key)!r}, "
                f"that of {name} has {getattr(other, key)!r}"
            )
    return other


def _from_sweeps(
    rule: Rule, sweeps: Sequence[NDArray[np.float32]], windows: Sequence[LayerWindow], layers: int
) -> LayerWindow:
    """Choose by the mean over collections of their means over queries; `sweeps` are float32[Q, W] each."""
    means = np.mean([values.mean(axis=0, dtype=np.float64) for values in sweeps], axis=0)
    allowed = allowed_windows(rule, windows)
    if rule.rule == "peak":
        single = np.array([window.width == 1 for window in windows])
        peak = windows[first_of_best(means, windows, allowed & single)].start
        last = layers - 1 if rule.last_layer is None else min(rule.last_layer, layers - 1)
        return LayerWindow(max(0, peak - rule.width), min(last, peak + rule.width))
    best = first_of_best(means, windows, allowed)
    if rule.standard_errors:
        # The best mean of many is in part luck: take an earlier end where the difference does not speak against it.
        variance = sum(
            (values - values[:, [best]]).var(axis=0, ddof=1, dtype=np.float64) / len(values)
            for values in sweeps
            if len(values) > 1
        )
        slack = rule.standard_errors * np.sqrt(variance) / len(sweeps)
        near = allowed & (means >= means[best] - slack - TIE)
        first_end = min(window.end for window, good in zip(windows, near, strict=True) if good)
        near &= np.array([window.end == first_end for window in windows])
        best = first_of_best(means, windows, near)
    return windows[best]


def _value(sweeps: Sequence[Sweep], window: LayerWindow) -> float:
    return float(np.mean([swept.means()[swept.column(window)] for swept in sweeps]))


def _settings(rule: Rule) -> dict[str, Any]:
    """The settings that belong to a rule's kind and are set."""
    keys = {"rule"} | _KEYS[rule.rule]
    return {
        field.name: asdict(rule)[field.name]
        for field in fields(rule)
        if field.name in keys and asdict(rule)[field.name] is not None
    }
