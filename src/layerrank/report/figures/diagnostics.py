"""Whether a score follows what it should not: the place in the prompt, the length of the passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from layerrank.report.figures.style import (
    FIRST_STAGE,
    GREY,
    SEQUENCE_DASHES,
    SEQUENCE_MARKERS,
    label_of,
    legend_below,
    legend_columns,
    look_of,
    new_figure,
    note,
    shades,
    styled,
    value_limits,
)

NOT_RELEVANT = "mean_not_relevant"
FEW = 3


@styled
def draw_diagnostics(
    position: pd.DataFrame | None,
    length: pd.DataFrame | None,
    *,
    score: str = "mean score\n(standardised within each query)",
    title: str = "",
) -> Figure:
    """Score against place in the prompt (`frames.POSITION`) and passage length (`frames.LENGTH`), a line a system.

    A flat line at zero is a score that does not follow the place or the length. With at most `FEW` systems
    intervals are drawn, and the mean over passages that are not relevant (`NOT_RELEVANT`, if given) as a thin line.
    """
    panels = [
        (table, column, label)
        for table, column, label in (
            (position, "position", "place in the prompt (1 = first passage)"),
            (length, "tokens", "passage length (tokens)"),
        )
        if table is not None
    ]
    names = list(dict.fromkeys(name for table, _, _ in panels for name in table["system"]))
    few = len(names) <= FEW
    subtitle = ""
    if few and any(NOT_RELEVANT in table for table, _, _ in panels):
        subtitle = "thin lines: passages that are not relevant · bands: bootstrap interval of the mean"
    width = 7.2 if len(panels) > 1 else 4.8
    legend = 0.2 * -(-len(names) // legend_columns([label_of(name) for name in names], width, 3.0))
    figure = new_figure(width, 3.1 + legend, title, subtitle)
    grid = figure.subplots(1, max(1, len(panels)), squeeze=False, sharey=True)[0]
    looks = _lines(names)
    for axes, (table, column, label) in zip(grid, panels, strict=False):
        _draw_panel(axes, table, column, looks, few)
        axes.set_xlabel(label)
    if not panels or all(table.empty for table, _, _ in panels):
        note(grid[0], "nothing to show")
    grid[0].set_ylabel(score)
    values = [
        value
        for table, _, _ in panels
        for column in ("mean", "low", "high", NOT_RELEVANT)
        if column in table
        for value in table[column]
    ]
    grid[0].set_ylim(value_limits([*values, 0.0], floor=None))
    legend_below(figure, grid[0].get_legend_handles_labels()[0], handlelength=3.0)
    return figure


def _lines(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A line for each system: its hue and dash where these tell all apart, else shades of one hue."""
    looks = {name: look_of(name) for name in names}
    own = {
        name: {"color": look.colour, "linestyle": look.dash, "marker": look.marker["marker"]}
        for name, look in looks.items()
    }
    if len({(look.mechanism, look.framework) for look in looks.values()}) == len(names):
        return own
    rest = [name for name in names if looks[name].mechanism != FIRST_STAGE]
    shaded = {
        name: {"color": shade, "linestyle": SEQUENCE_DASHES[i % 4], "marker": SEQUENCE_MARKERS[i % 10]}
        for i, (name, shade) in enumerate(zip(rest, shades(len(rest)), strict=True))
    }
    return own | shaded


def _draw_panel(axes: Axes, table: pd.DataFrame, column: str, looks: dict[str, dict[str, Any]], few: bool) -> None:
    axes.grid(axis="y")
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    for name, part in table.groupby("system", sort=False):
        part = part.sort_values(column)
        x, low, high = (part[c].to_numpy(dtype=float) for c in (column, "low", "high"))
        look = looks[str(name)]
        if few and np.isfinite(low).any():
            axes.fill_between(x, low, high, color=look["color"], alpha=0.13, linewidth=0)
        if few and NOT_RELEVANT in part:
            axes.plot(x, part[NOT_RELEVANT], linewidth=0.8, color=look["color"], linestyle=look["linestyle"])
        axes.plot(x, part["mean"], markersize=3.5, linewidth=1.5, label=label_of(str(name)), **look)
    if column == "position":
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
