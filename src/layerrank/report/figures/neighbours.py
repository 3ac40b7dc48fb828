"""How alike the rankings of neighbouring layers are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from layerrank.report.figures.style import BLUE, GREY, layer_axis, new_figure, note, styled


@styled
def draw_neighbours(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Mean Kendall τ between the rankings of layers l and l + 1, drawn at l + ½, with its interval (`NEIGHBOURS`)."""
    figure = new_figure(7.2, 2.7, title)
    axes = figure.add_subplot()
    axes.set_xlabel("Layers l and l + 1 (0-based; drawn between them)")
    axes.set_ylabel("Kendall τ, mean over queries")
    axes.grid(axis="y")
    if table.empty:
        note(axes, "one layer: it has no neighbour")
        return figure
    table = table.sort_values("layer")
    place = table["layer"].to_numpy(dtype=float) + 0.5
    mean, low, high = (table[column].to_numpy(dtype=float) for column in ("mean", "low", "high"))
    axes.fill_between(place, low, high, color=BLUE, alpha=0.16, linewidth=0)
    look: dict[str, Any] = {
        "color": BLUE,
        "marker": "o",
        "markersize": 4.2,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }
    axes.plot(place, mean, **look)
    axes.axhline(0, color=GREY, linewidth=0.8)
    layer_axis(axes, range(int(table["layer"].max()) + 2))
    if not np.isfinite(mean).any():
        note(axes, "no query has two candidates to rank")
    least = np.nanmin([0.0, *mean, *low])
    axes.set_ylim(min(-0.05, float(least) - 0.05), 1.02)
    return figure
