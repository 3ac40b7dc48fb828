"""What a table says, apart from how it looks: columns, sections of rows, cells, notes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

Value = str | int | float | None
MISSING = "–"
P_VALUE = "p"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `form` is Python's format specification of its numbers, so that a column's digits are consistent.

    The form `P_VALUE` is for p-values: three decimals, and `<0.001` below.
    Neighbours of one `group` stand under a common heading. `detail` names what the cells' details are, as an interval.
    """

    title: str
    form: str = ""
    group: str = ""
    detail: str = ""

    @property
    def numeric(self) -> bool:
        """Whether cells are numbers, aligned to the right."""
        return bool(self.form)

    @property
    def name(self) -> str:
        """Group and title, as a flat header has them."""
        return f"{self.group}: {self.title}" if self.group else self.title

    def show(self, value: Value) -> str:
        """The value for readers: a dash where there is none, a true minus sign."""
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return MISSING
        if isinstance(value, str):
            return value
        if self.form == P_VALUE:
            return "<0.001" if value < 0.001 else f"{value:.3f}"
        shown = format(value, self.form)
        if not any(digit in shown for digit in "123456789"):
            shown = format(abs(value), self.form)  # no minus before what rounds to zero
        return shown.replace("-", "−")


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with what marks it: `bold`, superscript `marks`, a smaller `detail`, a background `shade` from 0 to 1."""

    value: Value = None
    bold: bool = False
    marks: str = ""
    detail: str = ""
    shade: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Cells, one a column. `aside` rows are set back: references such as upper bounds, which compete with nothing."""

    cells: tuple[Cell, ...]
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a heading (none where `title` is empty)."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Raises `ValueError` where a row has not one cell for each column."""

    title: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for section in self.sections:
            for row in section.rows:
                if len(row.cells) != len(self.columns):
                    raise ValueError(f"{self.title}: {len(row.cells)} cells in a row of {len(self.columns)} columns")

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Runs of neighbouring columns of one group: (group, number of columns)."""
        runs: list[tuple[str, int]] = []
        for column in self.columns:
            if column.group and runs and runs[-1][0] == column.group:
                runs[-1] = (column.group, runs[-1][1] + 1)
            else:
                runs.append((column.group, 1))
        return tuple(runs)


def row(values: Iterable[Value | Cell], aside: bool = False) -> Row:
    """A row of cells and plain values."""
    return Row(tuple(value if isinstance(value, Cell) else Cell(value) for value in values), aside)


def interval(low: float, high: float, form: str) -> str:
    """`[low, high]` in the column's digits, on one line; empty where the interval is not defined."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    column = Column("", form)
    return f"[{column.show(low)},\u00a0{column.show(high)}]"


def embolden(columns: Sequence[Column], rows: Sequence[Row], places: Iterable[int], lowest: bool = False) -> list[Row]:
    """The rows with the best cell of each column in `places` in bold, as shown: equals in print share it.

    Rows set aside do not compete; a column whose competing rows are all alike, or one, has no best.
    """
    found = [list(entry.cells) for entry in rows]
    for place in places:
        column = columns[place]
        shown = {
            index: float(column.show(value).replace("−", "-").replace(",", "").rstrip("%"))
            for index, entry in enumerate(rows)
            if not entry.aside and isinstance(value := entry.cells[place].value, int | float) and math.isfinite(value)
        }
        best = (min if lowest else max)(shown.values(), default=0.0)
        for index, value in shown.items():
            if value == best and len(set(shown.values())) > 1:
                found[index][place] = replace(found[index][place], bold=True)
    return [Row(tuple(cells), entry.aside) for cells, entry in zip(found, rows, strict=True)]
