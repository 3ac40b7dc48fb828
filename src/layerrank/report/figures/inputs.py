"""Reading what the figures draw. A missing column or an unknown name is a user error that names the file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.frames import CELL, EVALUATION, PROFILE
from layerrank.core.records import Cost
from layerrank.core.systems import FIRST_STAGE

SHAPE = ("measure", "verdict", "left_floor", "right_floor", "peak", "peak_depth", "left_width", "right_width")
COSTS = tuple(field.name for field in fields(Cost) if field.name not in ("qid", "outcomes"))
LEVEL_LABELS = {"first stage": "BM25", "all layers": "all layers", "ceiling": "ceiling"}


@dataclass(frozen=True, slots=True)
class Profile:
    """One measure's layer profile (`PROFILE` columns) of a model on a collection."""

    collection: str
    model: str
    rows: pd.DataFrame


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
        """Layers at a fine step over a profile (`PROFILE` columns), and the fitted measure there."""
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
    """`means` with the column `cost`, NaN where a system has none.

    The files are either TSVs with the columns of `frames.CELL`, system and `cost`, or costs a query
    (`<system>.costs.jsonl`, whose means are taken) of the only collection, model and variant of `means`.
    """
    if all(path.suffix == ".tsv" for path in paths):
        key = [*frames.CELL, "system"]
        table = frames.read_frames(paths, [*key, cost], key)
        return means.merge(table[[*key, cost]], on=key, how="left")
    if len(means[list(frames.CELL)].drop_duplicates()) > 1:
        raise UserError(f"{paths[0]}: costs a query are of one collection, model and variant; the means are of several")
    if cost not in COSTS:
        raise UserError(f"cost {cost!r}: expected one of {', '.join(COSTS)}")
    found = {}
    for path in paths:
        values = [float(getattr(row, cost)) for row in files.read_costs(path)]
        found[path.name.removesuffix(".costs.jsonl")] = sum(values) / len(values) if values else math.nan
    return means.assign(**{cost: means["system"].map(found)})


def read_profiles(
    paths: Sequence[Path], collections: Sequence[str], models: Sequence[str], measure: str | None
) -> list[Profile]:
    """Layer profiles of one measure, each with its collection and model, given in the same order."""
    if not len(paths) == len(collections) == len(models):
        raise UserError(
            f"--profiles, --collections, --models: {len(paths)}, {len(collections)} and {len(models)} are given; "
            "each profile needs its collection and its model"
        )
    profiles = []
    for path, collection, model in zip(paths, collections, models, strict=True):
        rows = only_measure(frames.read_frame(path, PROFILE), measure, path)
        measure = str(rows["measure"].iloc[0])
        profiles.append(Profile(collection, model, rows))
    return profiles


def read_levels(evaluation: Path | None, kinds: Mapping[str, str | None], measure: str) -> list[Level]:
    """Means over all judged queries of the systems in `kinds` (kind of level → system), from a file of `evaluate`.

    `UserError` names a system or a measure that the file lacks.
    """
    wanted = {kind: system for kind, system in kinds.items() if system}
    if evaluation is None or not wanted:
        return []
    table = only_measure(frames.read_frame(evaluation, EVALUATION), measure, evaluation)
    rows = only_values(table, "system", list(wanted.values()), evaluation)
    means = rows.groupby("system")["value"].mean()
    return [Level(LEVEL_LABELS[kind], float(means[system]), kind) for kind, system in wanted.items()]


def read_shape(path: Path, measure: str) -> Shape:
    """Read one measure's row of `layer-shape`."""
    row = only_measure(frames.read_frame(path, SHAPE), measure, path).iloc[0]
    return Shape(str(row["verdict"]), *(float(row[column]) for column in SHAPE[2:]))


def panels_of(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The table by collection, model and variant in order of appearance, each with a title that names what differs."""
    several = [column for column in CELL[1:] if table[column].nunique() > 1]
    return [
        (" · ".join([str(key[0]), *(str(rows[column].iloc[0]) for column in several)]), rows)
        for key, rows in table.groupby(list(CELL), sort=False)
    ]
