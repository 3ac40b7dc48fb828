"""The study's questions, each with its answer in words, numbers and one figure: a page that fits a screen.

Words follow from the numbers: what a corrected test does not show is said not to be shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from layerrank.core import files, frames
from layerrank.core.systems import (
    ALL_LAYERS,
    AVERAGED,
    CALIBRATED,
    CEILING,
    FIRST_STAGE,
    MECHANISMS,
    WHOLE_LIST,
    by_mechanism,
    parse_system,
    whole_list_windows,
)
from layerrank.core.windows import ALL, Selection, rule_of, window_label
from layerrank.report.tables.describe import P_VALUE, Cell, Column, Section, Table, Value, interval, row
from layerrank.report.tables.effectiveness import TESTS, Marks
from layerrank.report.tables.layers import selection_table
from layerrank.report.tables.looked_up import Tests, by_system, means_by_system, of_measure, queries_of, tests_of
from layerrank.report.tables.orders import difference, orders_table, records, tests_over_orders
from layerrank.report.tables.render import answer_page

SIGNED = "+.3f"
FEW_PAIRS = 4
"""Pairs of a collection and a model that a page speaks of one by one."""


@dataclass(frozen=True)
class Answer:
    """A question, what the study says about it, and the numbers behind."""

    question: str
    statements: tuple[str, ...]
    table: Table


def write(path: Path, answer: Answer, figure: Path, links: Sequence[tuple[str, str, str]] = ()) -> None:
    """Write a page with the SVG `figure` inside: it opens offline.

    `links` are pages where single queries are seen: (label, address from here, that inside a zipped report).
    """
    files.write_text(path, answer_page(answer, figure.read_text(encoding="utf-8"), links))


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
        Column("best layer", "d", detail="95 % interval"),
        Column("its depth", ".2f", detail="95 % interval"),
        Column("the first layers", SIGNED, group="Best layer, held out, less", detail="95 % interval"),
        Column("the last layers", SIGNED, group="Best layer, held out, less", detail="95 % interval"),
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
            _within(shape, "best_depth", ".2f"),
            *(_within(shape, name, SIGNED) for name in ("rise", "fall")),
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
    notes = (f"Bands and intervals: 95 % bootstrap over queries. Measure: {measure}, all judged queries.",)
    return Answer(
        "Where in the layers does relevance emerge?",
        statements,
        Table("Profiles", columns, (Section("", tuple(rows)),), notes),
    )


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
        Column("from likelihood", SIGNED, group="Attention’s difference", detail="95 % interval"),
        Column("from generation", SIGNED, group="Attention’s difference", detail="95 % interval"),
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
    way = f"Attention ({_listed(sorted(windows))})"
    sighted = [one for one in tests.values() if not marks.blind(one)]
    statements = (
        *(
            [
                f"{way} is better than another mechanism in {_counted(counts['better'], total)}.",
                f"It is worse in {_counted(counts['worse'], total)}.",
                f"No difference is shown in {_counted(counts['not shown to differ'], total, name=False)}: "
                "the intervals say how large one could still be.",
            ]
            if sighted
            else [f"{way} stands beside the other mechanisms in {total} comparisons."]
        ),
        *_blind([one for one in tests.values() if marks.blind(one)], marks),
        *failures(costs),
        f"Same candidates, texts and cuts everywhere; {every} queries in all. Against BM25: the table “all systems”.",
    )
    notes = (
        f"↑ ↓: attention better or worse; {_said(marks)} over {_sizes(tests)} comparisons of a collection and model.",
        "Below a mean: forward passes per query. A dash: a cell that this study leaves out.",
    )
    return Answer(
        "How does attention compare with generation and likelihood, framework by framework?",
        statements if total else ("This study has no framework with attention and another mechanism.",),
        Table("Mechanisms", columns, tuple(sections), notes),
    )


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
        Column("from all layers", SIGNED, detail="95 % interval"),
        Column("p, corrected", P_VALUE),
        Column("work, %", ".0f", group="Of all layers"),
        *([Column("seconds, %", ".0f", group="Of all layers")] if len(latencies) else []),
        *([Column("Kendall τ", ".2f", group="Over input orders")] if orders else []),
        *([Column("from all layers", SIGNED, group="Over input orders", detail="95 % interval")] if orders else []),
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
                kinds.append(_kind(one, marks))
                statements.append(_saved(subject, share, one, kinds[-1]))
                if over and marks.of(over) == "↓":
                    fallen.append(f"{subject} is worse over input orders: {_change(over)}, a significant loss.")
        for name in (name for name in timed if name not in own):
            label = f"{window_label(parse_system(name).window)} (timed only)"
            share_timed = 100 * timed[name] / timed[ALL_LAYERS] if ALL_LAYERS in timed else None
            rows.append(row([label, None, None, None, None, share_timed, *_filled([], orders)]))
        first = f"BM25 {own[FIRST_STAGE]:.3f}" if FIRST_STAGE in own else ""
        sections.append(
            Section(f"{model} on {collection} · {queries_of(means, collection)} queries · {first}", tuple(rows))
        )
    notes = (
        f"↑ ↓: better or worse than all layers; {_said(marks)} over the {_sizes(tests)} windows. "
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
    few += _blind([one for one in tests.values() if marks.blind(one)], marks)
    return Answer(
        "What does a window of layers save, and what does it cost?",
        tuple(few) or ("This study ranks with no selected window.",),
        Table("Windows", columns, tuple(sections), notes),
    )


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
    statements = [f"Rules lose this much {measures} {best}: {_listed(said)}."]
    if every:
        statements.append(f"Reading all layers, which is no choice, loses {sum(every) / len(every):.3f}.")
    if unstable:
        names = [f"{one.rule} for {one.model} on {one.collection} ({len(one.spans)} windows)" for one in unstable]
        named = _listed(names[:3])
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
        f"A few heads can be read in place of a window{where}: {measure} less that of all layers is {_listed(said)}."
    ]
    for words, found in (("all layers", against[True]), ("a chosen window", against[False])):
        if found:
            kinds = Counter(marks.of(one) for one in found)
            told.append(
                f"Of {_many(len(found), 'comparison')} of heads with {words}, {kinds['↑']} "
                f"{'is' if kinds['↑'] == 1 else 'are'} significantly better, {kinds['↓']} worse."
            )
    return told + _blind([one for one in tests.values() if marks.blind(one)], marks)


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


def _over_orders(windows: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Kendall's τ between orders, by (collection, model, window)."""
    own = records(windows, "window")
    return {(str(one["collection"]), str(one["model"]), str(one["window"])): float(one["tau"]) for one in own}


