"""What a mean may owe to ties and to passages that nobody judged."""

from __future__ import annotations

import pandas as pd

from layerrank.core.systems import parse_system
from layerrank.report.tables.describe import Column, Section, Table, row

COLUMNS = (
    Column("System"),
    Column("reported", ".3f"),
    Column("pairs tied", ".1%", group="Ties"),
    Column("broken at random", ".3f", group="Ties"),
    Column("change", "+.3f", group="Ties"),
    Column("judged at the cut-off", ".1%", group="Judgements"),
    Column("without unjudged", ".3f", group="Judgements"),
)


def audit_table(audited: pd.DataFrame) -> Table:
    """A section a collection, model, variant and measure, a row a system; `audited` has the columns `frames.AUDIT`."""
    sections = []
    for names, group in audited.groupby(["collection", "model", "variant", "measure"], sort=False):
        collection, model, variant, measure = map(str, names)
        if len(group) > 1 and group[["value", "tied_value"]].round(6).stack().nunique() == 1:
            continue  # no system changes it, such as recall at the depth of the candidates
        rows = tuple(
            row(
                [
                    parse_system(str(record["system"])).label,
                    *(float(record[name]) for name in ("value", "tied_pairs", "tied_value")),
                    float(record["tied_value"]) - float(record["value"]),
                    *(float(record[name]) for name in ("judged", "condensed")),
                ]
            )
            for record in group.to_dict("records")
        )
        own = [] if variant == "base" else [variant]
        title = " · ".join([collection, model, *own, measure, f"{int(group['queries'].max())} queries"])
        sections.append(Section(title, rows))
    return Table(
        "Ties and unjudged passages",
        COLUMNS,
        tuple(sections),
        (
            "Pairs tied: share of all pairs of candidates that a system gives one score. The mean that is reported "
            "breaks ties by the input order, which is the first stage’s; the one beside it is over 1,000 random orders "
            "of the tied.",
            "Judged: share of the ranks down to the measure’s cut-off that hold a judged passage. Without unjudged: "
            "the measure of the ranking with unjudged passages taken out.",
        ),
    )
