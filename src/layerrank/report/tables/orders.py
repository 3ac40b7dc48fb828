"""Windows over input orders: what their scores owe to the passage, how stable they are, and whether a remedy helps."""

from __future__ import annotations

from typing import Any

import pandas as pd

from layerrank.core import frames
from layerrank.core.systems import ALL_LAYERS, AVERAGED, CALIBRATED, WHOLE_LIST
from layerrank.core.windows import is_upper_bound, window_label
from layerrank.report.tables.describe import Cell, Column, Row, Section, Table, Value, interval, row
from layerrank.report.tables.effectiveness import TESTS, Marks

SIGNED = "+.3f"
OVER_ORDERS = "orders"
Tests = dict[tuple[str, ...], dict[str, Any]]


def orders_table(windows: pd.DataFrame, comparisons: pd.DataFrame, measure: str, marks: Marks) -> Table:
    """A section a collection and model, a row a window.

    `windows` are files of `evaluate-orders` (columns `frames.WINDOW_ORDERS`), `comparisons` those of `compare`.
    """
    columns = (
        Column("Window"),
        Column("passage", ".2f", group="Share of the variance", detail="95% interval"),
        Column("place", ".2f", group="Share of the variance", detail="95% interval"),
        Column("Kendall τ", ".2f", group="Between orders", detail="95% interval"),
        Column("same first", ".2f", group="Between orders"),
        Column("first stage’s order", ".3f", group=measure),
        Column("over orders", ".3f", group=measure, detail="95% interval"),
        Column("by order", ".3f", group=measure, detail="lowest, highest"),
        Column("from all layers", SIGNED, group="Over orders", detail="95% interval"),
        Column("order-averaged", SIGNED, group="What it adds over orders", detail="95% interval"),
        Column("place-calibrated", SIGNED, group="What it adds over orders", detail="95% interval"),
    )
    tests = tests_over_orders(comparisons, measure)
    sections: dict[str, list[Row]] = {}
    for one in records(windows, "window"):
        pair = str(one["collection"]), str(one["model"])
        name = str(one["window"])
        plain = f"{WHOLE_LIST.name}-{name}"
        remedies = (
            (f"{AVERAGED}-{name}", one["averaged"] - one["value"]),
            (f"{CALIBRATED}-{name}", one["calibrated"] - one["value"]),
        )
        values: list[Value | Cell] = [
            window_label(name),
            *(within(one, column, ".2f") for column in ("passage", "place", "tau")),
            float(one["first"]),
            float(one["base"]),
            within(one, "value", ".3f"),
            Cell(float(one["spread"]), detail=interval(one["lowest"], one["highest"], ".3f")),
            difference(tests.get((*pair, ALL_LAYERS, plain)), marks),
            *(difference(tests.get((*pair, plain, system)), marks, float(by)) for system, by in remedies),
        ]
        title = f"{pair[1]} on {pair[0]} · {int(one['queries'])} queries · {int(one['orders'])} orders"
        sections.setdefault(title, []).append(row(values, aside=is_upper_bound(name)))
    return Table(
        f"Windows over input orders: {measure}",
        columns,
        tuple(Section(title, tuple(rows)) for title, rows in sections.items()),
        (
            "Shares of the variance of standardised scores under shuffles: what stays with a passage whatever its "
            "place (it bounds what relevance can be), and what stays with a place whatever its passage. Between "
            "orders: mean Kendall τ of a query’s rankings, and the share of pairs of orders that agree on the first "
            "passage.",
            "Over orders: mean over the first stage’s order, its reverse and shuffles, as far as the study has them; "
            "its interval is of a bootstrap over queries and orders together. By order: the standard deviation of the "
            "orders’ means.",
            "Order-averaged: scores averaged over all orders, which takes a pass for each. Place-calibrated: less the "
            "mean score of the place on other queries’ shuffles; no further pass, no judgement. "
            f"↑ ↓: {TESTS[marks.test][1]}, two-sided, α = {marks.alpha:g} after Holm’s correction.",
            "Greyed out: windows that an oracle chose on the test queries, an upper bound.",
        ),
    )


def records(windows: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Rows of `frames.WINDOW_ORDERS` of one kind, `window` or `layer`."""
    return [
        {str(key): value for key, value in one.items()} for one in windows[windows["kind"] == kind].to_dict("records")
    ]


def tests_over_orders(comparisons: pd.DataFrame, measure: str) -> Tests:
    """Comparisons of means over orders: of windows, heads and remedies, by (collection, model, baseline, system)."""
    own = comparisons[
        (comparisons["variant"] == OVER_ORDERS)
        & (comparisons["measure"] == measure)
        & comparisons["family"].isin([frames.OF_WINDOWS, frames.OF_REMEDIES, frames.OF_HEADS])
    ]
    rows = [{str(key): value for key, value in one.items()} for one in own.to_dict("records")]
    return {tuple(one[key] for key in ("collection", "model", "baseline", "system")): one for one in rows}


def difference(one: dict[str, Any] | None, marks: Marks, untested: float | None = None) -> Cell:
    """A tested difference with its interval and mark; without a test the difference alone, if there is one."""
    if one is None:
        return Cell(untested)
    return Cell(one["difference"], marks=marks.of(one), detail=interval(one["low"], one["high"], SIGNED))


def within(one: dict[str, Any], name: str, form: str) -> Cell:
    """A mean with its interval."""
    return Cell(float(one[name]), detail=interval(float(one[f"{name}_low"]), float(one[f"{name}_high"]), form))
