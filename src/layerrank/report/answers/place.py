"""Whether it is relevance, or the place in the prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import pandas as pd

from layerrank.core.systems import (
    ALL_LAYERS,
    AVERAGED,
    CALIBRATED,
    WHOLE_LIST,
)
from layerrank.core.windows import ALL, rule_of, window_label
from layerrank.report.answers.page import Answer
from layerrank.report.answers.words import capital, change, counts, kind_of, listed, percent
from layerrank.report.tables.effectiveness import Marks
from layerrank.report.tables.orders import orders_table, records, tests_over_orders

FEW_PAIRS = 4
"""Pairs of a collection and a model that a page speaks of one by one."""


def place(layers: pd.DataFrame, windows: pd.DataFrame, comparisons: pd.DataFrame, measure: str, marks: Marks) -> Answer:
    """Whether rankings follow relevance or the place in the prompt: shares, windows and remedies over orders.

    Args:
        layers: of `sweep-orders`, columns `frames.ORDERS`.
        windows: of `evaluate-orders`, columns `frames.WINDOW_ORDERS`.
        comparisons: of `compare`, columns `frames.COMPARISON`.
        measure: that windows are chosen by.
        marks: of significance.
    """
    tests = tests_over_orders(comparisons, measure)
    statements = []
    pairs = list(dict.fromkeys(zip(windows["collection"], windows["model"], strict=True)))
    for collection, model in pairs:
        own = windows[(windows["collection"] == collection) & (windows["model"] == model)]
        swept = layers[(layers["collection"] == collection) & (layers["model"] == model)]
        owed = _owed(own, swept, measure)
        if len(pairs) > 1:
            said = [f"{model} on {collection}: {' '.join([*owed[:1], *map(capital, owed[1:])])}"]
            statements += said if len(pairs) <= FEW_PAIRS else []
        else:
            chosen = _chosen_over_orders(own, tests, marks, collection, model)
            statements += map(capital, [*owed, *chosen, *_remedied(own, tests, marks, collection, model)])
    if len(pairs) > 1:
        statements = [*_over_pairs(windows, tests, marks), *statements]
    table = orders_table(windows, comparisons, measure, marks)
    few = sorted({int(one["queries"]) for one in records(windows, "window")})
    return Answer(
        "Is it relevance, or the place in the prompt?",
        (*statements, f"On {listed([str(number) for number in few])} queries, in every order the same candidates."),
        table,
    )


def _over_pairs(windows: pd.DataFrame, tests: Mapping[tuple[str, ...], dict[str, Any]], marks: Marks) -> list[str]:
    """What several pairs of a collection and a model have in common: all layers' shares, chosen windows, remedies."""
    own = records(windows, "window")
    every = [one for one in own if one["window"] == ALL and math.isfinite(one["passage"])]
    said = []
    if every:
        spans = []
        for name in ("passage", "place"):
            low, high = (percent(pick(one[name] for one in every)) for pick in (min, max))
            spans.append(high if low == high else f"{low.removesuffix('%')} to {high}")
        said.append(
            f"In {len(every)} pairs of a model and a collection, scores of all layers together owe {spans[0]} of their "
            f"variance to the passage and {spans[1]} to its place."
        )
    kinds: dict[str, list[str]] = {}
    for one in own:
        name, pair = str(one["window"]), (one["collection"], one["model"])
        if rule_of(name) and (found := tests.get((*pair, ALL_LAYERS, f"{WHOLE_LIST.name}-{name}"))):
            kinds.setdefault(window_label(name), []).append(kind_of(found, marks))
    if kinds:
        told = "; ".join(f"the {name}, {counts(found)}" for name, found in kinds.items())
        said.append(f"Over orders, against all layers: {told}.")
    for system, words in ((AVERAGED, "averaged over the orders"), (CALIBRATED, "calibrated by place")):
        pairs = dict.fromkeys((one["collection"], one["model"]) for one in own)
        tested = [tests.get((*pair, ALL_LAYERS, f"{system}-{ALL}")) for pair in pairs]
        if remedied := [kind_of(one, marks) for one in tested if one]:
            said.append(f"Scores of all layers {words}, against plain ones: {counts(remedied)}.")
    return said


def _owed(windows: pd.DataFrame, swept: pd.DataFrame, measure: str) -> list[str]:
    """What all layers, the best layer in the first stage's order and the best one over orders owe to what."""
    single = [one for one in _dicts(swept) if one["start"] == one["end"]]
    known = any(math.isfinite(one["passage"]) for one in single)
    said = []
    every = _every(windows)
    if known and every is not None:
        more = sum(one["passage"] > one["place"] for one in single)
        said.append(
            f"scores of all layers together owe {percent(every['passage'])} of their variance to the passage and "
            f"{percent(every['place'])} to its place; the passage outweighs the place in {more} of {len(single)} "
            "layers."
        )

    def owes(one: dict[str, Any]) -> str:
        if not known:
            return ""
        return f", {percent(one['passage'])} owed to the passage and {percent(one['place'])} to the place"

    base, best = (max(single, key=itemgetter(name)) for name in ("base", "value"))
    if base["start"] == best["start"]:
        said.append(
            f"the best layer is {base['start']} in the first stage’s order as over all orders "
            f"({base['base']:.3f} and {best['value']:.3f} {measure}{owes(best)})."
        )
    else:
        said.append(
            f"the best layer in the first stage’s order, {base['start']}, has {base['base']:.3f} {measure} there and "
            f"{base['value']:.3f} over all orders{owes(base)}; over orders the best is layer {best['start']}, "
            f"with {best['value']:.3f}{owes(best)}."
        )
    return said


def _dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in one.items()} for one in frame.to_dict("records")]


def _every(windows: pd.DataFrame) -> dict[str, Any] | None:
    """The row of all layers."""
    return next((one for one in records(windows, "window") if one["window"] == ALL), None)


def _chosen_over_orders(
    windows: pd.DataFrame, tests: Mapping[tuple[str, ...], dict[str, Any]], marks: Marks, collection: str, model: str
) -> list[str]:
    """What becomes of the windows that rules chose."""
    said = []
    for one in records(windows, "window"):
        found = tests.get((collection, model, ALL_LAYERS, f"{WHOLE_LIST.name}-{one['window']}"))
        if found and rule_of(str(one["window"])):
            said.append(
                f"the {window_label(str(one['window']))} ranks with τ = {one['tau']:.2f} between orders, and over them "
                f"differs from all layers by {change(found)}: {kind_of(found, marks)}."
            )
    return said


def _remedied(
    windows: pd.DataFrame, tests: Mapping[tuple[str, ...], dict[str, Any]], marks: Marks, collection: str, model: str
) -> list[str]:
    """What averaging over orders and calibration by place add to all layers, and on how many layers they add."""
    said = []
    layers = windows[windows["kind"] == "layer"]
    every = _every(windows)
    for column, system, words in (
        ("averaged", AVERAGED, f"scores averaged over {int(windows['orders'].max())} orders, at as many passes,"),
        ("calibrated", CALIBRATED, "scores calibrated by place, at no further pass,"),
    ):
        gain = (layers[column] - layers["value"]).dropna()
        if gain.empty or every is None:
            continue
        found = tests.get((collection, model, ALL_LAYERS, f"{system}-{ALL}"))
        added = f"{change(found)}, {kind_of(found, marks)}" if found else f"{every[column] - every['value']:+.3f}"
        said.append(
            f"{words} change the mean over orders of all layers by {added}; of single layers they raise "
            f"{int((gain > 0).sum())} of {len(gain)}, by {gain.mean():+.3f} on average.".replace("by -", "by −")
        )
    return said
