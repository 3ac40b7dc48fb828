"""Layer profiles of several models and collections, on relative depth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from layerrank.report.figures.style import (
    GREY,
    INK,
    NOTE_SIZE,
    SEQUENCE_DASHES,
    SEQUENCE_MARKERS,
    grid_of,
    legend_below,
    legend_columns,
    new_figure,
    shades,
    styled,
    value_limits,
)

BANDS = 3


@styled
def draw_depth(
    profiles: pd.DataFrame,
    levels: Mapping[str, float] | None = None,
    *,
    title: str = "",
) -> Figure:
    """A panel a collection, a curve a model, the best layer ringed; `levels` is the first stage's mean by collection.

    `profiles` has the columns `frames.PROFILE`, one measure.

    Intervals are drawn where a panel has at most `BANDS` models.
    """
    collections = list(dict.fromkeys(map(str, profiles["collection"])))
    models = list(dict.fromkeys(map(str, profiles["model"])))
    looks: dict[str, dict[str, Any]] = {
        model: {"color": shade, "linestyle": SEQUENCE_DASHES[i % len(SEQUENCE_DASHES)]}
        for i, (model, shade) in enumerate(zip(models, shades(len(models)), strict=True))
    }
    markers = {model: SEQUENCE_MARKERS[i % len(SEQUENCE_MARKERS)] for i, model in enumerate(models)}
    rows, columns = grid_of(len(collections))
    subtitle = "depth 0 is the first layer, 1 the last · large marker: best single layer"
    subtitle += " · band: bootstrap interval" if len(models) <= BANDS else ""
    subtitle += " · dashed grey: BM25" if levels else ""
    titles = {name: "\n".join(textwrap.wrap(name, 28)) for name in collections}
    width = max(6.4, 0.9 + 2.3 * columns)
    legend = 0.2 * -(-len(models) // legend_columns(models, width, 3.2))
    heads = 0.15 * max(text.count("\n") for text in titles.values())
    figure = new_figure(width, 0.4 + legend + (1.75 + heads) * rows, title, subtitle)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes, collection in zip(grid.flat, collections, strict=False):
        shown = profiles[profiles["collection"] == collection]
        limits: list[float] = []
        for name, part in shown.groupby("model", sort=False):
            model = str(name)
            part = part.sort_values("layer")
            limits += _draw_curve(axes, part, looks[model], markers[model], len(models) <= BANDS)
        if levels and collection in levels:
            axes.axhline(levels[collection], color=GREY, linewidth=1.0, linestyle=(0, (2.5, 1.5)), zorder=1)
            limits.append(levels[collection])
        axes.set_ylim(value_limits(limits))
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
        axes.grid(axis="both")
        queries = int(shown["queries"].max())
        axes.set_title(titles[collection], pad=4)
        axes.text(1, 1.02, f"n = {queries}", transform=axes.transAxes, ha="right", size=NOTE_SIZE - 1, color=GREY)
    for axes in grid.flat[len(collections) :]:
        axes.set_axis_off()
    for index, axes in enumerate(grid.flat[: len(collections)]):
        if index + columns >= len(collections):
            axes.set_xlabel("relative depth")
            axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel(str(profiles["measure"].iloc[0]))
    handles = [Line2D([], [], marker=markers[model], markersize=5, label=model, **looks[model]) for model in models]
    legend_below(figure, handles, handlelength=3.2)
    return figure


def _draw_curve(axes: Axes, part: pd.DataFrame, look: dict[str, Any], marker: str, band: bool) -> list[float]:
    depth, mean = part["relative_depth"].to_numpy(dtype=float), part["mean"].to_numpy(dtype=float)
    low, high = part["low"].to_numpy(dtype=float), part["high"].to_numpy(dtype=float)
    if band:
        axes.fill_between(depth, low, high, color=str(look["color"]), alpha=0.13, linewidth=0)
    axes.plot(depth, mean, linewidth=1.4, marker=marker if len(depth) == 1 else "", **look)
    if np.isfinite(mean).any():
        best = int(np.nanargmax(mean))
        axes.plot(
            depth[best], mean[best], marker=marker, markersize=6.5, color=str(look["color"]), markeredgecolor=INK,
            markeredgewidth=0.9, linestyle="none", zorder=4,
        )  # fmt: skip
    return [*mean, *(low if band else ()), *(high if band else ())]
