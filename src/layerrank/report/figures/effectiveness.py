"""Every system's mean with its interval, collection by collection, against a baseline."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from layerrank.core.frames import CELL
from layerrank.core.systems import CEILING, CONTROLS, parse_system
from layerrank.report.figures.inputs import panels_of
from layerrank.report.figures.style import (
    GREY,
    NOTE_SIZE,
    encoding_handles,
    grid_of,
    label_of,
    legend_below,
    look_of,
    new_figure,
    styled,
    value_limits,
)


@styled
def draw_effectiveness(
    table: pd.DataFrame,
    *,
    baseline: str = "bm25",
    title: str = "",
) -> Figure:
    """A panel a collection (and model), a row a system, a dot at the mean with its interval; a line at the baseline.

    `table` has the columns `frames.MEANS`, one measure. Rows stand in one order in all panels: by the system's distance
    from the panel's mean, averaged over the panels, best on top. A system that a panel lacks leaves its row empty.
    The ceiling is written, not drawn, so that it does not press the systems together.
    """
    table = table[[name not in (CEILING, *CONTROLS) for name in table["system"]]]
    panels = panels_of(table)
    distance = table["mean"] - table.groupby(list(CELL))["mean"].transform("mean")
    order = list(distance.groupby(table["system"]).mean().sort_values(ascending=False, kind="stable").index)
    rows, columns = grid_of(len(panels))
    titles = ["\n".join(textwrap.wrap(name, 26)) for name, _ in panels]
    labels = ["\n".join(textwrap.wrap(label_of(name), 48)) for name in order]
    lines = len(order) + 0.7 * sum(label.count("\n") for label in labels)
    heads = 0.15 * max(title.count("\n") for title in titles)
    body = rows * (0.215 * lines + 0.75 + heads) + 0.35
    level = label_of(baseline)
    subtitle = f"bars: 95% bootstrap interval of the mean over queries · vertical line: {level}"
    margin = 0.075 * max(len(line) for label in labels for line in label.split("\n"))
    figure = new_figure(max(7.2, 0.4 + margin + 2.1 * columns), body, title, subtitle)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, heading, (_, part) in zip(grid.flat, titles, panels, strict=False):
        _draw_panel(axes, part, order, baseline)
        axes.set_title(heading, pad=13)
        axes.text(0, 1.0, _about(part), transform=axes.transAxes, size=NOTE_SIZE - 0.5, color=GREY, va="bottom")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(order)), labels)
    for index in range(len(panels)):
        if index + columns >= len(panels):
            grid.flat[index].set_xlabel(f"{table['measure'].iloc[0]}")
    legend_below(figure, encoding_handles(order), handletextpad=0.3, columnspacing=1.4, handlelength=1.4)
    return figure


def _about(part: pd.DataFrame) -> str:
    low, high = int(part["queries"].min()), int(part["queries"].max())
    queries = f"{low} quer{'y' if low == 1 else 'ies'}" if low == high else f"{low}–{high} queries"
    ceiling = float(part["ceiling"].iloc[0])
    return f"{queries}, ceiling {ceiling:.3f}" if np.isfinite(ceiling) else queries


def _draw_panel(axes: Axes, part: pd.DataFrame, order: list[str], baseline: str) -> None:
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    for row in range(0, len(order), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#F6F6F6", zorder=0, linewidth=0)
    means = {
        str(name): (float(mean), float(low), float(high))
        for name, mean, low, high in zip(part["system"], part["mean"], part["low"], part["high"], strict=True)
    }
    if baseline in means:
        axes.axvline(means[baseline][0], color=GREY, linewidth=1.0, linestyle=(0, (2.5, 1.5)), zorder=1)
    axes.set_xlim(value_limits([value for triple in means.values() for value in triple]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    for row, name in enumerate(order):
        mean, low, high = means.get(name, (np.nan, np.nan, np.nan))
        if not np.isfinite(mean):
            place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "center", "va": "center"}
            axes.text(0.5, row, "no result", size=NOTE_SIZE - 1, color=GREY, **place)
            continue
        look = look_of(name)
        dash = (0, (1, 1)) if parse_system(name).upper_bound else "-"
        if np.isfinite(low) and np.isfinite(high):
            axes.hlines(row, low, high, color=look.colour, linestyle=dash, linewidth=1.4, zorder=2)
        axes.plot(mean, row, zorder=3, **look.marker)
