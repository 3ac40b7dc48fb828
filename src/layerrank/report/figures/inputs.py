"""Reading what the figures draw. A missing column or an unknown name is a user error that names the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.core.frames import CELL
from layerrank.core.systems import FIRST_STAGE

LEVEL_LABELS = {"first stage": "BM25", "all layers": "all layers", "ceiling": "ceiling"}


@dataclass(frozen=True, slots=True)
class Level:
    """A value to read a curve against: `kind` is a key of `LEVEL_LABELS`."""

    label: str
    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The verdict on a layer profile's shape, and the fitted asymmetric bump over relative depth."""

    verdict: str
    left_floor: float
    right_floor: float
    peak: float
    peak_depth: float
    left_width: float
    right_width: float

    @property
    def peaked(self) -> bool:
        """Whether the profile has an inner peak, so that the fit means something."""
        return self.verdict in ("bell", "peak with partial fall") and np.isfinite(self.peak)

    @property
    def words(self) -> str:
        """The verdict for readers."""
        return f"shape: {self.verdict}"

    def curve(self, profile: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Layers at a fine step over a profile (`frames.PROFILE` columns), and the fitted measure there."""
        layers = profile["layer"].to_numpy(dtype=float)
        dense = np.linspace(layers.min(), layers.max(), 20 * len(layers))
        depth = np.interp(dense, layers, profile["relative_depth"].to_numpy(dtype=float))
        before = depth < self.peak_depth
        width, floor = (
            np.where(before, left, right)
            for left, right in ((self.left_width, self.right_width), (self.left_floor, self.right_floor))
        )
        return dense, floor + (self.peak - floor) * np.exp(-0.5 * ((depth - self.peak_depth) / width) ** 2)


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


def read_means(
    path: Path, measure: str | None, collections: Sequence[str], models: Sequence[str], variant: str | None
) -> pd.DataFrame:
    """Means of one measure (`frames.MEANS`) of the named collections, models and variant; all where none is named."""
    table = only_measure(frames.read_means([path]), measure, path)
    for column, wanted in (("model", models), ("collection", collections), ("variant", [variant] if variant else [])):
        table = only_values(table, column, wanted, path)
    return table


def read_first_stage(path: Path, measure: str, variant: str) -> dict[str, float]:
    """The first stage's mean by collection, from a file of `aggregate`."""
    table = read_means(path, measure, [], [], variant)
    first = table[table["system"] == FIRST_STAGE].drop_duplicates("collection")
    return {str(name): float(mean) for name, mean in zip(first["collection"], first["mean"], strict=True)}


def join_costs(means: pd.DataFrame, paths: Sequence[Path], cost: str) -> pd.DataFrame:
    """`means` with the column `cost`, NaN where a system has none; files of summarise-costs (`frames.SUMMARY`).

    Raises `UserError` for an unknown cost.
    """
    if cost not in (*frames.COUNTS, *frames.SECONDS):
        raise UserError(f"cost {cost!r}: expected one of {', '.join((*frames.COUNTS, *frames.SECONDS))}")
    key = [*frames.CELL, "system"]
    table = frames.read_frames(paths, frames.SUMMARY, key)
    return means.merge(table[[*key, cost]], on=key, how="left")


def read_levels(evaluation: Path | None, kinds: Mapping[str, str | None], measure: str) -> list[Level]:
    """Means over all judged queries of the systems in `kinds` (kind of level → system), from a file of `evaluate`.

    `UserError` names a system or a measure that the file lacks.
    """
    wanted = {kind: system for kind, system in kinds.items() if system}
    if evaluation is None or not wanted:
        return []
    table = only_measure(frames.read_frame(evaluation, frames.VALUES), measure, evaluation)
    rows = only_values(table, "system", list(wanted.values()), evaluation)
    means = rows.groupby("system")["value"].mean()
    return [Level(LEVEL_LABELS[kind], float(means[system]), kind) for kind, system in wanted.items()]


def read_shape(path: Path, measure: str) -> Shape:
    """Read one measure's row of `layer-shape`."""
    row = only_measure(frames.read_frame(path, frames.SHAPE), measure, path).iloc[0]
    fitted = ("left_floor", "right_floor", "peak", "peak_depth", "left_width", "right_width")
    return Shape(str(row["verdict"]), *(float(row[column]) for column in fitted))


def panels_of(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The table by collection, model and variant in order of appearance, each with a title that names what differs."""
    several = [column for column in CELL[1:] if table[column].nunique() > 1]
    return [
        (" · ".join([str(key[0]), *(str(rows[column].iloc[0]) for column in several)]), rows)
        for key, rows in table.groupby(list(CELL), sort=False)
    ]
