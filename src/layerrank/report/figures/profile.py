"""The measure by layer, of one model on one collection, with the windows that the rules select."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from layerrank.core.windows import LayerWindow, Selection
from layerrank.report.figures.inputs import Level, Shape
from layerrank.report.figures.style import (
    BLUE,
    GREY,
    INK,
    NOTE_SIZE,
    ORANGE,
    label_right,
    layer_axis,
    new_figure,
    styled,
    tint,
    value_limits,
)

_LEVEL_LOOK: Mapping[str, Mapping[str, Any]] = {
    "first stage": {"color": "#555555", "linestyle": (0, (2.5, 1.5))},
    "all layers": {"color": BLUE, "linestyle": (0, (7, 2))},
    "ceiling": {"color": GREY, "linestyle": (0, (1, 1.6))},
}


@styled
def draw_profile(
    profile: pd.DataFrame,
    levels: Sequence[Level] = (),
    selections: Sequence[Selection] = (),
    shape: Shape | None = None,
    *,
    title: str = "",
) -> Figure:
    """Curve, interval and best layer of one measure (`frames.PROFILE` columns), levels, and a lane for each rule.

    The subtitle names the profile's shape; a fitted bump is drawn where it has an inner peak.

    The first selection's default window is shaded behind the curve. A lane's colour is the share of queries whose
    window includes the layer; its frame is the window for queries without one of their own.
    """
    profile = profile.sort_values("layer")
    queries = int(profile["queries"].max())
    band = "band: 95% bootstrap interval" if np.isfinite(profile["low"]).any() else "no interval"
    subtitle = f"{queries} {'query' if queries == 1 else 'queries'} · {band}"
    subtitle += f" · {shape.words}" if shape else ""
    lanes = 0.24 * len(selections) + 0.15 if selections else 0.0
    figure = new_figure(7.2, 3.5 + lanes, title, subtitle)
    if selections:
        grid = figure.add_gridspec(2, 1, height_ratios=[3.5, lanes], hspace=0.02)
        axes = figure.add_subplot(grid[0])
        below = figure.add_subplot(grid[1], sharex=axes)
        _draw_lanes(below, selections, [int(layer) for layer in profile["layer"]])
        axes.tick_params(labelbottom=False)
    else:
        axes = figure.add_subplot()
        axes.set_xlabel("Layer (0-based)")
    _draw_curve(axes, profile, shape, selections)
    axes.set_ylabel(f"{profile['measure'].iloc[0]}, mean over queries")
    axes.set_ylim(
        value_limits([*profile["low"], *profile["high"], *profile["mean"], *(level.value for level in levels)])
    )
    layer_axis(axes, list(profile["layer"]))
    _depth_axis(axes, profile)
    for level in levels:
        axes.axhline(level.value, linewidth=1.2, zorder=1.5, **_LEVEL_LOOK[level.kind])
    figure.draw_without_rendering()
    label_right(
        axes,
        [
            (level.value, f"{level.label}  {level.value:.3f}", str(_LEVEL_LOOK[level.kind]["color"]))
            for level in levels
            if np.isfinite(level.value)
        ],
    )
    return figure


def _draw_curve(axes: Axes, profile: pd.DataFrame, shape: Shape | None, selections: Sequence[Selection]) -> None:
    layers, mean = profile["layer"].to_numpy(), profile["mean"].to_numpy()
    low, high = profile["low"].to_numpy(), profile["high"].to_numpy()
    handles: list[Artist] = []
    axes.grid(axis="y")
    if selections:
        window = selections[0].default
        axes.axvspan(window.start - 0.5, window.end + 0.5, color=tint(ORANGE, 0.22), zorder=0, linewidth=0)
        handles.append(Rectangle((0, 0), 1, 1, color=tint(ORANGE, 0.22), label=f"{selections[0].label} window"))
    if len(layers) > 1:
        axes.fill_between(layers, low, high, color=BLUE, alpha=0.16, linewidth=0, zorder=2)
    else:
        axes.vlines(layers, low, high, color=BLUE, alpha=0.5, linewidth=2, zorder=2)
    dots: dict[str, Any] = {"marker": "o", "markersize": 4.2, "markeredgecolor": "white", "markeredgewidth": 0.7}
    axes.plot(layers, mean, color=BLUE, zorder=3, clip_on=False, **dots)
    if shape is not None and shape.peaked:
        dense, values = shape.curve(profile)
        (line,) = axes.plot(
            dense, values, color=INK, linestyle=(0, (4, 2)), linewidth=1.2, zorder=4, label="fitted bump"
        )
        handles.append(line)
    if np.isfinite(mean).any():
        best = int(np.nanargmax(mean))
        (point,) = axes.plot(
            layers[best], mean[best], marker="o", markersize=7, color=BLUE, markeredgecolor=INK, markeredgewidth=1.1,
            linestyle="none", zorder=5, label=f"best single layer: {layers[best]} ({mean[best]:.3f})",
        )  # fmt: skip
        handles.insert(0, point)
    if handles:
        axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.07), ncols=len(handles), borderaxespad=0)


def _depth_axis(axes: Axes, profile: pd.DataFrame) -> None:
    if len(profile) < 2:
        return
    layers, depth = profile["layer"].to_numpy(dtype=float), profile["relative_depth"].to_numpy(dtype=float)
    slope, offset = np.polyfit(layers, depth, 1)
    top = axes.secondary_xaxis("top", functions=(lambda x: offset + slope * x, lambda y: (y - offset) / slope))
    top.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    top.tick_params(labelsize=NOTE_SIZE, labelcolor=GREY, length=2.5)
    top.spines["top"].set_visible(False)
    axes.annotate(
        "relative depth", xy=(1.025, 1.0), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
        size=NOTE_SIZE, color=GREY, annotation_clip=False,
    )  # fmt: skip


def _draw_lanes(axes: Axes, selections: Sequence[Selection], layers: Sequence[int]) -> None:
    axes.set_ylim(len(selections) - 0.4, -0.6)
    for row, selection in enumerate(selections):
        counts = [(chosen.window, len(chosen.qids)) for chosen in selection.windows]
        total = sum(count for _, count in counts)
        users = [sum(n for window, n in counts if window.start <= layer <= window.end) for layer in layers]
        hue = GREY if selection.upper_bound else ORANGE
        for count, pairs in itertools.groupby(zip(users, layers, strict=True), key=itemgetter(0)):
            run = [layer for _, layer in pairs]
            if count:
                lane = Rectangle((run[0] - 0.5, row - 0.36), len(run), 0.72, linewidth=0, antialiased=False)
                lane.set_color(tint(hue, 0.15 + 0.7 * count / total))
                axes.add_patch(lane)
        default = selection.default
        frame: dict[str, Any] = {"linestyle": (0, (2, 1.2)) if selection.upper_bound else "-"}
        axes.add_patch(
            Rectangle(
                (default.start - 0.5, row - 0.36),
                default.width,
                0.72,
                fill=False,
                edgecolor=INK,
                linewidth=0.9,
                **frame,
            )
        )
        axes.annotate(
            _lane_text(selection), xy=(1.025, row), xycoords=("axes fraction", "data"), va="center", size=NOTE_SIZE,
            color=GREY, annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(selections)), [selection.label for selection in selections])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Layer (0-based)")


def _lane_text(selection: Selection) -> str:
    spans = selection.spans
    if len(spans) == 1:
        return spans[0].span
    hull = LayerWindow(min(window.start for window in spans), max(window.end for window in spans))
    return f"{len(spans)} windows in {hull.span}"
