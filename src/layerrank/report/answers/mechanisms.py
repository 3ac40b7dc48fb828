"""How attention compares with generation and likelihood, framework by framework."""

from __future__ import annotations

import pandas as pd

from layerrank.core import frames
from layerrank.core.systems import (
    CEILING,
    FIRST_STAGE,
    MECHANISMS,
    by_mechanism,
    parse_system,
)
from layerrank.core.windows import window_label
from layerrank.report.answers.page import Answer
from layerrank.report.answers.words import SIGNED, blind, counted, failures, listed, significance, sizes
from layerrank.report.tables.describe import Cell, Column, Section, Table, Value, interval, row
from layerrank.report.tables.effectiveness import Marks
from layerrank.report.tables.looked_up import by_system, means_by_system, of_measure, queries_of, tests_of


def mechanisms(
    means: pd.DataFrame, comparisons: pd.DataFrame, costs: pd.DataFrame, measure: str, variant: str, marks: Marks
) -> Answer:
    """How attention compares with likelihood and generation in each framework, on the same candidates.

    Attention reads all layers, or the first window that is no oracle's (`systems.by_mechanism`).

    Args:
        means: of `aggregate`, columns `frames.MEANS`; `variant` is the grid's.
        comparisons: of `compare`, columns `frames.COMPARISON`.
        costs: of `summarise-costs`, columns `frames.SUMMARY`, for the passes of each cell.
    """
    columns = (
        Column("Framework"),
        *(Column(name, ".3f", group=measure, detail="forward passes per query") for name in MECHANISMS),
        Column("from likelihood", SIGNED, group="Attention’s difference", detail="95% interval"),
        Column("from generation", SIGNED, group="Attention’s difference", detail="95% interval"),
    )
    sections = []
    counts: dict[str, list[str]] = {"better": [], "worse": [], "not shown to differ": [], "blind": []}
    tests = tests_of(comparisons, frames.OF_MECHANISMS, measure, variant)
    passes = by_system(costs, "forward_passes")
    means = of_measure(means, measure, variant)
    found = means_by_system(means)
    for (collection, model), own in found.items():
        rows = []
        for framework, ways in by_mechanism(own).items():
            shown: list[Value | Cell] = [framework]
            for way in MECHANISMS:
                name = ways.get(way, "")
                number = passes.get((collection, model, name))
                detail = "" if number is None else format(number, ".1f")
                shown.append(Cell(own[name], detail=detail) if name else Cell())
            for other in MECHANISMS[1:]:
                one = tests.get((collection, model, ways.get(other, ""), ways.get("attention", "")))
                if one is None:
                    shown.append(Cell())
                    continue
                mark = marks.of(one)
                kind = {"↑": "better", "↓": "worse", "": "blind" if marks.blind(one) else "not shown to differ"}[mark]
                where = f" ({model} on {collection})" if len(found) > 1 else ""
                counts[kind].append(f"{framework} against {other}{where}")
                shown.append(Cell(one["difference"], marks=mark, detail=interval(one["low"], one["high"], SIGNED)))
            rows.append(row(shown))
        first = f"BM25 {own[FIRST_STAGE]:.3f}" if FIRST_STAGE in own else ""
        ceiling = f", ceiling {own[CEILING]:.3f}" if CEILING in own else ""
        queries = queries_of(means, collection)
        sections.append(Section(f"{model} on {collection} · {queries} queries · {first}{ceiling}", tuple(rows)))
    total = sum(map(len, counts.values()))
    read = {ways["attention"] for own in found.values() for ways in by_mechanism(own).values() if "attention" in ways}
    windows = {window_label(parse_system(name).window) for name in read}
    every = sum(queries_of(means, collection) for collection in {name for name, _ in found})
    way = f"Attention ({listed(sorted(windows))})"
    sighted = [one for one in tests.values() if not marks.blind(one)]
    statements = (
        *(
            [
                f"{way} is better than another mechanism in {counted(counts['better'], total)}.",
                f"It is worse in {counted(counts['worse'], total)}.",
                f"No difference is shown in {counted(counts['not shown to differ'], total, name=False)}: "
                "the intervals say how large one could still be.",
            ]
            if sighted
            else [f"{way} stands beside the other mechanisms in {total} comparisons."]
        ),
        *blind([one for one in tests.values() if marks.blind(one)], marks),
        *failures(costs),
        f"Same candidates, texts and cuts everywhere; {every} queries in all. Against BM25: the table “all systems”.",
    )
    notes = (
        f"↑ ↓: attention better or worse; {significance(marks)} over {sizes(tests)} comparisons of a collection and "
        "model.",
        "Below a mean: forward passes per query. A dash: a cell that this study leaves out.",
    )
    return Answer(
        "How does attention compare with generation and likelihood, framework by framework?",
        statements if total else ("This study has no framework with attention and another mechanism.",),
        Table("Mechanisms", columns, tuple(sections), notes),
    )
