"""Whether a score follows what it should not: the place in the prompt, the length of the passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from layerrank.plots.style import (
    GREY,
    SEQUENCE_DASHES,
    SEQUENCE_MARKERS,
    label_of,
    legend_below,
    look_of,
    new_figure,
    note,
    shades,
    styled,
    value_limits,
)

POSITION = ("system", "position", "mean", "low", "high")
LENGTH = ("system", "tokens", "mean", "low", "high")


@styled
def draw_diagnostics(
    position: pd.DataFrame | None,
    length: pd.DataFrame | None,
    *,
    score: str = "mean score\n(standardised within each query)",
    title: str = "",
    subtitle: str = "",
) -> Figure:
    """Score against place in the prompt (`POSITION`) and against passage length (`LENGTH`), a line a system.

    A flat line at zero is a score that does not follow the place or the length.
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
    figure = new_figure(7.2 if len(panels) > 1 else 4.6, 3.2 + 0.17 * -(-len(names) // 2), title, subtitle)
    grid = figure.subplots(1, max(1, len(panels)), squeeze=False, sharey=True)[0]
    looks = _lines(names)
    for axes, (table, column, label) in zip(grid, panels, strict=False):
        _draw_panel(axes, table, column, looks)
        axes.set_xlabel(label)
    if not panels or all(table.empty for table, _, _ in panels):
        note(grid[0], "nothing to show")
    grid[0].set_ylabel(score)
    values = [value for table, _, _ in panels for column in ("mean", "low", "high") for value in table[column]]
    grid[0].set_ylim(value_limits([*values, 0.0], floor=None))
    legend_below(figure, grid[0].get_legend_handles_labels()[0], handlelength=3.0)
    return figure


def _lines(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A line for each system: its hue and dash, or shades of one hue where all share it."""
    looks = {name: look_of(name) for name in names}
    if len({(look.colour, look.framework) for look in looks.values()}) == len(names):
        return {
            name: {"color": look.colour, "linestyle": look.dash, "marker": look.marker["marker"]}
            for name, look in looks.items()
        }
    return {
        name: {"color": shade, "linestyle": SEQUENCE_DASHES[i % 4], "marker": SEQUENCE_MARKERS[i % 10]}
        for i, (name, shade) in enumerate(zip(names, shades(len(names)), strict=True))
    }


def _draw_panel(axes: Axes, table: pd.DataFrame, column: str, looks: dict[str, dict[str, Any]]) -> None:
    axes.grid(axis="y")
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    for name, part in table.groupby("system", sort=False):
        part = part.sort_values(column)
        x, low, high = (part[c].to_numpy(dtype=float) for c in (column, "low", "high"))
        look = looks[str(name)]
        if np.isfinite(low).any():
            axes.fill_between(x, low, high, color=str(look["color"]), alpha=0.13, linewidth=0)
        axes.plot(x, part["mean"], markersize=3.5, linewidth=1.3, label=label_of(str(name)), **look)
    if column == "position":
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
