"""Relevance and place: what scores owe to each, by layer; how stable windows are; their measure from order to order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from layerrank.core.windows import is_upper_bound, window_label
from layerrank.report.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    integer_ticks,
    label_right,
    layer_axis,
    legend_below,
    new_figure,
    note,
    styled,
    tint,
    value_limits,
)

PASSAGE, PLACE = tint(BLUE, 0.7), tint(ORANGE, 0.75)
BASE_NAME = "first stage’s"
NEXT = {"base": "\n(best next to the query)", "order-reversed": "\n(worst next to the query)"}


def order_label(order: str) -> str:
    """An order's variant for readers: `reversed`, `shuffle 3`; the base's is the first stage's."""
    name = order.rpartition("order-")[2]
    return BASE_NAME if name == "base" else name.replace("shuffled-", "shuffle ")


@styled
def draw_shares(orders: pd.DataFrame, *, title: str = "") -> Figure:
    """Two panels over the layers: the measure, and below it what the variance of scores is owed to.

    `orders` has the columns `frames.ORDERS`; windows of one layer are drawn. Above: the measure's mean over orders with
    its interval, and in the first stage's order alone; what that order lends a layer is shaded. Below: the share of the
    passage from the bottom up, that of the place from the top down, each with a baseline of its own, and the rest left
    white between them. A share below 0, which noise can make of 0, is drawn as none.
    """
    layers = orders[orders["start"] == orders["end"]].sort_values("start")
    first = layers.iloc[0]
    subtitle = (
        f"{int(first['queries'])} queries · {int(first['orders'])} orders, {int(first['shuffles'])} shuffled"
        " · band and whiskers: 95% bootstrap intervals"
    )
    figure = new_figure(7.4, 5.2, title, subtitle)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.0, 1.15])
    handles = [*_draw_measure(above, layers, str(first["measure"])), *_draw_shares(below, layers)]
    layer_axis(below, [int(layer) for layer in layers["start"]])
    below.set_xlabel("Layer (0-based)")
    legend_below(figure, handles)
    return figure


def _draw_measure(axes: Axes, layers: pd.DataFrame, measure: str) -> list[Artist]:
    place = layers["start"].to_numpy()
    columns = ("value", "value_low", "value_high", "base")
    mean, low, high, base = (layers[name].to_numpy(dtype=float) for name in columns)
    axes.fill_between(place, low, high, color=BLUE, alpha=0.14, linewidth=0, zorder=1)
    lent: dict[str, Any] = {"facecolor": tint(ORANGE, 0.55), "linewidth": 0}
    axes.fill_between(place, mean, base, where=list(base > mean), interpolate=True, alpha=0.8, zorder=2, **lent)
    dots: dict[str, Any] = {"marker": "o", "markersize": 4.2, "markeredgecolor": "white", "markeredgewidth": 0.7}
    dotted: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (1.5, 1.2))}
    axes.plot(place, base, zorder=3, **dotted)
    axes.plot(place, mean, color=BLUE, zorder=4, **dots)
    axes.set_ylim(value_limits([*mean, *low, *high, *base]))
    axes.set_ylabel(f"{measure}, mean")
    axes.grid(axis="y")
    return [
        Line2D([], [], color=BLUE, label=f"{measure}, mean over orders", **dots),
        Line2D([], [], label="in the first stage’s order alone", **dotted),
        Patch(label="lent by that order", **lent),
    ]


def _draw_shares(axes: Axes, layers: pd.DataFrame) -> list[Artist]:
    axes.set_ylabel("Share of the variance\nof passage scores")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    if not np.isfinite(layers["passage"]).any():
        note(axes, "shares need at least two shuffles")
        return []
    place = layers["start"].to_numpy()
    for name, face, ink, bottom, sign in (
        ("place", PLACE, "#8A5F00", 1.0, -1.0),
        ("passage", PASSAGE, "#00456B", 0.0, 1.0),
    ):
        share, low, high = (
            np.clip(np.nan_to_num(layers[column].to_numpy(dtype=float)), 0, 1)
            for column in (name, f"{name}_low", f"{name}_high")
        )
        axes.bar(place, sign * share, bottom=bottom, width=1.0, color=face, edgecolor="white", linewidth=0.5, zorder=1)
        shift = 0.17 * -sign
        axes.vlines(place + shift, bottom + sign * low, bottom + sign * high, color=ink, linewidth=0.8, zorder=2)
    return [
        Patch(color=PASSAGE, label="owed to the passage, whatever its place"),
        Patch(color=PLACE, label="owed to the place in the prompt"),
        Patch(facecolor="white", edgecolor=GREY, linewidth=0.6, label="rest"),
    ]