def _filled(cells: Sequence[Value | Cell], orders: Mapping[Any, Any]) -> list[Value | Cell]:
    """The two cells of the columns over orders, where there are any."""
    return [*cells, *[None] * (2 - len(cells))] if orders else []


def _change(one: dict[str, Any]) -> str:
    """A difference with its interval, in words."""
    span = interval(one["low"], one["high"], SIGNED).replace("\u00a0", " ")
    return f"{one['difference']:+.3f} {span}".replace("-0.", "−0.")


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
            said = [f"{model} on {collection}: {' '.join([*owed[:1], *map(_capital, owed[1:])])}"]
            statements += said if len(pairs) <= FEW_PAIRS else []
        else:
            chosen = _chosen_over_orders(own, tests, marks, collection, model)
            statements += map(_capital, [*owed, *chosen, *_remedied(own, tests, marks, collection, model)])
    if len(pairs) > 1:
        statements = [*_over_pairs(windows, tests, marks), *statements]
    table = orders_table(windows, comparisons, measure, marks)
    few = sorted({int(one["queries"]) for one in records(windows, "window")})
    return Answer(
        "Is it relevance, or the place in the prompt?",
        (*statements, f"On {_listed([str(number) for number in few])} queries, in every order the same candidates."),
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
            low, high = (_percent(pick(one[name] for one in every)) for pick in (min, max))
            spans.append(high if low == high else f"{low.removesuffix(' %')} to {high}")
        said.append(
            f"In {len(every)} pairs of a model and a collection, scores of all layers together owe {spans[0]} of their "
            f"variance to the passage and {spans[1]} to its place."
        )
    kinds: dict[str, list[str]] = {}
    for one in own:
        name, pair = str(one["window"]), (one["collection"], one["model"])
        if rule_of(name) and (found := tests.get((*pair, ALL_LAYERS, f"{WHOLE_LIST.name}-{name}"))):
            kinds.setdefault(window_label(name), []).append(_kind(found, marks))
    if kinds:
        told = "; ".join(f"the {name}, {_counts(found)}" for name, found in kinds.items())
        said.append(f"Over orders, against all layers: {told}.")
    for system, words in ((AVERAGED, "averaged over the orders"), (CALIBRATED, "calibrated by place")):
        pairs = dict.fromkeys((one["collection"], one["model"]) for one in own)
        tested = [tests.get((*pair, ALL_LAYERS, f"{system}-{ALL}")) for pair in pairs]
        if remedied := [_kind(one, marks) for one in tested if one]:
            said.append(f"Scores of all layers {words}, against plain ones: {_counts(remedied)}.")
    return said


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _counts(kinds: Sequence[str]) -> str:
    """`a significant loss in 2, no difference shown in 1`."""
    return ", ".join(f"{kind} in {count}" for kind, count in Counter(kinds).most_common())


def _owed(windows: pd.DataFrame, swept: pd.DataFrame, measure: str) -> list[str]:
    """What all layers, the best layer in the first stage's order and the best one over orders owe to what."""
    single = [one for one in _dicts(swept) if one["start"] == one["end"]]
    known = any(math.isfinite(one["passage"]) for one in single)
    said = []
    every = _every(windows)
    if known and every is not None:
        more = sum(one["passage"] > one["place"] for one in single)
        said.append(
            f"scores of all layers together owe {_percent(every['passage'])} of their variance to the passage and "
            f"{_percent(every['place'])} to its place; the passage outweighs the place in {more} of {len(single)} "
            "layers."
        )

    def owes(one: dict[str, Any]) -> str:
        if not known:
            return ""
        return f", {_percent(one['passage'])} owed to the passage and {_percent(one['place'])} to the place"

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
                f"differs from all layers by {_change(found)}: {_kind(found, marks)}."
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
        change = f"{_change(found)}, {_kind(found, marks)}" if found else f"{every[column] - every['value']:+.3f}"
        said.append(
            f"{words} change the mean over orders of all layers by {change}; of single layers they raise "
            f"{int((gain > 0).sum())} of {len(gain)}, by {gain.mean():+.3f} on average.".replace("by -", "by −")
        )
    return said


def _percent(share: float) -> str:
    return f"{100 * max(float(share), 0.0):.0f} %"


def failures(costs: pd.DataFrame, where: str = "Category 6 counts them by cell.") -> list[str]:
    """What to know of generation whose answers were not well-formed; `where` says where they are counted."""
    written = costs[costs["answers"] > 0]
    failed = written[written["failure_rate"] > 0.01]
    if not len(failed):
        return []
    rate = 100 * float((written["failure_rate"] * written["answers"]).sum() / written["answers"].sum())
    return [
        f"{rate:.0f} % of the answers that generation wrote are not well-formed: what cannot be read leaves passages "
        f"in their order, so such a cell comes near its input. {where}"
    ]


def _seconds(latency: pd.DataFrame) -> dict[str, float]:
    """Median seconds by system, loading apart."""
    timed = latency[latency["stage"] != "load"]
    total = timed[timed["stage"] == "total"]
    chosen = total if len(total) else timed
    return {str(name): float(part["median"].sum()) for name, part in chosen.groupby("system", sort=False)}


def _kind(one: dict[str, Any], marks: Marks) -> str:
    """What a test says of a difference."""
    unmarked = "too few queries to show a difference" if marks.blind(one) else "no difference shown"
    return {"↑": "a significant gain", "↓": "a significant loss", "": unmarked}[marks.of(one)]


def _saved(subject: str, share: float, one: dict[str, Any], kind: str) -> str:
    return f"{subject} takes {share:.0f} % of the work of all layers and changes the mean by {_change(one)}: {kind}."


def _tallied(kinds: Sequence[str]) -> list[str]:
    return [f"Of {len(kinds)} selected windows over all pairs of a collection and a model: {_counts(kinds)}."]


def _blind(tests: Sequence[dict[str, Any]], marks: Marks) -> list[str]:
    """Families whose smallest attainable p lies above the level."""
    found = sorted({(int(one["queries"]), int(one["tests"]), float(one["p_attainable"])) for one in tests})
    return [
        f"{_many(queries, 'query')} cannot show a difference in a family of {_many(size, 'test')}: the smallest "
        f"corrected p that they can give is {p:.2g}, and α is {marks.alpha:g}."
        for queries, size, p in found[:2]
    ]


def _many(number: int, noun: str) -> str:
    return (
        f"{number} {noun}" if number == 1 else f"{number} {noun.removesuffix('y')}{'ies' if noun[-1] == 'y' else 's'}"
    )


def _said(marks: Marks) -> str:
    return f"{TESTS[marks.test][1]}, two-sided, α = {marks.alpha:g} after Holm’s correction"


def _within(record: Mapping[Hashable, Any], name: str, form: str) -> Cell:
    """A mean with its interval."""
    return Cell(float(record[name]), detail=interval(float(record[f"{name}_low"]), float(record[f"{name}_high"]), form))


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
        named = f" ({_listed(names)})" if len(names) <= 6 else ""
        said += [f"{len(names)} {'is' if len(names) == 1 else 'are'} {words}{named}"] * bool(names)
    return f"Of {len(verdicts)} profiles, {_listed(said)}."


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


def _counted(names: Sequence[str], total: int, name: bool = True) -> str:
    said = f"{len(names)} of {total} comparisons"
    return f"{said}: {_listed(names)}" if names and name and len(names) <= 6 else said


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def _sizes(tests: Mapping[tuple[str, ...], dict[str, Any]]) -> str:
    """The sizes of the families that these tests are from."""
    sizes = {int(one["tests"]) for one in tests.values()}
    return " to ".join(str(size) for size in sorted({min(sizes), max(sizes)})) if sizes else "0"
