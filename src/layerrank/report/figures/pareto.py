"""Quality against cost, with the systems that no other beats in both."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from layerrank.core.systems import CEILING, CONTROLS, FIRST_STAGE, parse_system
from layerrank.core.windows import window_label
from layerrank.report.figures.inputs import panels_of
from layerrank.report.figures.style import (
    GREY,
    INK,
    NOTE_SIZE,
    encoding_handles,
    grid_of,
    legend_below,
    look_of,
    new_figure,
    note,
    styled,
    value_limits,
)

COST_LABELS = {
    "seconds": "seconds per query",
    "prompt_tokens": "prompt tokens per query",
    "generated_tokens": "generated tokens per query",
    "layer_tokens": "tokens × layers per query",
    "computed_tokens": "prompt tokens computed per query",
    "computed_layer_tokens": "tokens × layers computed per query",
    "forward_passes": "forward passes per query",
    "groups": "comparisons per query",
    "flops": "floating-point operations per query",
}


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Positions, by rising cost, of the points that no other point matches in both with one of them better."""
    front: list[int] = []
    best = -np.inf
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        if np.isfinite(costs[i]) and np.isfinite(values[i]) and values[i] > best:
            front.append(i)
            best = values[i]
    return front


@styled
def draw_pareto(table: pd.DataFrame, cost: str, *, title: str = "") -> Figure:
    """A panel a collection (and model): mean of one measure against the mean cost, logarithmic.

    `table` has the columns `frames.MEANS`, one measure, and the column `cost`. The first stage is a line: its
    cost is no model's. Upper bounds stay off the front, and the ceiling is not drawn.
    """
    table = table[[name not in (CEILING, *CONTROLS) for name in table["system"]]]
    panels = panels_of(table)
    rows, columns = grid_of(len(panels), 3)
    subtitle = "grey steps: systems that none beats in both quality and cost · bars: bootstrap interval of the mean"
    figure = new_figure(max(7.2, 0.6 + 3.3 * columns), 0.45 + 3.6 * rows, title, subtitle)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, part) in zip(grid.flat, panels, strict=False):
        if len(panels) > 1 or not title:
            axes.set_title("\n".join(textwrap.wrap(name, 40)))
        axes.set_xlabel(COST_LABELS.get(cost, cost) + " (log)")
        _draw_points(axes, part.reset_index(drop=True), cost)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{table['measure'].iloc[0]}, mean over queries")
    names = list(table["system"].unique())
    legend_below(figure, encoding_handles(names), handletextpad=0.3, handlelength=1.4)
    figure.draw_without_rendering()
    for axes, (_, part) in zip(grid.flat, panels, strict=False):
        _label_points(axes, part[_drawable(part, cost)], cost)
    return figure


def _drawable(part: pd.DataFrame, cost: str) -> pd.Series[bool]:
    return (part["system"] != FIRST_STAGE) & (part[cost] > 0) & part["mean"].notna()


def _draw_points(axes: Axes, part: pd.DataFrame, cost: str) -> None:
    axes.grid(axis="both")
    for value in part.loc[part["system"] == FIRST_STAGE, "mean"]:
        axes.axhline(float(value), color=GREY, linewidth=1.0, linestyle=(0, (2.5, 1.5)), zorder=1)
        axes.annotate(
            "BM25", (1, float(value)), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
            size=NOTE_SIZE, color=GREY, ha="left", va="center", annotation_clip=False,
        )  # fmt: skip
    points = part[_drawable(part, cost)]
    axes.set_ylim(value_limits([*part["mean"], *points["low"], *points["high"]]))
    if points.empty:
        note(axes, f"no system has a {cost} above zero")
        return
    axes.set_xscale("log")
    low, high = float(points[cost].min()), float(points[cost].max())
    axes.set_xlim(low / 1.6, high * 2.2)
    if high / low < 30:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}" if 1e-4 < value < 1e7 else f"{value:.0e}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    fair = points[[not parse_system(name).upper_bound for name in points["system"]]]
    front = fair.iloc[pareto_front(list(fair[cost]), list(fair["mean"]))]
    if len(front):
        axes.step(
            [*front[cost], high * 2.2], [*front["mean"], float(front["mean"].iloc[-1])], where="post",
            color="#B5B5B5", linewidth=2.2, zorder=1.5, solid_capstyle="butt",
        )  # fmt: skip
    for name, x, y, bottom, top in zip(*(points[c] for c in ("system", cost, "mean", "low", "high")), strict=True):
        look = look_of(name)
        bound = parse_system(name).upper_bound
        axes.vlines(
            x, bottom, top, color=look.colour, linewidth=1.0, alpha=0.55, linestyle=":" if bound else "-", zorder=2
        )
        axes.plot(x, y, zorder=3, alpha=0.5 if bound else 1.0, **look.marker)


