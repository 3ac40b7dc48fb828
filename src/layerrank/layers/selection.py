"""Choosing a layer window by a rule, and what the choice lost against the best single window.

A rule never sees the judgements that it is judged on: it is chosen by cross-validation over queries, or on other
collections. Ties between windows go to the smaller end (fewer layers to run), then to the narrower window.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerrank.core.errors import UserError
from layerrank.core.windows import ORACLE, Chosen, LayerWindow, Selection
from layerrank.layers.rules import Rule, Seen, parse_rule
from layerrank.layers.rules.settings import folds_for
from layerrank.layers.sweep import Sweep

Means = NDArray[np.float64]


def select(
    name: str,
    rule: Rule,
    collection: str,
    own: Sweep,
    others: Mapping[str, Sweep] | None = None,
    criterion: Means | None = None,
    *,
    model: str = "",
    over_orders: Sweep | None = None,
) -> Selection:
    """Choose the windows of `own`'s queries.

    Args:
        name: the rule's name in the study, as in the window `selected-<name>`.
        rule: how to choose.
        collection: whose queries are judged.
        own: its sweep. A rule reads no value of a query that it chooses a window for, the oracle excepted.
        others: sweeps of other collections, same model, by name; over orders where the rule asks for these.
        criterion: for `label-free`, float64[W], higher is better, from signals alone (`labelfree.criterion`).
        model: whose signal was swept, by name.
        over_orders: means over input orders of some of the queries, for a rule that chooses by them (`orders: all`).

    Raises:
        UserError: settings that the sweeps cannot meet.
    """
    shown = own
    if rule.settings.get("orders") == "all":
        if over_orders is None:
            raise UserError(f"selection rule {rule.kind.name!r}: orders is 'all', and the study has no `orders`")
        shown = _alike(over_orders, "its orders", collection, own)
        if strangers := sorted(set(shown.qids) - set(own.qids)):
            raise UserError(f"selection: query {strangers[0]} of the orders is none of {collection}'s sweep")
    entries, default, how, where = _choose(rule, collection, own, shown, others or {}, criterion)
    oracle = best_window(own, parse_rule({"rule": ORACLE}))
    column = {qid: own.column(entry.window) for entry in entries for qid in entry.qids}
    rows = range(len(own.qids))
    selected = float(np.mean([own.values[row, column[own.qids[row]]] for row in rows], dtype=np.float64))
    return Selection(
        rule=name,
        family=rule.kind.name,
        settings={"rule": rule.kind.name, **rule.settings},
        chosen_by=how,
        upper_bound=rule.kind.sees == "test judgements",
        measure=own.measure,
        strategy=own.strategy,
        layers=own.layers,
        folds=len(entries) if how == "cross-validation" else None,
        seed=rule.settings["seed"] if how == "cross-validation" else None,
        collection=collection,
        model=model,
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
    """The window that a rule takes from one sweep, by the judgements of all its queries or of those at `rows`."""
    return _pick(rule, swept, [swept.values if rows is None else swept.values[rows]])


def _pick(
    rule: Rule, own: Sweep, values: Sequence[NDArray[np.float32]] = (), criterion: Means | None = None
) -> LayerWindow:
    return rule.kind.pick(Seen(own.windows, own.layers, values, criterion), rule.settings)


def _choose(
    rule: Rule, collection: str, own: Sweep, shown: Sweep, others: Mapping[str, Sweep], criterion: Means | None
) -> tuple[list[Chosen], LayerWindow, str, list[str]]:
    """Entries that name each query once, the default window, how it was chosen, and on which collections."""
    every = tuple(own.qids)
    if rule.kind.sees == "nothing":
        window = _pick(rule, own)
        return [Chosen(window, every, None, "given in the configuration")], window, "none", []
    if rule.kind.sees == "signals":
        if criterion is None:
            raise UserError(f"selection rule {rule.kind.name!r}: needs the signal (--signal)")
        window = _pick(rule, own, criterion=criterion)
        value, seen = float(criterion[own.column(window)]), f"signals of {collection}, no judgements"
        return [Chosen(window, every, value, seen)], window, "none", [collection]
    if rule.kind.sees == "test judgements":
        window = best_window(shown, rule)
        entry = Chosen(window, every, _value([shown], window), f"{collection}: the test queries")
        return [entry], window, "test queries", [collection]
    on = rule.settings["chosen_on"]
    if on == "folds":
        return _cross_validated(rule, collection, own, shown)
    names = [name for name in (sorted(others) if on == "others" else on) if name != collection]
    sweeps = [_other(name, collection, own, others) for name in names]
    if not sweeps:
        raise UserError(f"selection rule {rule.kind.name!r}: chosen_on names no collection other than {collection}")
    window = _pick(rule, own, [swept.values for swept in sweeps])
    return [Chosen(window, every, _value(sweeps, window), ", ".join(names))], window, "other-collections", names


def _cross_validated(
    rule: Rule, collection: str, own: Sweep, shown: Sweep
) -> tuple[list[Chosen], LayerWindow, str, list[str]]:
    folds = folds_for(rule.settings, len(own.qids))
    if folds < 2:
        raise UserError(f"selection rule {rule.kind.name!r}: folds: cross-validation needs two judged queries or more")
    fold = folds_of(own.qids, folds, rule.settings["seed"])
    places = np.array([fold[qid] for qid in shown.qids])
    entries = []
    for number in range(folds):
        chosen_on = np.flatnonzero(places != number)
        if not len(chosen_on):
            raise UserError(f"selection rule {rule.kind.name!r}: all queries that run in all orders are in one fold")
        window = best_window(shown, rule, chosen_on)
        value = float(shown.means(chosen_on)[shown.column(window)])
        judged = [qid for qid in own.qids if fold[qid] == number]
        entries.append(
            Chosen(window, tuple(judged), value, f"{collection}: {len(chosen_on)} queries of the other folds")
        )
    return entries, best_window(shown, rule), "cross-validation", [collection]


def _other(name: str, collection: str, own: Sweep, others: Mapping[str, Sweep]) -> Sweep:
    if name not in others:
        raise UserError(f"selection: no sweep of collection {name!r}; given: {', '.join(sorted(others)) or 'none'}")
    return _alike(others[name], name, collection, own)


def _alike(other: Sweep, name: str, collection: str, own: Sweep) -> Sweep:
    """The other sweep, of the same layers, measure and strategy, or `UserError`."""
    for key in ("layers", "measure", "strategy"):
        if getattr(other, key) != getattr(own, key):
            raise UserError(
                f"selection: the sweep of {collection} has {key} {getattr(own, key)!r}, "
                f"that of {name} has {getattr(other, key)!r}"
            )
    return other


def _value(sweeps: Sequence[Sweep], window: LayerWindow) -> float:
    return float(np.mean([swept.means()[swept.column(window)] for swept in sweeps]))
