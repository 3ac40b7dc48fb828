"""The results: one row a figure, written as TSV."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from layerrank.core.files import write_text

MACHINE, FACT = "machine", "fact"
"""Section and case of what a run was measured on."""

SECONDS = "seconds of the section"
"""Quantity of the row that ends a section; its section is `MACHINE`, its case the section's name."""

SHARING_WORDS = 12
"""Words of a passage in the section `sharing`, its title apart."""

WINDOWS_EACH = "three windows"
"""In the cases of the section `sharing` that read several windows in one job."""

SO_FAR = "seconds so far"
"""The same of a section that has not ended, so that one that goes on by case knows what went before."""


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        section, case, quantity: what was measured.
        unit: of the value.
        value, low, high: median, lowest and highest over `rounds`; low and high are empty where there is one value.
        rounds: how many.
        target: `≥ 1.4`, `≤ 0.5`; empty where none is set.
        note: what a reader must know.
        run: the run that measured it, one machine and one commit; its facts are rows of the same run.
    """

    section: str
    case: str
    quantity: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None
    rounds: int = 1
    target: str = ""
    note: str = ""
    run: str = ""

    @property
    def fact(self) -> bool:
        """Whether the row says what its run was measured on."""
        return (self.section, self.case) == (MACHINE, FACT)

    @property
    def met(self) -> bool | None:
        """Whether the value meets the target; None where there is none."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return self.value >= float(bound) if sign == "≥" else self.value <= float(bound)


def row_of(
    section: str, case: str, quantity: str, unit: str, values: Sequence[float], target: str = "", note: str = ""
) -> Row:
    """A row of the median and the spread of one value a round."""
    return Row(
        section, case, quantity, unit, statistics.median(values), min(values), max(values), len(values), target, note
    )


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as TSV."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in rows:
        writer.writerow(
            "" if value is None else f"{value:.6g}" if isinstance(value, float) else value for value in astuple(row)
        )
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[Row]:
    """Read what `write_rows` wrote."""
    rows = []
    with path.open(encoding="utf-8", newline="") as lines:
        for record in csv.DictReader(lines, delimiter="\t"):
            numbers = {name: float(record[name]) if record[name] else None for name in ("value", "low", "high")}
            rows.append(Row(**{**record, **numbers, "rounds": int(record["rounds"])}))  # type: ignore[arg-type]
    return rows


def replaced(kept: Sequence[Row], section: str, fresh: Sequence[Row], facts: Sequence[Row]) -> list[Row]:
    """`kept` with a section's rows replaced; of what is said of runs, that of runs that other sections are of."""
    rows = [row for row in kept if section not in (row.section, row.case if row.section == MACHINE else None)]
    own = {row.run for row in facts}
    runs = {row.run for row in rows if row.section != MACHINE} | own
    rows = [row for row in rows if row.run in runs and not (row.fact and row.run in own)]
    return [*rows, *fresh, *facts]


def begun(rows: Sequence[Row], section: str, run: str) -> tuple[list[Row], float]:
    """Rows of the cases that a run has measured to their end in a section that it has not, and the seconds so far.

    The last case may lack rows: it is left out. Rows of a case follow each other.
    """
    own = [row for row in rows if (row.section, row.run) == (section, run)]
    kept = [row for row in own if row.case != own[-1].case]
    spent = sum(row.value for row in rows if (row.case, row.quantity, row.run) == (section, SO_FAR, run))
    return kept, spent


def done(rows: Sequence[Row], run: str) -> set[str]:
    """Sections that a run has measured to their end."""
    return {row.case for row in rows if row.section == MACHINE and row.quantity == SECONDS and row.run == run}
