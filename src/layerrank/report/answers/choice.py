"""Which way of choosing a window holds up, and what a few heads do in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from layerrank.core import frames
from layerrank.core.systems import (
    ALL_LAYERS,
    parse_system,
)
from layerrank.core.windows import Selection, rule_of, window_label
from layerrank.report.answers.page import Answer
from layerrank.report.answers.words import SIGNED, blind, listed, many
from layerrank.report.tables.describe import Cell, Column, Section, Table, row
from layerrank.report.tables.effectiveness import Marks
from layerrank.report.tables.layers import selection_table
from layerrank.report.tables.looked_up import Tests, means_by_system, of_measure, tests_of


def choice(
    selections: Sequence[Selection],
    means: pd.DataFrame,
    variant: str = "base",
    heads: tuple[pd.DataFrame, str, Marks] | None = None,
    heads_in: str = "base",
) -> Answer:
    """Which way of choosing a window holds up: what each rule's choice loses against the best single window.

    `selections` are those of all pairs of a collection and a model; `means` has the columns `frames.MEANS`, for what
    reading all layers, which is no choice, loses. `heads`, where the study chooses some, are the tables of `compare`
    (columns `frames.COMPARISON`), the measure and the marks by which they are held against windows in the variant
    `heads_in`.
    """
    fair = [selection for selection in selections if not selection.upper_bound]
    regrets: dict[str, list[float]] = {}
    for selection in fair:
        regrets.setdefault(selection.rule, []).append(selection.regret)
    every = []
    for collection, model, measure, oracle in dict.fromkeys(
        (one.collection, one.model, one.measure, one.oracle) for one in fair
    ):
        mean = means_by_system(of_measure(means, measure, variant)).get((collection, model), {}).get(ALL_LAYERS)
        every += [oracle - mean] if mean is not None else []
    measures = ", ".join(dict.fromkeys(selection.measure for selection in selections))
    pairs = len({(selection.collection, selection.model) for selection in fair})
    where = "" if pairs == 1 else f", on average over {pairs} pairs of a collection and a model"
    said = [f"{rule} {sum(found) / len(found):.3f}" for rule, found in regrets.items()]
    unstable = [one for one in fair if one.chosen_by == "cross-validation" and len(one.spans) > 1]
    best = f"against the best single window of the same queries{where}"
    statements = [f"Rules lose this much {measures} {best}: {listed(said)}."]
    if every:
        statements.append(f"Reading all layers, which is no choice, loses {sum(every) / len(every):.3f}.")
    if unstable:
        names = [f"{one.rule} for {one.model} on {one.collection} ({len(one.spans)} windows)" for one in unstable]
        named = listed(names[:3])
        more = f" and {len(unstable) - 3} more" if len(unstable) > 3 else ""
        statements.append(f"Folds disagree about the window: {named}{more}. Such a choice is not stable.")
    statements.append(
        "The best single window was found on the queries that it is measured on: regret is against an upper bound, and "
        "small differences between rules are noise on few queries."
    )
    if heads is not None:
        statements += _heads(tests_of(heads[0], frames.OF_HEADS, heads[1], heads_in), heads[1], heads[2], heads_in)
    return Answer(
        "Which way of choosing a window holds up?",
        tuple(statements) if fair else ("This study chooses no window.",),
        _narrow(selection_table(selections), ("Rule", "Windows (queries)", "selected", "regret")),
    )


def _heads(tests: Tests, measure: str, marks: Marks, variant: str) -> list[str]:
    """What chosen heads do in place of a window: against all layers, and against the windows that rules chose."""
    of_all: dict[str, list[float]] = {}
    against: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for (_, _, baseline, system), one in tests.items():
        if baseline == ALL_LAYERS:
            of_all.setdefault(window_label(parse_system(system).window), []).append(float(one["difference"]))
        if baseline == ALL_LAYERS or rule_of(parse_system(baseline).window):
            against[baseline == ALL_LAYERS].append(one)
    if not of_all:
        return []
    signed = Column("", SIGNED)
    said = [f"{name} {signed.show(sum(found) / len(found))}" for name, found in of_all.items()]
    where = "" if variant == "base" else f" (variant {variant})"
    told = [
        f"A few heads can be read in place of a window{where}: {measure} less that of all layers is {listed(said)}."
    ]
    for words, found in (("all layers", against[True]), ("a chosen window", against[False])):
        if found:
            kinds = Counter(marks.of(one) for one in found)
            told.append(
                f"Of {many(len(found), 'comparison')} of heads with {words}, {kinds['↑']} "
                f"{'is' if kinds['↑'] == 1 else 'are'} significantly better, {kinds['↓']} worse."
            )
    return told + blind([one for one in tests.values() if marks.blind(one)], marks)


def _narrow(table: Table, titles: Sequence[str]) -> Table:
    """Some columns of a table, without the small print of the first: what fits beside a figure."""
    places = [[column.title for column in table.columns].index(title) for title in titles]
    columns = (replace(table.columns[places[0]], detail=""), *(table.columns[place] for place in places[1:]))
    sections = tuple(
        Section(
            section.title,
            tuple(
                row([Cell(line.cells[places[0]].value), *(line.cells[place] for place in places[1:])], aside=line.aside)
                for line in section.rows
            ),
        )
        for section in table.sections
    )
    return replace(table, columns=columns, sections=sections)