@styled
def draw_stability(orders: pd.DataFrame, *, title: str = "") -> Figure:
    """Two maps of windows, first layer against last: the measure's mean over orders, and Kendall's τ between orders.

    `orders` has the columns `frames.ORDERS`. The best window over orders, the best in the first stage's order, and the
    most stable one are marked on both.
    """
    layers = int(orders["end"].max()) + 1
    measure = str(orders["measure"].iloc[0])
    maps = {}
    for name in ("value", "tau", "base"):
        maps[name] = np.full((layers, layers), np.nan)
        maps[name][orders["start"], orders["end"]] = orders[name]
    first = orders.iloc[0]
    subtitle = f"{int(first['queries'])} queries · {int(first['orders'])} orders · top right corner: all layers"
    figure = new_figure(9.4, 4.3, title, subtitle)
    panels = figure.subplots(1, 2, sharey=True)
    marks = [
        ("value", "*", "#D55E00", "best over orders"),
        ("base", "D", "white", "best in the first stage’s order"),
        ("tau", "o", "#E69F00", "most stable"),
    ]
    for axes, name, label, colours in (
        (panels[0], "value", f"{measure}, mean over orders", "viridis"),
        (panels[1], "tau", "Kendall τ between orders", "cividis"),
    ):
        image = axes.imshow(
            np.ma.masked_invalid(maps[name]), cmap=colours, origin="upper", interpolation="nearest", aspect="equal"
        )
        bar = figure.colorbar(image, ax=axes, shrink=0.82, aspect=26, pad=0.02)
        bar.set_label(label)
        bar.outline.set_visible(False)
        axes.set_xlabel("Last layer of the window")
        for axis in (axes.xaxis, axes.yaxis):
            integer_ticks(axis, layers)
        for of, marker, colour, _ in marks:
            if np.isfinite(maps[of]).any():
                start, end = np.unravel_index(int(np.nanargmax(maps[of])), maps[of].shape)
                axes.plot(
                    [end], [start], marker=marker, markersize=10 if marker == "*" else 7, color=colour, zorder=5,
                    markeredgecolor=INK, markeredgewidth=0.9, linestyle="none", clip_on=False,
                )  # fmt: skip
    panels[0].set_ylabel("First layer of the window (0-based)")
    handles = [
        Line2D([], [], marker=marker, markersize=9 if marker == "*" else 6.5, color=colour, markeredgecolor=INK,
               markeredgewidth=0.9, linestyle="none", label=_where(maps[of], label))
        for of, marker, colour, label in marks
        if np.isfinite(maps[of]).any()
    ]  # fmt: skip
    legend_below(figure, handles)
    return figure


def _where(values: np.ndarray[Any, Any], label: str) -> str:
    start, end = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return f"{label}: {start}–{end}" if start != end else f"{label}: {start}"


@styled
def draw_slopes(by_order: pd.DataFrame, *, title: str = "") -> Figure:
    """Each window's measure from order to order (`frames.BY_ORDER` columns), a line a window, named at its end.

    Orders stand from the first stage's by its shuffles to the reverse. Windows that an oracle chose are dashed.
    """
    names = list(dict.fromkeys(by_order["order"]))
    backwards = [name for name in names if name.endswith("reversed")]
    orders = [name for name in names if name not in backwards] + backwards
    measure = str(by_order["measure"].iloc[0])
    subtitle = f"{int(by_order['queries'].max())} queries · bars: 95% bootstrap intervals over queries"
    figure = new_figure(7.4, 3.6, title, subtitle)
    axes = figure.add_subplot()
    windows = list(dict.fromkeys(by_order["window"]))
    colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B"]
    labels: list[tuple[float, str, str]] = []
    limits: list[float] = []
    for number, window in enumerate(windows):
        part = by_order[by_order["window"] == window].set_index("order").loc[orders]
        colour = GREY if is_upper_bound(window) else colours[number % len(colours)]
        places = np.arange(len(orders)) + 0.05 * (number - (len(windows) - 1) / 2)
        mean, low, high = (part[column].to_numpy(dtype=float) for column in ("mean", "low", "high"))
        dash: dict[str, Any] = {"linestyle": (0, (4, 2))} if is_upper_bound(window) else {}
        dash |= {"color": colour, "marker": "o", "markeredgecolor": "white", "markeredgewidth": 0.7}
        axes.vlines(places, low, high, color=colour, alpha=0.35, linewidth=1.2, zorder=1)
        axes.plot(places, mean, zorder=2, **dash)
        labels.append((float(mean[-1]), window_label(window), colour))
        limits += [*mean, *low, *high]
    axes.set_ylim(value_limits(limits))
    axes.set_xlim(-0.35, len(orders) - 1 + 0.25)
    axes.set_xticks(range(len(orders)), [order_label(name) + NEXT.get(name, "") for name in orders])
    axes.set_xlabel("Order of the candidates", labelpad=5)
    axes.set_ylabel(f"{measure}, mean over queries")
    axes.grid(axis="y")
    figure.draw_without_rendering()
    label_right(axes, labels)
    return figure
