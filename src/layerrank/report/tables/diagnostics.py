"""Whether scores follow place in the prompt or length of the passage, as a table of rank correlations."""

from __future__ import annotations

import pandas as pd

from layerrank.core.systems import parse_system
from layerrank.report.tables.describe import Cell, Column, Section, Table, interval, row

SIGNED = "+.2f"
SHOWN = (
    ("place", "all"),
    ("place", "not relevant"),
    ("tokens", "all"),
    ("tokens", "not relevant"),
    ("longest", "not relevant"),
)
COLUMNS = (
    Column("System"),
    Column("all passages", SIGNED, group="ρ with place in the prompt", detail="95% interval"),
    Column("not relevant", SIGNED, group="ρ with place in the prompt", detail="95% interval"),
    Column("all passages", SIGNED, group="ρ with passage length", detail="95% interval"),
    Column("not relevant", SIGNED, group="ρ with passage length", detail="95% interval"),
    Column("longest one that is not relevant above the best relevant one", ".0%", detail="95% interval"),
)


def diagnostics_table(correlations: pd.DataFrame) -> Table:
    """A section a collection, model and variant, a row a system; `correlations` has `frames.CORRELATION`."""
    sections = []
    for names, group in correlations.groupby(["collection", "model", "variant"], sort=False):
        collection, model, variant = map(str, names)
        records = {
            (record["system"], record["diagnostic"], record["passages"]): record for record in group.to_dict("records")
        }
        rows = []
        for system in dict.fromkeys(group["system"]):
            found = [records[system, diagnostic, passages] for diagnostic, passages in SHOWN]
            cells = [
                Cell(float(record["mean"]), detail=interval(float(record["low"]), float(record["high"]), column.form))
                for column, record in zip(COLUMNS[1:], found, strict=True)
            ]
            rows.append(row([parse_system(str(system)).label, *cells]))
        queries = int(group["queries"].max())
        title = " · ".join([collection, model, *([] if variant == "base" else [variant]), f"{queries} queries"])
        sections.append(Section(title, tuple(rows)))
    return Table(
        "Position bias and length bias",
        COLUMNS,
        tuple(sections),
        (
            "ρ: Spearman’s rank correlation of score with place or length within a query, mean over queries. Small: "
            "95% bootstrap interval over queries.",
            "Place: in the prompt of whole-list attention, whose last passage stands next to the query; positive: "
            "later passages score higher. The first stage ordered the passages, so ρ over all of them shows relevance "
            "too; ρ over those that are not relevant shows the bias more plainly, and a shuffled order shows it best.",
            "Length: tokens of the passage as shown. The last column is the share of queries in which the longest "
            "passage that is not relevant outranks the best relevant one, of the queries that have both.",
        ),
    )
