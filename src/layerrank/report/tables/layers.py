"""Layers and windows: which windows were chosen and what that lost, the shape of profiles, what carries over."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from layerrank.core.windows import LayerWindow, Selection
from layerrank.report.tables.describe import Cell, Column, Row, Section, Table, Value, row

Name = tuple[str, str]  # collection, model

SELECTION_COLUMNS = (
    Column("Rule", detail="settings"),
    Column("Chosen by"),
    Column("Windows (queries)"),
    Column("selected", ".3f"),
    Column("oracle", ".3f", detail="window"),
    Column("regret", ".3f"),
)
SHAPE_COLUMNS = (
    Column("Profile"),
    Column("Shape", detail="because"),
    Column("best layer", "d"),
    Column("centre", ".2f", group="Bell (relative depth)", detail="± standard error"),
    Column("width σ", ".2f", group="Bell (relative depth)", detail="± standard error"),
    Column("centre layer", ".1f", group="Bell (relative depth)"),
    Column("bell", ".2f", group="Weighted R²"),
    Column("monotone", ".2f", group="Weighted R²"),
    Column("bell", ".3f", group="Akaike weight"),
    Column("monotone", ".3f", group="Akaike weight"),
    Column("flat", ".3f", group="Akaike weight"),
)


def selection_table(selections: Sequence[tuple[Name, Selection]]) -> Table:
    """A section a collection and model, a row a rule."""
    sections: dict[str, list[Row]] = {}
    measures: dict[str, None] = {}
    for (collection, model), selection in selections:
        measures[selection.measure] = None
        settings = {key: value for key, value in selection.settings.items() if key != "rule"}
        words = ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in sorted(settings.items()))
        values: list[Value | Cell] = [
            Cell(selection.label, detail=words),
            _chosen_by(selection),
            _windows(selection),
            Cell(selection.selected),
            Cell(selection.oracle, detail=_span(selection.oracle_window)),
            Cell(selection.regret),
        ]
        title = f"{collection} · {model} · {selection.layers} layers"
        sections.setdefault(title, []).append(row(values, aside=selection.upper_bound))
    notes = (
        f"Selected: mean {', '.join(measures)} over all judged queries, each under the window that was chosen for it "
        "without its judgements. Oracle: the best single window on those same queries. Regret: what the choice lost "
        "against it; it is negative where folds chose better than any single window.",
        "Set back: chosen on the test queries’ own judgements, an upper bound and no result.",
    )
    return Table(
        f"Windows chosen: {', '.join(measures)}",
        SELECTION_COLUMNS,
        tuple(Section(title, tuple(sorted(rows, key=lambda line: line.aside))) for title, rows in sections.items()),
        notes,
    )


def shape_table(shapes: Sequence[tuple[Name, pd.DataFrame]]) -> Table:
    """A section a measure, a row a collection and model, from files of `layer-shape` (columns `layers.SHAPE`)."""
    sections: dict[str, list[Row]] = {}
    for (collection, model), frame in shapes:
        for record in frame.to_dict("records"):
            bell = record["verdict"] == "bell"
            sections.setdefault(str(record["measure"]), []).append(
                row(
                    [
                        f"{collection} · {model}",
                        Cell(str(record["verdict"]), detail=str(record["reason"]), bold=bell),
                        int(record["best_layer"]),
                        Cell(_number(record["centre"]), detail=_error(record["centre_error"])),
                        Cell(_number(record["width"]), detail=_error(record["width_error"])),
                        _number(record["centre_layer"]),
                        *(_number(record[f"r2_{name}"]) for name in ("bell", "monotone")),
                        *(_number(record[f"weight_{name}"]) for name in ("bell", "monotone", "flat")),
                    ]
                )
            )
    return Table(
        "Shape of the layer profiles",
        SHAPE_COLUMNS,
        tuple(Section(measure if len(sections) > 1 else "", tuple(rows)) for measure, rows in sections.items()),
        (
            f"Measure by layer ({', '.join(sections)}), fitted by a Gaussian bump, a monotone and a flat curve over "
            "relative depth (0 the first layer, 1 the last), weighted by the spread over queries.",
            "Shape: the curve that AICc prefers clearly enough, if it explains the profile; where none does, it says "
            "so. "
            "The bump’s parameters are those of its fit, whether it is the shape or not.",
            "R²: share of the weighted variance. Akaike weight: relative support of the three curves, summing to 1.",
        ),
    )


def transfer_table(transfer: pd.DataFrame, of: str = "") -> Table:
    """Matrix of regret: a row where (or how) a window was chosen, a column where it is used; a section a kind.

    `transfer` has the columns `TRANSFER`. Shades go with regret, from none at 0 to the largest. Windows chosen on the
    judgements that they are measured by are marked; the oracle's means close the table. `of` joins the title.
    """
    measure = ", ".join(dict.fromkeys(map(str, transfer["measure"])))
    targets = list(dict.fromkeys(map(str, transfer["target"])))
    records = transfer.to_dict("records")
    largest = max((float(record["regret"]) for record in records), default=0.0)
    columns = (Column("Chosen on, or by"), *(Column(name, ".3f", group="Used on", detail="window") for name in targets))
    sections: dict[str, dict[str, dict[str, Cell]]] = {}
    oracle: dict[str, Cell] = {}
    for record in records:
        regret, seen = float(record["regret"]), bool(record["same_queries"])
        shade = None if seen or largest <= 0 else max(0.0, regret) / largest
        cell = Cell(regret, marks="†" if seen else "", detail=str(record["window"]), shade=shade)
        lines = sections.setdefault(str(record["kind"]), {})
        lines.setdefault(str(record["source"]), {})[str(record["target"])] = cell
        oracle[str(record["target"])] = Cell(float(record["oracle"]), detail=str(record["oracle_window"]))
    matrix = [
        Section(
            kind[:1].upper() + kind[1:],
            tuple(row([source, *(cells.get(name, Cell()) for name in targets)]) for source, cells in lines.items()),
        )
        for kind, lines in sections.items()
    ]
    bound = row([f"oracle: mean {measure}", *(oracle[name] for name in targets)], aside=True)
    return Table(
        " · ".join(filter(None, (f"What carries over: regret in {measure}", of))),
        columns,
        (*matrix, Section("For comparison", (bound,))),
        (
            f"Regret: mean {measure} of the best single window of a column’s own queries (the oracle, an upper bound), "
            "minus that of the window chosen elsewhere; darker is worse. Small: the window used, at the same relative "
            "depth where models differ in layers. Where row and column have their queries in common, windows are "
            "cross-validated: each query’s is chosen without its own fold.",
            "†: chosen on the very judgements that it is measured by; no result.",
        ),
    )


def _chosen_by(selection: Selection) -> str:
    how = {
        "cross-validation": f"{selection.folds}-fold cross-validation over queries",
        "other-collections": f"other collections: {', '.join(selection.collections)}",
        "test queries": "the test queries",
    }
    if selection.family == "fixed":
        return "given beforehand"
    if selection.family == "label-free":
        return "the signal, without judgements"
    return how.get(selection.chosen_by, selection.chosen_by)


def _windows(selection: Selection) -> str:
    counts: Counter[LayerWindow] = Counter()
    for chosen in selection.windows:
        counts[chosen.window] += len(chosen.qids)
    return ", ".join(f"{_span(window)} ({counts[window]})" for window in sorted(counts, key=lambda w: (-counts[w], w)))


def _span(window: LayerWindow) -> str:
    return f"L{window.span}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _error(value: Any) -> str:
    number = _number(value)
    return "" if number is None else f"±\u00a0{number:.2f}"
