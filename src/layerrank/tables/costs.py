"""What ranking costs, system by system."""

from __future__ import annotations

import pandas as pd

from layerrank.ranking.parsing import MISSING, OUT_OF_RANGE, REPEATED, UNPARSEABLE
from layerrank.systems import parse_system
from layerrank.tables.describe import Cell, Column, Section, Table, embolden, interval, row

COLUMNS = (
    Column("System"),
    Column("groups", ",.1f", group="Per query (mean)"),
    Column("memo hits", ",.1f", group="Per query (mean)"),
    Column("passes", ",.1f", group="Per query (mean)"),
    Column("prompt tokens", ",.0f", group="Per query (mean)"),
    Column("new tokens", ",.1f", group="Per query (mean)"),
    Column("truncated", ",.1f", group="Per query (mean)"),
    Column("median", ",.2f", group="Seconds per query", detail="quartiles"),
    Column("written", ",d", group="Answers"),
    Column("failed", ".1%", group="Answers", detail="how"),
)
COUNTED = ("groups", "memo_hits", "forward_passes", "prompt_tokens", "generated_tokens", "truncated_passages")
EVENTS = {UNPARSEABLE: "unparseable", OUT_OF_RANGE: "out of range", REPEATED: "repeated", MISSING: "missing"}


def cost_table(summaries: pd.DataFrame) -> Table:
    """A section a collection, model and variant, a row a system; `summaries` has the columns `costs.SUMMARY`."""
    sections = []
    for names, group in summaries.groupby(["collection", "model", "variant"], sort=False):
        collection, model, variant = map(str, names)
        rows = []
        for record in group.to_dict("records"):
            spread = interval(float(record["seconds_q1"]), float(record["seconds_q3"]), ",.2f")
            events = ", ".join(f"{words}\u00a0{record[name]}" for name, words in EVENTS.items() if record[name])
            rows.append(
                row(
                    [
                        parse_system(str(record["system"])).label,
                        *(float(record[name]) for name in COUNTED),
                        Cell(float(record["seconds_median"]), detail=spread),
                        int(record["answers"]) or None,
                        Cell(float(record["failure_rate"]), detail=events),
                    ]
                )
            )
        place = next(index for index, column in enumerate(COLUMNS) if column.title == "median")
        low, high = int(group["queries"].min()), int(group["queries"].max())
        queries = str(low) if low == high else f"{low} to {high}"
        title = " · ".join([collection, model, *([] if variant == "base" else [variant]), f"{queries} queries"])
        sections.append(Section(title, tuple(embolden(COLUMNS, rows, [place], lowest=True))))
    notes = (
        "Groups: comparisons that a framework asked for; memo hits: those answered from an equal one before. Passes: "
        "forward passes of the model. Truncated: passages cut to fit.",
        "Seconds: wall-clock of ranking, device synchronised, batches shared out by tokens; small: first and third "
        "quartile over queries. Bold: the lowest median.",
        "Whole-list attention is answered from the stored signal: its tokens and seconds are those of the one pass "
        "that read all layers.",
        "Failed: written answers that were not well-formed, with what was wrong; no answer is silently replaced. "
        "A dash: the mechanism writes none.",
    )
    return Table("What ranking costs", COLUMNS, tuple(sections), notes)
