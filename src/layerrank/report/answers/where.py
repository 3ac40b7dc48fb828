"""Where in the layers relevance emerges."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from layerrank.core.systems import (
    ALL_LAYERS,
    FIRST_STAGE,
)
from layerrank.report.answers.page import Answer
from layerrank.report.answers.words import SIGNED, listed, within
from layerrank.report.tables.describe import Cell, Column, Section, Table, Value, interval, row
from layerrank.report.tables.looked_up import means_by_system, of_measure


def where(
    shapes: pd.DataFrame, profiles: pd.DataFrame, means: pd.DataFrame, measure: str, variant: str = "base"
) -> Answer:
    """Where in the layers relevance emerges: the shape of each profile, its best layer, all layers, the first stage.

    `shapes`, `profiles` and `means` have the columns `frames.SHAPE`, `frames.PROFILE` and `frames.MEANS`.
    """
    columns = (
        Column("Model on collection"),
        Column("layers", "d"),
        Column("shape of the curve", detail="because"),
        Column("best layer", "d", detail="95% interval"),
        Column("its depth", ".2f", detail="95% interval"),
        Column("the first layers", SIGNED, group="Best layer, held out, less", detail="95% interval"),
        Column("the last layers", SIGNED, group="Best layer, held out, less", detail="95% interval"),
        Column("best layer", ".3f", group=measure),
        Column("all layers", ".3f", group=measure),
        Column("BM25", ".3f", group=measure),
    )
    rows, found = [], []
    layers = {
        (record["collection"], record["model"], record["layer"]): record
        for record in of_measure(profiles, measure, variant).to_dict("records")
    }
    systems = means_by_system(of_measure(means, measure, variant))
    for shape in of_measure(shapes, measure, variant).to_dict("records"):
        collection, model = str(shape["collection"]), str(shape["model"])
        best = layers[collection, model, shape["best_layer"]]
        known = {name: systems.get((collection, model), {}).get(name, math.nan) for name in (ALL_LAYERS, FIRST_STAGE)}
        found.append((f"{model} on {collection}", shape, best))
        values: list[Value | Cell] = [
            f"{model} on {collection}",
            int(shape["layers"]),
            Cell(str(shape["verdict"]), detail=str(shape["reason"])),
            Cell(int(shape["best_layer"]), detail=interval(shape["best_low"], shape["best_high"], ".0f")),
            within(shape, "best_depth", ".2f"),
            *(within(shape, name, SIGNED) for name in ("rise", "fall")),
            Cell(float(best["mean"]), detail=interval(float(best["low"]), float(best["high"]), ".3f")),
            known[ALL_LAYERS],
            known[FIRST_STAGE],
        ]
        rows.append(row(values))
    statements = (
        _verdict([(name, str(shape["verdict"]), str(shape["reason"])) for name, shape, _ in found]),
        _depth([shape for _, shape, _ in found]),
        "The shape rests on differences between layers on queries that the best layer was not chosen on; the value of "
        "the best layer is of the queries that it is shown for, and optimistic.",
        *(
            ["One model on one collection says nothing about others: add some to compare their curves."]
            if len(found) == 1
            else []
        ),
    )
    notes = (f"Bands and intervals: 95% bootstrap over queries. Measure: {measure}, all judged queries.",)
    return Answer(
        "Where in the layers does relevance emerge?",
        statements,
        Table("Profiles", columns, (Section("", tuple(rows)),), notes),
    )


SHAPES = {
    "bell": "a bell curve",
    "peak with partial fall": "a peak with a partial fall",
    "rise to a plateau": "a rise to a plateau",
    "rise": "a rise up to the last layers",
    "fall": "a fall",
    "flat": "flat",
    "other": "no common shape",
    "none shown": "not shown to have a shape",
}


def _verdict(verdicts: Sequence[tuple[str, str, str]]) -> str:
    """What shape (name, verdict, reason) profiles have: of a single one, why; of several, how many are what."""
    if len(verdicts) == 1:
        [(_, verdict, reason)] = verdicts
        return f"The profile is {SHAPES[verdict]}: {reason}."
    said = []
    for verdict, words in SHAPES.items():
        names = [name for name, own, _ in verdicts if own == verdict]
        named = f" ({listed(names)})" if len(names) <= 6 else ""
        said += [f"{len(names)} {'is' if len(names) == 1 else 'are'} {words}{named}"] * bool(names)
    return f"Of {len(verdicts)} profiles, {listed(said)}."


def _depth(shapes: Sequence[Mapping[Hashable, Any]]) -> str:
    """Where the best layers lie, with their intervals."""
    depths, low, high = ([float(shape[f"best_depth{end}"]) for shape in shapes] for end in ("", "_low", "_high"))
    scale = "(0 is the first layer, 1 the last)"
    if len(shapes) == 1:
        span = f" {interval(low[0], high[0], '.2f')}" if math.isfinite(low[0]) else ""
        return f"The best single layer lies at a relative depth of {depths[0]:.2f}{span} {scale}."
    meet = max(low) <= min(high)
    return (
        f"The best single layers lie at relative depths of {min(depths):.2f} to {max(depths):.2f} {scale}; "
        f"their intervals {'share' if meet else 'do not share'} a depth"
        + (f", {max(low):.2f} to {min(high):.2f}." if meet else ".")
    )
