"""Layers and windows: which windows were chosen and what that lost, the shape of profiles, what carries over."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from layerrank.core.windows import LayerWindow, Selection, fixed_window, rule_of
from layerrank.report.tables.describe import Cell, Column, Row, Section, Table, Value, interval, row
from layerrank.report.tables.orders import records, within

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
    Column("best layer", "d", detail="95% interval"),
    Column("its depth", ".2f", detail="95% interval"),
    Column("the first layers", "+.3f", group="Best layer, held out, less", detail="95% interval"),
    Column("the last layers", "+.3f", group="Best layer, held out, less", detail="95% interval"),
    Column("first layers", ".2f", group="Share of the rise lost by", detail="95% interval"),
    Column("last layers", ".2f", group="Share of the rise lost by", detail="95% interval"),
    Column("bell", ".2f", group="Weighted R²"),
    Column("asymmetric", ".2f", group="Weighted R²"),
    Column("monotone", ".2f", group="Weighted R²"),
)
HELD_OUT = (("best_depth", ".2f"), ("rise", "+.3f"), ("fall", "+.3f"), ("lost_first", ".2f"), ("lost_last", ".2f"))


OVER_ORDERS_COLUMNS = (
    Column("Kendall τ", ".2f", group="Over input orders"),
    Column("value", ".3f", group="Over input orders", detail="95% interval"),
    Column("regret", ".3f", group="Over input orders", detail="against window"),
)


def selection_table(selections: Sequence[Selection], over_orders: pd.DataFrame | None = None) -> Table:
    """A section a collection and model, a row a rule.

    `over_orders` are tables of `evaluate-orders` (columns `frames.WINDOW_ORDERS`), where the study has further orders.
    """
    orders = {} if over_orders is None else _by_window(over_orders)
    sections: dict[str, list[Row]] = {}
    measures: dict[str, None] = {}
    for selection in selections:
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
            *(_over_orders(orders.get((selection.collection, selection.model, selection.rule))) if orders else []),
        ]
        title = f"{selection.collection} · {selection.model} · {selection.layers} layers"
        sections.setdefault(title, []).append(row(values, aside=selection.upper_bound))
    notes = (
        f"Selected: mean {', '.join(measures)} over all judged queries, each under the window that was chosen for it "
        "without its judgements. Oracle: the best single window on those same queries. Regret: what the choice lost "
        "against it; it is negative where folds chose better than any single window.",
        "Greyed out: chosen on the test queries’ own judgements, an upper bound and no result.",
        *(
            ["Over input orders: on the queries that run in all of them; regret against the best single window there."]
            * bool(orders)
        ),
    )
    return Table(
        f"Windows chosen: {', '.join(measures)}",
        SELECTION_COLUMNS + (OVER_ORDERS_COLUMNS if orders else ()),
        tuple(Section(title, tuple(sorted(rows, key=lambda line: line.aside))) for title, rows in sections.items()),
        notes,
    )


def _by_window(windows: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows of the windows that rules chose, by collection, model and rule."""
    return {
        (str(one["collection"]), str(one["model"]), rule): one
        for one in records(windows, "window")
        if (rule := rule_of(str(one["window"])))
    }


def _over_orders(one: dict[str, Any] | None) -> list[Cell]:
    if one is None:
        return [Cell(), Cell(), Cell()]
    span = _span(fixed_window(str(one["oracle_window"])) or LayerWindow(0, 0))
    return [Cell(float(one["tau"])), within(one, "value", ".3f"), Cell(float(one["regret"]), detail=span)]


def shape_table(shapes: pd.DataFrame) -> Table:
    """A section a measure, a row a collection and model, from `layer-shape` (columns `frames.SHAPE`).

    Where there are several, how many have which shape closes a section.
    """
    sections: dict[str, list[Row]] = {}
    verdicts: dict[str, Counter[str]] = {}
    for record in shapes.to_dict("records"):
        measure, verdict = str(record["measure"]), str(record["verdict"])
        verdicts.setdefault(measure, Counter())[verdict] += 1
        sections.setdefault(measure, []).append(
            row(
                [
                    f"{record['collection']} · {record['model']}",
                    Cell(verdict, detail=str(record["reason"]), bold=verdict == "bell"),
                    Cell(int(record["best_layer"]), detail=_ends(record, "best", ".0f")),
                    *(Cell(_number(record[name]), detail=_ends(record, name, form)) for name, form in HELD_OUT),
                    *(_number(record[f"r2_{name}"]) for name in ("bell", "asymmetric", "monotone")),
                ]
            )
        )
    counts = [
        f"{measure}: {', '.join(f'{verdict} {count}' for verdict, count in found.most_common())}."
        for measure, found in verdicts.items()
        if found.total() > 1
    ]
    return Table(
        "Shape of the layer profiles",
        SHAPE_COLUMNS,
        tuple(Section(measure if len(sections) > 1 else "", tuple(rows)) for measure, rows in sections.items()),
        (
            *([f"Shapes counted: {' '.join(counts)}"] if counts else []),
            "Held out: the best layer is chosen on random halves of the queries and compared on the others with the "
            "mean of the first and of the last sixth of the layers. The rise is the larger of the two differences. The "
            "shape follows from these intervals.",
            "R²: share of the weighted variance that a Gaussian bump, a bump with its own width and floor on either "
            "side, and a logistic slope explain: descriptions, and no ground for the shape. Depth: 0 the first layer, "
            "1 the last.",
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


def _ends(record: dict[Any, Any], name: str, form: str) -> str:
    return interval(float(record[f"{name}_low"]), float(record[f"{name}_high"]), form)
