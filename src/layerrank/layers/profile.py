"""Measures of single layers, with intervals over queries, on absolute and relative depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from layerrank.attention.store import stored_layers
from layerrank.core.files import Qrels
from layerrank.core.frames import PROFILE, own_columns
from layerrank.core.windows import LayerWindow
from layerrank.evaluation.intervals import mean_interval
from layerrank.layers.sweep import judged_values


def relative_depth(layer: int, layers: int) -> float:
    """Place of a layer between the first (0) and the last (1) of `layers`; 0 where there is one layer."""
    return layer / (layers - 1) if layers > 1 else 0.0


def layer_profile(
    paths: Sequence[Path],
    qrels: Qrels,
    names: Sequence[str],
    strategy: str,
    *,
    seed: int = 42,
    resamples: int = 1000,
    workers: int = 1,
) -> pd.DataFrame:
    """Each measure of each layer as a window by itself: the own columns of `frames.PROFILE`, a row each.

    `mean` is over all judged queries, `low` to `high` its 95 % bootstrap interval over queries.
    Raises `UserError` as `judged_values` does.
    """
    layers = stored_layers(paths)
    single = [LayerWindow(layer, layer) for layer in range(layers)]
    values, _ = judged_values(paths, qrels, single, names, strategy, workers=workers)
    rows = []
    for name, by_query in zip(names, values, strict=True):
        mean, low, high = mean_interval(by_query.T, resamples=resamples, seed=seed)
        for layer in range(layers):
            depth = relative_depth(layer, layers)
            rows.append((name, layer, depth, mean[layer], low[layer], high[layer], by_query.shape[0]))
    return pd.DataFrame(rows, columns=own_columns(PROFILE))
