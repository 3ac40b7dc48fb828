"""What ranking costs, system by system."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from layerrank.core.frames import COUNTS
from layerrank.core.records import ANSWERS, MISSING, OUT_OF_RANGE, REPEATED, UNPARSEABLE, WELL_FORMED
from layerrank.core.systems import parse_system
from layerrank.report.tables.describe import Cell, Column, Section, Table, embolden, interval, row

COLUMNS = (
    Column("System"),
    Column("groups", ",.1f", group="Per query (mean)"),
    Column("memo hits", ",.1f", group="Per query (mean)"),
    Column("passes", ",.1f", group="Per query (mean)"),
    Column("prompt tokens", ",.0f", group="Per query (mean)", detail="computed"),
    Column("new tokens", ",.1f", group="Per query (mean)"),
    Column("tokens × layers", ",.0f", group="Per query (mean)", detail="computed"),
    Column("truncated", ",.1f", group="Per query (mean)"),
    Column("median", ",.2f", group="Seconds per query", detail="quartiles"),
    Column("written", ",d", group="Answers"),
    Column("failed", ".1%", group="Answers", detail="how"),
)
OUTCOME_COLUMNS = (
    Column("System"),
    Column("written", ",d", group="Answers"),
    Column("well-formed", ".1%", group="Answers"),
    Column("unparseable", ".1%", group="Answers"),
    Column("labels out of range", ",d", group="Labels"),
    Column("labels repeated", ",d", group="Labels"),
    Column("passages missing", ",d", group="Labels"),
)
COMPUTED = {"prompt_tokens": "computed_tokens", "layer_tokens": "computed_layer_tokens"}
"""The count as written, and what of it was computed."""
EVENTS = {UNPARSEABLE: "unparseable", OUT_OF_RANGE: "out of range", REPEATED: "repeated", MISSING: "missing"}


def cost_table(summaries: pd.DataFrame) -> Table:
    """A section a collection, model and variant, a row a system; `summaries` has the columns `frames.SUMMARY`."""
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
                        *(_count(record, name) for name in COUNTS if name not in COMPUTED.values()),
                        Cell(float(record["seconds_median"]), detail=spread),
                        int(record["answers"]) or None,
                        Cell(float(record["failure_rate"]), detail=events),
                    ]
                )
            )
        place = next(index for index, column in enumerate(COLUMNS) if column.title == "median")
        title = _title(group, collection, model, variant)
        sections.append(Section(title, tuple(embolden(COLUMNS, rows, [place], lowest=True))))
    notes = (
        "Groups: comparisons that a framework asked for; memo hits: those answered from an equal one before. Passes: "
        "forward passes of the model. Truncated: passages cut to fit.",
        "Seconds: wall-clock of ranking, device synchronised, batches shared out by tokens; small: first and third "
        "quartile over queries. Bold: the lowest median.",
        "Prompt tokens, tokens × layers: as the prompts say, each by itself; small: as computed where that is less: "
        "what several prompts of a pass begin with is computed once.",
        "Tokens × layers: what a pass that stops at its window's end saves. Whole-list attention is answered from the "
        "stored signal; its seconds are those of the one pass that read all layers. A dash: of a served model whose "
        "layers nobody tells.",
        "Failed: written answers that were not well-formed, with what was wrong; no answer is silently replaced. "
        "A dash: the mechanism writes none.",
    )
    return Table("What ranking costs", COLUMNS, tuple(sections), notes)


def outcome_table(summaries: pd.DataFrame) -> Table:
    """What became of every written answer; systems that write none are left out. `summaries` as for `cost_table`."""
    sections = []
    for names, group in summaries[summaries[ANSWERS] > 0].groupby(["collection", "model", "variant"], sort=False):
        rows = tuple(
            row(
                [
                    parse_system(str(record["system"])).label,
                    int(record[ANSWERS]),
                    *(float(record[name]) / float(record[ANSWERS]) for name in (WELL_FORMED, UNPARSEABLE)),
                    *(int(record[name]) for name in (OUT_OF_RANGE, REPEATED, MISSING)),
                ]
            )
            for record in group.to_dict("records")
        )
        sections.append(Section(_title(group, *map(str, names)), rows))
    notes = [
        "Well-formed and unparseable: shares of all written answers; the others were repaired. A label out of range or "
        "repeated is dropped; a passage that an answer leaves out follows in its order before. An answer without any "
        "label "
        "decides nothing.",
    ]
    if not sections:
        notes = ["No system of this study writes answers."]
    return Table("What became of written answers", OUTCOME_COLUMNS, tuple(sections), tuple(notes))


def _count(record: Mapping[Hashable, Any], name: str) -> Cell:
    """A mean count; beside tokens as written, what of them was computed, where that reads differently."""
    value = float(record[name])
    computed = f"{float(record[COMPUTED[name]]):,.0f}" if name in COMPUTED else ""
    return Cell(value, detail=computed if math.isfinite(value) and computed != f"{value:,.0f}" else "")


def _title(group: pd.DataFrame, collection: str, model: str, variant: str) -> str:
    low, high = int(group["queries"].min()), int(group["queries"].max())
    queries = str(low) if low == high else f"{low} to {high}"
    return " · ".join([collection, model, *([] if variant == "base" else [variant]), f"{queries} queries"])
