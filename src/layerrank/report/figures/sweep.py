"""The measure of every window: first layer against last layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy import ndimage

from layerrank.core.windows import ORACLE, LayerWindow, Selection
from layerrank.report.figures.inputs import Level
from layerrank.report.figures.style import (
    INK,
    NOTE_SIZE,
    VERMILION,
    integer_ticks,
    legend_below,
    new_figure,
    spread,
    styled,
)

COLOURS = "viridis"
_MARKERS = "sDo^vP<>X*"
REGIONS = 6


@styled
def draw_sweep(
    sweep: pd.DataFrame,
    levels: Sequence[Level] = (),
    selections: Sequence[Selection] = (),
    windows: Sequence[LayerWindow] = (),
    *,
    title: str = "",
) -> Figure:
    """Heat map of one measure (`frames.SWEEP` columns) over windows, with the best, selected and fixed ones marked.

    The subtitle counts the windows that are at least as good as all layers together (the corner of the map); a line
    borders them where they form few regions. `levels` are ticked beside the colour bar, which points where a few low
    windows lie below its scale.
    """
    layers = int(sweep["end"].max()) + 1
    values = np.full((layers, layers), np.nan)
    values[sweep["start"], sweep["end"]] = sweep["mean"]
    others = int(np.isfinite(values).sum()) - 1
    better = int((values >= values[0, -1]).sum()) - 1
    subtitle = f"top right corner: all {layers} layers · {better} of the {others} other windows are at least as good"
    subtitle = subtitle if others > 0 else "one layer"
    figure = new_figure(7.4, 5.4, title, subtitle)
    axes = figure.add_subplot()
    low, extend = colour_floor(values)
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=COLOURS, vmin=low, origin="upper", interpolation="nearest", aspect="equal"
    )
    axes.set_xlabel("Last layer of the window (0-based, inclusive)")
    axes.set_ylabel("First layer of the window (0-based)")
    for axis in (axes.xaxis, axes.yaxis):
        integer_ticks(axis, layers)
    handles = [*_draw_marks(axes, values, selections, windows), *_draw_border(axes, values)]
    bar = figure.colorbar(image, ax=axes, extend=extend, shrink=0.9, aspect=28, pad=0.06)
    bar.set_label(f"{sweep['measure'].iloc[0]}, mean over queries")
    bar.outline.set_visible(False)  # type: ignore[operator]
    _draw_levels(bar.ax, levels, *image.get_clim())
    if len(handles) > 7 or layers < 6:
        legend_below(figure, handles)
    elif handles:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.015, 0.015), borderaxespad=0, handletextpad=0.5
        )
    return figure


def _draw_levels(axes: Axes, levels: Sequence[Level], low: float, high: float) -> None:
    """Label levels at the left of a colour bar from `low` to `high`; one beyond its ends is written at that end."""
    levels = [level for level in levels if np.isfinite(level.value)]
    inside = [min(max(level.value, low), high) for level in levels]
    for level, value, place in zip(levels, inside, spread(inside, 0.04 * (high - low)), strict=True):
        beyond = "" if value == level.value else " (off the scale)"
        axes.annotate(
            f"{level.label} {level.value:.3f}{beyond}", xy=(0.0, value), xycoords=("axes fraction", "data"),
            xytext=(-0.35, place), textcoords=("axes fraction", "data"), ha="right", va="center", size=NOTE_SIZE,
            annotation_clip=False, arrowprops={"arrowstyle": "-", "lw": 0.8, "color": INK, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def colour_floor(values: NDArray[np.float64]) -> tuple[float | None, str]:
    """Where the colours begin, and whether values lie below (`min`, else `neither`), as a colour bar says it.

    That is the lowest value, but the 5% quantile where the values below it would take over 40% of the scale.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return None, "neither"
    low, fifth, high = np.quantile(finite, [0.0, 0.05, 1.0])
    return (float(fifth), "min") if high - fifth < 0.6 * (high - low) else (float(low), "neither")


def border_segments(values: NDArray[np.float64], level: float) -> list[list[tuple[float, float]]]:
    """Edges, as (end, start) points, between windows at or above `level` and the rest; `values` float64[start, end]."""
    above = values >= level
    known = np.isfinite(values)
    segments = []
    for start, end in np.argwhere(known):
        for other, edge in (
            ((start, end + 1), [(end + 0.5, start - 0.5), (end + 0.5, start + 0.5)]),
            ((start + 1, end), [(end - 0.5, start + 0.5), (end + 0.5, start + 0.5)]),
        ):
            inside = max(other) < len(values) and known[other]
            if inside and above[other] != above[start, end]:
                segments.append(edge)
    return segments


def _draw_border(axes: Axes, values: NDArray[np.float64]) -> list[Line2D]:
    level = values[0, -1]
    above, below = values >= level, values < level
    regions = ndimage.label(above)[1] + ndimage.label(below)[1]
    if not below.any() or regions > REGIONS:
        return []
    segments = border_segments(values, level)
    axes.add_collection(LineCollection(segments, colors=INK, linewidths=3.2, capstyle="projecting"))
    axes.add_collection(LineCollection(segments, colors="white", linewidths=1.5, capstyle="projecting"))
    stroke = [withStroke(linewidth=3.2, foreground=INK)]
    label = "border of those at least as good as all layers"
    return [Line2D([], [], color="white", linewidth=1.5, path_effects=stroke, label=label)]


def _draw_marks(
    axes: Axes, values: NDArray[np.float64], selections: Sequence[Selection], windows: Sequence[LayerWindow]
) -> list[Line2D]:
    marks: list[tuple[str, list[LayerWindow], str, str]] = []
    if np.isfinite(values).any():
        start, end = map(int, np.unravel_index(int(np.nanargmax(values)), values.shape))
        best = LayerWindow(start, end)
        marks.append((f"best of all: {best.span} ({values[start, end]:.3f})", [best], "*", VERMILION))
    for marker, selection in zip(_MARKERS, (s for s in selections if s.family != ORACLE), strict=False):
        spans = selection.spans
        many = f"{len(spans)} windows" if len(spans) > 1 else spans[0].span
        marks.append((f"{selection.label}: {many}", spans, marker, "white"))
    if windows:
        marks.append((f"fixed: {', '.join(window.span for window in windows)}", list(windows), "X", "#E69F00"))
    handles = []
    for label, spans, marker, colour in marks:
        star = marker == "*"
        look: dict[str, Any] = {"marker": marker, "markersize": 9 if star else 8.5, "zorder": 6 if star else 5}
        (line,) = axes.plot(
            [window.end for window in spans], [window.start for window in spans], linestyle="none",
            markerfacecolor=colour, markeredgecolor=INK, markeredgewidth=0.9, label=label, clip_on=False, **look,
        )  # fmt: skip
        handles.append(line)
    return handles
