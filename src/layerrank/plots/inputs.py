"""Reading what the figures draw. A missing column or an unknown name is a user error that names the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from layerrank.errors import UserError
from layerrank.files import read_json
from layerrank.frames import read_frame

PROFILE = ("measure", "layer", "relative_depth", "mean", "low", "high", "queries")
SWEEP = ("start", "end", "measure", "mean")
EVALUATION = ("system", "qid", "measure", "value")
LEVEL_LABELS = {"first stage": "BM25", "all layers": "all layers", "ceiling": "ceiling"}


def pick_measure(table: pd.DataFrame, measure: str | None, path: Path) -> str:
    """`measure`, or the first one of the table. `UserError` lists the known ones."""
    known = [str(name) for name in table["measure"].unique()]
    if not known:
        raise UserError(f"{path}: the table has no rows")
    if measure is None:
        return known[0]
    if measure not in known:
        raise UserError(f"{path}: no measure {measure!r}; found {', '.join(known)}")
    return measure


def only_measure(table: pd.DataFrame, measure: str | None, path: Path) -> pd.DataFrame:
    """The rows of one measure (`pick_measure`), indexed anew."""
    return table[table["measure"] == pick_measure(table, measure, path)].reset_index(drop=True)


def only_values(table: pd.DataFrame, column: str, wanted: Sequence[str], path: Path) -> pd.DataFrame:
    """The rows whose `column` is one of `wanted`, in that order; all rows where `wanted` is empty."""
    if not wanted:
        return table
    known = list(table[column].unique())
    for name in wanted:
        if name not in known:
            raise UserError(f"{path}: no {column} {name!r}; found {', '.join(map(str, known))}")
    return pd.concat([table[table[column] == name] for name in wanted], ignore_index=True)


def read_levels(evaluation: Path | None, kinds: Mapping[str, str | None], measure: str) -> list[Level]:
    """Means over all judged queries of the systems in `kinds` (kind of level → system), from a file of `evaluate`.

    `UserError` names a system or a measure that the file lacks.
    """
    wanted = {kind: system for kind, system in kinds.items() if system}
    if evaluation is None or not wanted:
        return []
    table = only_measure(read_frame(evaluation, EVALUATION), measure, evaluation)
    rows = only_values(table, "system", list(wanted.values()), evaluation)
    means = rows.groupby("system")["value"].mean()
    return [Level(LEVEL_LABELS[kind], float(means[system]), kind) for kind, system in wanted.items()]


@dataclass(frozen=True, slots=True)
class Level:
    """A value to read a curve against: `kind` is a key of `LEVEL_LABELS`."""

    label: str
    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Selection:
    """A rule's windows: `windows` as (start, end, number of queries judged by it), and the window for all others."""

    rule: str
    family: str
    upper_bound: bool
    windows: tuple[tuple[int, int, int], ...]
    default: tuple[int, int]

    @property
    def label(self) -> str:
        """The rule for readers; an upper bound is marked as one."""
        return f"{self.rule} (upper bound)" if self.upper_bound else self.rule

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The distinct windows in use, by layer; the default where no query has a window of its own."""
        return sorted({(start, end) for start, end, _ in self.windows}) or [self.default]


def read_selection(path: Path) -> Selection:
    """Read a selection file (`select-window`)."""
    document = read_json(path)
    try:
        start, end = document["default"]
        return Selection(
            str(document["rule"]),
            str(document["family"]),
            bool(document["upper_bound"]),
            tuple((int(e["window"][0]), int(e["window"][1]), len(e["qids"])) for e in document["windows"]),
            (int(start), int(end)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a selection file ({type(error).__name__}: {error})") from None
