"""Chosen heads: what they rank against windows, how far sets agree, and what carries over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from layerrank.core import frames
from layerrank.core.heads import HeadSelection
from layerrank.core.systems import ALL_LAYERS, parse_system, whole_list_heads, whole_list_windows
from layerrank.core.windows import ALL, head_rule_of, rule_of, span_of, window_label
from layerrank.report.tables.describe import P_VALUE, Cell, Column, Row, Section, Table, Value, interval, row
from layerrank.report.tables.effectiveness import TESTS, Marks
from layerrank.report.tables.looked_up import Tests, by_system, means_by_system, of_measure, queries_of, tests_of
from layerrank.report.tables.orders import difference, records, tests_over_orders, within

SIGNED = "+.3f"
OVER_ORDERS_COLUMNS = (
    Column("Kendall τ", ".2f", group="Over input orders", detail="95% interval"),
    Column("value", ".3f", group="Over input orders", detail="95% interval"),
    Column("difference", SIGNED, group="Over input orders", detail="95% interval"),
)
Chosen = Mapping[tuple[str, str, str], HeadSelection]
"""Files of `choose-heads`, by collection, model and rule."""


def heads_table(
    means: pd.DataFrame,
    comparisons: pd.DataFrame,
    costs: pd.DataFrame,
    chosen: Chosen,
    measure: str,
    marks: Marks,
    over_orders: pd.DataFrame | None = None,
    variant: str = "base",
) -> Table:
    """Windows against heads against heads within a window: a section a collection and model, then their pairs.

    Args:
        means: of `aggregate`, columns `frames.MEANS`.
        comparisons: of `compare`, columns `frames.COMPARISON`.
        costs: of `summarise-costs`, columns `frames.SUMMARY`.
        chosen: what the rules chose.
        over_orders: of `evaluate-orders`, columns `frames.WINDOW_ORDERS`, where the study has further orders.
        variant: in which heads and windows are held against each other.
    """
    orders = [] if over_orders is None else records(over_orders, "window")
    stable = {(str(one["collection"]), str(one["model"]), str(one["window"])): one for one in orders}
    changes = tests_over_orders(comparisons, measure) if stable else {}
    columns = (
        Column("Reads", detail="heads, layers"),
        Column(measure, ".3f", detail="95% interval"),
        Column("work, %", ".0f"),
        Column("difference", SIGNED, detail="95% interval"),
        Column("p, corrected", P_VALUE),
        *(OVER_ORDERS_COLUMNS if stable else ()),
    )
    tests = tests_of(comparisons, frames.OF_HEADS, measure, variant)
    of_windows = tests_of(comparisons, frames.OF_WINDOWS, measure, variant)
    work = by_system(costs, "layer_tokens")
    means = of_measure(means, measure, variant)
    ends = {
        (str(one["collection"]), str(one["model"]), str(one["system"])): (float(one["low"]), float(one["high"]))
        for one in means.to_dict("records")
    }
    sections = []
    for (collection, model), own in means_by_system(means).items():
        heads = whole_list_heads(own)
        selected = [name for name in whole_list_windows(own) if rule_of(parse_system(name).window)]
        names = [name for name in (ALL_LAYERS, *selected, *heads) if name in own]
        rows = []
        for name in names:
            key = collection, model, name
            window = parse_system(name).window
            one = (tests | of_windows).get((collection, model, ALL_LAYERS, name))
            share = 100 * work[key] / work[collection, model, ALL_LAYERS]
            detail = _read(chosen.get((collection, model, head_rule_of(window) or "")))
            over = stable.get((collection, model, window))
            change = changes.get((collection, model, ALL_LAYERS, name))
            rows.append(
                row(
                    [
                        Cell(window_label(window), detail=detail),
                        Cell(own[name], detail=interval(*ends[key], ".3f")),
                        share,
                        *_tested(one, marks),
                        *([_agreement(over), _value(over), difference(change, marks)] if stable else []),
                    ],
                    aside=parse_system(name).upper_bound,
                )
            )
        queries = queries_of(means, collection)
        sections.append(
            Section(f"{model} on {collection} · {queries} queries · difference from all layers", tuple(rows))
        )
        pairs = [
            row(
                [
                    *(_pair(key[2], key[3]), None, None, *_tested(one, marks)),
                    *([None, None, difference(changes.get(key), marks)] if stable else []),
                ]
            )
            for key, one in tests.items()
            if key[:2] == (collection, model) and key[2] != ALL_LAYERS
        ]
        sections += [Section("The first less the second", tuple(pairs))] * bool(pairs)
    return Table(
        f"Windows, heads, and heads within a window: {measure}" + (f" · {variant}" if variant != "base" else ""),
        columns,
        tuple(sections),
        (
            "Each query is ranked by a window or by heads that were chosen without its judgements. Work: tokens × "
            "layers, in per cent of all layers; a pass ends at the deepest head’s layer, as at a window’s last.",
            f"↑ ↓: {TESTS[marks.test][1]}, two-sided, α = {marks.alpha:g} after Holm’s correction over the "
            f"{_sizes(tests)} tests of a collection and model in which heads stand against all layers, chosen windows "
            "and one another; windows against all layers are a family of their own.",
            "Greyed out: chosen on the test queries’ own judgements, an upper bound.",
            *(
                [
                    "Over input orders: mean Kendall τ between a query’s rankings under pairs of orders, mean of the "
                    "measure over orders, and differences of such means, on the queries that run in all of them. Under "
                    "the mask no stored signal answers for chosen heads: they stand empty."
                ]
                * bool(stable)
            ),
        ),
    )


def agreement_table(agreement: pd.DataFrame) -> Table:
    """How far sets of heads agree (columns `frames.HEAD_AGREEMENT`): a section a kind, a row a rule and pair."""
    columns = (
        Column("Rule", detail="where"),
        Column("between"),
        Column("heads", "d"),
        Column("in common, %", ".0f"),
        Column("by chance, %", ".0f"),
        Column("Spearman’s ρ", "+.2f", detail="of all ranks"),
    )
    titles = {"folds": "Folds of one collection", "collections": "Collections", "models": "Models", "dtypes": "Dtypes"}
    sections: dict[str, list[Row]] = {}
    for one in agreement.to_dict("records"):
        between = " and ".join(str(one[key]) for key in ("one", "other") if str(one[key]))
        cells: list[Value | Cell] = [
            Cell(f"{one['rule']} heads", detail=str(one["within"])),
            between,
            int(one["heads"]),
            *(100 * float(one[key]) for key in ("overlap", "chance")),
            float(one["correlation"]),
        ]
        sections.setdefault(titles[str(one["kind"])], []).append(row(cells))
    return Table(
        "How far sets of heads agree",
        columns,
        tuple(Section(title, tuple(rows)) for title, rows in sections.items()),
        (
            "In common: the share of a rule’s best heads that both sets hold; between folds, the mean over pairs of "
            "folds, whose sets share most of their queries. By chance: for sets drawn from all heads that the rule "
            "allows. ρ: between the ranks of all those heads.",
            "Models are held against each other where they have as many layers and heads: others share none.",
        ),
    )


def head_transfer_table(transfer: pd.DataFrame) -> Table:
    """What heads chosen elsewhere rank (columns `frames.HEAD_TRANSFER`): a section a model and target."""
    measure = ", ".join(dict.fromkeys(map(str, transfer["measure"])))
    strategy = ", ".join(dict.fromkeys(map(str, transfer["strategy"])))
    columns = (
        Column("Rule"),
        Column("chosen on"),
        Column("heads", "d"),
        Column(measure, ".3f", detail="95% interval"),
        Column("less its own", SIGNED, detail="95% interval"),
        Column("in common, %", ".0f"),
    )
    sections: dict[str, list[Row]] = {}
    for one in transfer.to_dict("records"):
        own = one["source"] == one["target"]
        apart = Cell() if own else _between(one, "difference", SIGNED)
        cells: list[Value | Cell] = [
            f"{one['rule']} heads",
            "itself, without the query’s fold" if own else str(one["source"]),
            int(one["heads"]),
            Cell(float(one["value"]), detail=interval(float(one["low"]), float(one["high"]), ".3f")),
            apart,
            None if own else 100 * float(one["overlap"]),
        ]
        sections.setdefault(f"{one['model']} · used on {one['target']}", []).append(row(cells))
    return Table(
        f"Heads chosen elsewhere: {measure} under {strategy}",
        columns,
        tuple(Section(title, tuple(rows)) for title, rows in sections.items()),
        (
            f"Rankings by a rule’s heads under {strategy}, which the stored signal answers exactly. Less its own: "
            "against the heads that the same rule chose on the collection itself, without its queries’ judgements; "
            "paired by query.",
        ),
    )


def _between(one: Mapping[Hashable, object], name: str, form: str) -> Cell:
    value, low, high = (float(str(one[f"{name}{end}"])) for end in ("", "_low", "_high"))
    return Cell(value, detail=interval(low, high, form))


def _agreement(over: dict[str, Any] | None) -> Cell:
    return Cell() if over is None else within(over, "tau", ".2f")


def _value(over: dict[str, Any] | None) -> Cell:
    return Cell() if over is None else within(over, "value", ".3f")


def _tested(one: dict[str, object] | None, marks: Marks) -> tuple[Cell, Cell]:
    if one is None:
        return Cell(), Cell()
    low, high, difference, p = (float(str(one[key])) for key in ("low", "high", "difference", TESTS[marks.test][0]))
    return Cell(difference, marks=marks.of(one), detail=interval(low, high, SIGNED)), Cell(p)


def _pair(baseline: str, system: str) -> str:
    return " − ".join(window_label(parse_system(name).window) for name in (system, baseline))


def _read(selection: HeadSelection | None) -> str:
    """How many heads of which layers a rule chose: `8, L5–L17`; sets of folds span what they span together."""
    if selection is None:
        return ""
    sets = [each.heads for each in selection.sets] or [selection.default]
    spans = [span_of(heads) for heads in sets]
    sizes = Counter(len(heads) for heads in sets)
    within = selection.settings.get("window", ALL)
    where = "" if within == ALL else f" within {window_label(within) if rule_of(within) else within}"
    last = sorted({span.end for span in spans})
    ends = str(last[0]) if len(last) == 1 else f"{last[0]} to {last[-1]}"
    return f"{'/'.join(map(str, sizes))} heads{where}, up to layer {ends}"


def _sizes(tests: Tests) -> str:
    sizes = {int(one["tests"]) for one in tests.values()}
    return " to ".join(str(size) for size in sorted({min(sizes), max(sizes)})) if sizes else "no"