def _point_label(name: str) -> str:
    system = parse_system(name)
    if system.window:
        return window_label(system.window)
    known = look_of(name)
    return "" if (known.framework, known.mechanism) == (system.framework, system.mechanism) else system.framework


_OFFSETS = [
    (far, dx * far, dy * far, ha, va)
    for far in (1.0, 1.9, 3.2)
    for dx, dy, ha, va in (
        (6, 0, "left", "center"), (-6, 0, "right", "center"), (0, 7, "center", "bottom"), (0, -7, "center", "top"),
        (5, 5, "left", "bottom"), (5, -5, "left", "top"), (-5, 5, "right", "bottom"), (-5, -5, "right", "top"),
    )
]  # fmt: skip


def _label_points(axes: Axes, points: pd.DataFrame, cost: str) -> None:
    """Write each point's label where it covers least: no point and no other label if it can, few bars and steps."""
    figure = axes.get_figure(root=True)
    if figure is None or points.empty:
        return
    centres = axes.transData.transform(points[[cost, "mean"]].to_numpy(dtype=float))
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in centres]
    lines = [
        _box_of(axes, x, low, high) for x, low, high in zip(points[cost], points["low"], points["high"], strict=True)
    ]
    steps = [line for line in axes.get_lines() if line.get_drawstyle() == "steps-post"]
    for line in steps:
        ends = axes.transData.transform(np.column_stack([line.get_xdata(), line.get_ydata()]))
        lines += [Bbox.from_extents(x, y - 1.5, further, y + 1.5) for (x, y), (further, _) in itertools.pairwise(ends)]
    frame = axes.get_window_extent()
    halo = [withStroke(linewidth=2.2, foreground="white")]
    for (name, x, y), own in zip(
        zip(points["system"], points[cost], points["mean"], strict=True), range(len(points)), strict=True
    ):
        text = _point_label(name)
        if not text:
            continue
        best: tuple[float, Text, Bbox] | None = None
        for far, dx, dy, ha, va in _OFFSETS:
            label = axes.annotate(
                text,
                (x, y),
                xytext=(dx, dy),
                textcoords="offset points",
                size=NOTE_SIZE - 1,
                color=INK,
                ha=ha,
                va=va,
                zorder=5,
                path_effects=halo,
                arrowprops={"arrowstyle": "-", "lw": 0.6, "color": GREY, "shrinkB": 4} if far > 1 else None,
            )
            box = label.get_window_extent()
            others = itertools.chain(taken[:own], taken[own + 1 :])
            clash = sum(_overlap(box, other) for other in others) + 2 * (box.width * box.height - _overlap(box, frame))
            clash += 0.5 * sum(_overlap(box, line) for line in lines)
            if best is not None and clash >= best[0]:
                label.remove()
                continue
            if best is not None:
                best[1].remove()
            best = (clash, label, box)
            if clash < 1:
                break
        if best is not None:
            taken.append(best[2])


def _box_of(axes: Axes, x: float, low: float, high: float) -> Bbox:
    """The pixels that an interval's bar takes."""
    (left, bottom), (_, top) = axes.transData.transform([(x, low), (x, high)])
    return Bbox.from_extents(left - 1, bottom, left + 1, top)


def _overlap(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return 0.0 if common is None else float(common.width * common.height)
