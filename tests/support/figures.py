"""Inputs of figures: seeded tables of the kinds that the commands before them write."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from layerrank.core.frames import MEANS, PROFILE, SWEEP, in_cell, own_columns
from layerrank.core.windows import Chosen, LayerWindow, Selection

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


def profile_table(
    layers: int = 30,
    queries: int = 36,
    measure: str = "nDCG@10",
    seed: int = 0,
    collection: str = "c",
    model: str = "m",
) -> pd.DataFrame:
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
    frame = pd.DataFrame({"measure": measure, **columns, "queries": queries})
    return in_cell(frame, PROFILE, collection, model)


def sweep_table(layers: int = 30, measure: str = "nDCG@10", seed: int = 0) -> pd.DataFrame:
    """Every window's mean: that of its layers' profile."""
    mean = profile_table(layers, seed=seed)["mean"].to_numpy()
    rows = [(s, e, measure, mean[s : e + 1].mean()) for s in range(layers) for e in range(s, layers)]
    return in_cell(pd.DataFrame(rows, columns=own_columns(SWEEP)), SWEEP, "c", "m")


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


def selection_of(rule: str, windows: Sequence[tuple[int, int]], *, queries: int = 10, layers: int = 30) -> Selection:
    """What `select-window` writes, so many queries a window; the rule `oracle` is an upper bound."""
    entries = tuple(
        Chosen(LayerWindow(*window), tuple(f"{i}-{q}" for q in range(queries)), 0.5, "folds")
        for i, window in enumerate(windows)
    )
    return Selection(
        rule=rule,
        family=rule,
        settings={"rule": rule},
        chosen_by="cross-validation",
        upper_bound=rule == "oracle",
        measure="nDCG@10",
        strategy="masked_NA_calibration",
        layers=layers,
        folds=5,
        seed=42,
        collection="c",
        model="m",
        collections=("c",),
        windows=entries,
        default=entries[0].window,
        selected=0.5,
        oracle=0.6,
        oracle_window=entries[0].window,
    )
