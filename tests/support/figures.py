"""Inputs of figures: seeded tables of the kinds that the commands before them write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from layerrank.core.frames import MEANS

SYSTEMS = (
    "bm25",
    "listwise-attention-all",
    "listwise-attention-L10-13",
    "listwise-attention-selected-peak",
    "listwise-attention-selected-oracle",
    "setwise-attention-selected-peak",
    "pairwise-attention-selected-peak",
    "pointwise-attention-selected-peak",
    "setwise-generation",
    "setwise3bubble-likelihood",
    "pairwise-generation",
    "pairwise-likelihood",
    "pointwise-likelihood",
    "listwise-generation",
    "ceiling",
)


def profile_table(layers: int = 30, queries: int = 36, measure: str = "nDCG@10", seed: int = 0) -> pd.DataFrame:
    """A bell over relative depth with noise and intervals (NaN for one query)."""
    depth = np.arange(layers) / max(1, layers - 1)
    noise = np.random.default_rng(seed).normal(0, 0.02, layers)
    mean = np.clip(0.3 + 0.22 * np.exp(-0.5 * ((depth - 0.55) / 0.14) ** 2) + noise, 0, 1)
    half = 0.6 / np.sqrt(queries) if queries > 1 else np.nan
    columns = {
        "layer": np.arange(layers),
        "relative_depth": depth,
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
    }
    return pd.DataFrame({"measure": measure, **columns, "queries": queries})


def sweep_table(layers: int = 30, measure: str = "nDCG@10", seed: int = 0) -> pd.DataFrame:
    """Every window's mean: that of its layers' profile."""
    mean = profile_table(layers, seed=seed)["mean"].to_numpy()
    rows = [(s, e, measure, mean[s : e + 1].mean()) for s in range(layers) for e in range(s, layers)]
    return pd.DataFrame(rows, columns=["start", "end", "measure", "mean"])


def means_table(
    collections: Sequence[str],
    models: Sequence[str],
    systems: Sequence[str] = SYSTEMS,
    measure: str = "nDCG@10",
    seed: int = 0,
) -> pd.DataFrame:
    """Means of `aggregate`, every system everywhere."""
    random = np.random.default_rng(seed)
    rows = []
    for collection in collections:
        level = random.uniform(0.2, 0.6)
        for model in models:
            for system in systems:
                mean = level + 0.3 if system == "ceiling" else float(np.clip(level + random.normal(0, 0.05), 0.02, 1))
                ends = (mean, mean - 0.05, mean + 0.06)
                rows.append((collection, model, "base", system, measure, *ends, 36, mean * 1.1, 33, level + 0.3))
    return pd.DataFrame(rows, columns=list(MEANS))


def selection_document(rule: str, windows: Sequence[tuple[int, int]], upper_bound: bool = False) -> dict[str, Any]:
    """A file of `select-window`, ten queries a window."""
    entries = [
        {
            "window": list(window),
            "qids": [f"{i}-{q}" for q in range(10)],
            "value_where_chosen": 0.5,
            "chosen_on": "folds",
        }
        for i, window in enumerate(windows)
    ]
    family = "oracle" if upper_bound else rule
    return {
        "rule": rule,
        "family": family,
        "upper_bound": upper_bound,
        "windows": entries,
        "default": list(windows[0]),
    }
