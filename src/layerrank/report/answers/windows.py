"""What a window of layers saves, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from layerrank.core import frames
from layerrank.core.systems import (
    ALL_LAYERS,
    FIRST_STAGE,
    parse_system,
    whole_list_windows,
)
from layerrank.core.windows import ALL, rule_of, window_label
from layerrank.report.answers.page import Answer
from layerrank.report.answers.words import SIGNED, blind, change, counts, kind_of, significance, sizes
from layerrank.report.tables.describe import P_VALUE, Cell, Column, Section, Table, Value, interval, row
from layerrank.report.tables.effectiveness import TESTS, Marks
from layerrank.report.tables.looked_up import by_system, means_by_system, of_measure, queries_of, tests_of
from layerrank.report.tables.orders import difference, records, tests_over_orders


def windows(
    means: pd.DataFrame,
    comparisons: pd.DataFrame,
    costs: pd.DataFrame,
    latencies: pd.DataFrame,
    measure: str,
    variant: str,
    marks: Marks,
    over_orders: pd.DataFrame | None = None,
) -> Answer:
    """What a window of layers saves against all layers, and what it loses.

    Args:
        means: of `aggregate`, columns `frames.MEANS`.
        comparisons: of `compare`, columns `frames.COMPARISON`.
        costs: of `summarise-costs`, columns `frames.SUMMARY`.
        latencies: of `measure-latency`, columns `frames.LATENCY`, for pairs that were timed.
        over_orders: of `evaluate-orders`, columns `frames.WINDOW_ORDERS`, where the study has further orders.
    """
    orders = {} if over_orders is None else _over_orders(over_orders)
    changes = tests_over_orders(comparisons, measure) if orders else {}
    columns = (
        Column("Window"),
        Column(measure, ".3f"),
        Column("from all layers", SIGNED, detail="95% interval"),
        Column("p, corrected", P_VALUE),
        Column("work, %", ".0f", group="Of all layers"),
        *([Column("seconds, %", ".0f", group="Of all layers")] if len(latencies) else []),
        *([Column("Kendall τ", ".2f", group="Over input orders")] if orders else []),
        *([Column("from all layers", SIGNED, group="Over input orders", detail="95% interval")] if orders else []),
    )
    sections, statements, kinds, fallen = [], [], [], []
    tests = tests_of(comparisons, frames.OF_WINDOWS, measure, variant)
    work = by_system(costs, "layer_tokens")
    means = of_measure(means, measure, variant)
    for (collection, model), own in means_by_system(means).items():
        if ALL_LAYERS not in own:
            continue
        timed = _seconds(latencies[(latencies["collection"] == collection) & (latencies["model"] == model)])
        every = own[ALL_LAYERS]
        clock = [100.0 if ALL_LAYERS in timed else None] if len(latencies) else []
        everywhere: list[Value | Cell] = (
            [orders[collection, model, ALL], Cell()] if (collection, model, ALL) in orders else []
        )
        rows = [row(["all layers", every, Cell(), Cell(), 100.0, *clock, *_filled(everywhere, orders)])]
        for name in whole_list_windows(own):
            one = tests.get((collection, model, ALL_LAYERS, name))
            share = 100 * work[collection, model, name] / work[collection, model, ALL_LAYERS]
            seconds = [100 * timed[name] / timed[ALL_LAYERS] if name in timed and ALL_LAYERS in timed else None]
            changed = (
                Cell(one["difference"], marks=marks.of(one), detail=interval(one["low"], one["high"], SIGNED))
                if one
                else Cell(own[name] - every)
            )
            p = Cell(one[TESTS[marks.test][0]]) if one else Cell()
            window = parse_system(name).window
            label = window_label(window)
            over = changes.get((collection, model, ALL_LAYERS, name))
            stable: list[Value | Cell] = [orders.get((collection, model, window)), difference(over, marks)]
            clock = seconds if len(latencies) else []
            rows.append(row([label, own[name], changed, p, share, *clock, *_filled(stable, orders)], aside=one is None))
            if one and rule_of(window):
                subject = f"{model} on {collection}: the {label}"
                kinds.append(kind_of(one, marks))
                statements.append(_saved(subject, share, one, kinds[-1]))
                if over and marks.of(over) == "↓":
                    fallen.append(f"{subject} is worse over input orders: {change(over)}, a significant loss.")
        for name in (name for name in timed if name not in own):
            label = f"{window_label(parse_system(name).window)} (timed only)"
            share_timed = 100 * timed[name] / timed[ALL_LAYERS] if ALL_LAYERS in timed else None
            rows.append(row([label, None, None, None, None, share_timed, *_filled([], orders)]))
        first = f"BM25 {own[FIRST_STAGE]:.3f}" if FIRST_STAGE in own else ""
        sections.append(
            Section(f"{model} on {collection} · {queries_of(means, collection)} queries · {first}", tuple(rows))
        )
    notes = (
        f"↑ ↓: better or worse than all layers; {significance(marks)} over the {sizes(tests)} windows. "
        "That no loss is shown does not show that there is none.",
        "A window ends the forward pass at its last layer: those above are neither loaded nor run. "
        "Work is tokens × layers; seconds are those of the windows that the study times, from text to scores.",
        "Greyed out: windows that an oracle chose on the test queries, an upper bound.",
        *(
            ["Over input orders: on the queries that run in all of them; the page “Relevance or place”."]
            if orders
            else []
        ),
    )
    few = statements if len(statements) <= 4 else _tallied(kinds)
    few += fallen if len(fallen) <= 4 else [f"{len(fallen)} of them are significantly worse over input orders."]
    few += blind([one for one in tests.values() if marks.blind(one)], marks)
    return Answer(
        "What does a window of layers save, and what does it cost?",
        tuple(few) or ("This study ranks with no selected window.",),
        Table("Windows", columns, tuple(sections), notes),
    )


def _over_orders(windows: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Kendall's τ between orders, by (collection, model, window)."""
    own = records(windows, "window")
    return {(str(one["collection"]), str(one["model"]), str(one["window"])): float(one["tau"]) for one in own}


def _filled(cells: Sequence[Value | Cell], orders: Mapping[Any, Any]) -> list[Value | Cell]:
    """The two cells of the columns over orders, where there are any."""
    return [*cells, *[None] * (2 - len(cells))] if orders else []


def _seconds(latency: pd.DataFrame) -> dict[str, float]:
    """Median seconds by system, loading apart."""
    timed = latency[latency["stage"] != "load"]
    total = timed[timed["stage"] == "total"]
    chosen = total if len(total) else timed
    return {str(name): float(part["median"].sum()) for name, part in chosen.groupby("system", sort=False)}


def _saved(subject: str, share: float, one: dict[str, Any], kind: str) -> str:
    return f"{subject} takes {share:.0f}% of the work of all layers and changes the mean by {change(one)}: {kind}."


def _tallied(kinds: Sequence[str]) -> list[str]:
    return [f"Of {len(kinds)} selected windows over all pairs of a collection and a model: {counts(kinds)}."]
