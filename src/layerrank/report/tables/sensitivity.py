"""Differences between variants of a study and its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from layerrank.core.errors import UserError
from layerrank.core.systems import parse_system
from layerrank.report.tables.describe import Cell, Column, Row, Section, Table, interval, row

SIGNED = "+.3f"
SAMPLE = "queries"  # how many queries a variant ran is no setting under study

Settings = Mapping[str, Mapping[str, Any]]


def sensitivity_table(differences: pd.DataFrame, measure: str, variants: Settings) -> Table:
    """Rows variants, columns systems, sections collections and models.

    `differences` has the columns `frames.SENSITIVITY`; `variants` maps a variant's name to its settings, in the
    order of the rows. Variants that differ in their seed alone get a row of their mean and range as well. A variant
    that changes no setting under study, but the number of queries, is left out.
    """
    known = list(dict.fromkeys(differences["measure"]))
    if len(differences) and measure not in known:
        raise UserError(f"measure {measure!r}: not among the differences; known: {', '.join(known)}")
    chosen = differences[differences["measure"] == measure]
    named = [name for name in variants if setting(variants[name])]
    chosen = chosen[chosen["variant"].isin(named)]
    systems = list(dict.fromkeys(chosen["system"]))
    columns = (
        Column("Variant"),
        Column("queries", "d"),
        Column("ceiling", ".3f"),
        *(Column(parse_system(system).label, SIGNED, detail="95% interval") for system in systems),
    )
    sections = []
    for names, group in chosen.groupby(["collection", "model"], sort=False):
        records = {(record["variant"], record["system"]): record for record in group.to_dict("records")}
        present = [name for name in named if any(key[0] == name for key in records)]
        rows = [_row(name, setting(variants[name]), systems, records) for name in present]
        rows += _seeds(present, variants, systems, records)
        sections.append(Section(" · ".join(map(str, names)), tuple(rows)))
    notes = [
        f"Difference of {measure} from the base study, in means over the queries that the variant ran. Small: 95% "
        "bootstrap interval over queries; where it holds 0, no change is shown.",
        "Ceiling: the variant’s mean under an ideal re-ranking; another depth or truncation has another ceiling.",
    ]
    if any(line.aside for section in sections for line in section.rows):
        notes.append("Greyed out: mean, and smallest and largest, of the variants that differ in their seed alone.")
    if not sections:
        notes = ["This study has no variant that changes a setting."]
    return Table(f"Sensitivity: {measure}", columns, tuple(sections), tuple(notes))


def setting(settings: Mapping[str, Any], without: Sequence[str] = ()) -> str:
    """What a variant changes, in words, such as `order shuffled, seed 3`."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if name not in (SAMPLE, *without)
    )


def _row(name: str, words: str, systems: Sequence[str], records: Mapping[Any, Mapping[Any, Any]]) -> Row:
    cells = []
    for system in systems:
        record = records.get((name, system))
        if record is None:
            cells.append(Cell())
        else:
            spread = interval(float(record["low"]), float(record["high"]), SIGNED)
            cells.append(Cell(float(record["difference"]), detail=spread))
    own = [record for key, record in records.items() if key[0] == name]
    queries, ceiling = max(int(record["queries"]) for record in own), float(own[0]["ceiling"])
    return row([Cell(words, detail="" if words == name else name), queries, ceiling, *cells])


def _seeds(
    names: Sequence[str], variants: Settings, systems: Sequence[str], records: Mapping[Any, Mapping[Any, Any]]
) -> list[Row]:
    families: dict[str, list[str]] = {}
    for name in names:
        if "seed" in variants[name]:
            families.setdefault(setting(variants[name], without=["seed"]), []).append(name)
    rows = []
    for words, members in families.items():
        if len(members) < 2:
            continue
        cells = []
        for system in systems:
            found = [float(records[name, system]["difference"]) for name in members if (name, system) in records]
            if found:
                cells.append(Cell(sum(found) / len(found), detail=interval(min(found), max(found), SIGNED)))
            else:
                cells.append(Cell())
        rows.append(row([f"{words}, {len(members)} seeds", None, None, *cells], aside=True))
    return rows
