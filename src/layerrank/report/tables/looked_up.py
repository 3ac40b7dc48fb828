"""What pages and tables look up in the tables of a study: means, tests and costs by collection, model and system."""

from __future__ import annotations

from typing import Any

import pandas as pd

Name = tuple[str, str]  # collection, model
Tests = dict[tuple[str, ...], dict[str, Any]]


def of_measure(frame: pd.DataFrame, measure: str, variant: str) -> pd.DataFrame:
    """The rows of one measure and variant."""
    return frame[(frame["measure"] == measure) & (frame["variant"] == variant)]


def means_by_system(means: pd.DataFrame) -> dict[Name, dict[str, float]]:
    """Mean by system, for each collection and model."""
    found: dict[Name, dict[str, float]] = {}
    for record in means.to_dict("records"):
        name = str(record["collection"]), str(record["model"])
        found.setdefault(name, {})[str(record["system"])] = float(record["mean"])
    return found


def tests_of(comparisons: pd.DataFrame, family: str, measure: str, variant: str) -> Tests:
    """The comparisons of one family, by (collection, model, baseline, system)."""
    own = of_measure(comparisons[comparisons["family"] == family], measure, variant)
    records = [{str(key): value for key, value in record.items()} for record in own.to_dict("records")]
    return {tuple(record[key] for key in ("collection", "model", "baseline", "system")): record for record in records}


def by_system(costs: pd.DataFrame, column: str) -> dict[tuple[str, str, str], float]:
    """One column of `costs`, by (collection, model, system)."""
    return {
        (str(record["collection"]), str(record["model"]), str(record["system"])): float(record[column])
        for record in costs.to_dict("records")
    }


def queries_of(means: pd.DataFrame, collection: str) -> int:
    """Judged queries of a collection."""
    return int(means.loc[means["collection"] == collection, "queries"].max())
