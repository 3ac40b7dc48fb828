"""Heads: a map of every head's measure and stability with those that rules chose, and how many it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from layerrank.core.heads import HeadSelection
from layerrank.report.figures.style import GREY, INK, NOTE_SIZE, integer_ticks, legend_below, new_figure, styled

COLOURS = "viridis"
_MARKERS = "sDo^vP<>X*"
_LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@styled
def draw_heads(heads: pd.DataFrame, chosen: Sequence[HeadSelection] = (), *, title: str = "") -> Figure:
    """A map, layers across and heads up, of the measure of each head by itself (`frames.HEADS` columns).

    Heads that a rule chose bear its mark: filled where all of its sets have them, hollow where some folds' have.
    Upper bounds are not marked. Below it, where the study has further input orders, a map of each head's stability.
    """
    layers, each = int(heads["layer"].max()) + 1, int(heads["head"].max()) + 1
    measure, stable = str(heads["measure"].iloc[0]), bool(np.isfinite(heads["tau"]).any())
    rank = f" · stability and measure correlate with ρ = {_rho(heads):+.2f}".replace("-", "−") if stable else ""
    subtitle = f"{layers} layers of {each} heads, each by itself, {int(heads['queries'].iloc[0])} queries{rank}"
    height = max(1.8, 0.13 * each + 0.8)
    figure = new_figure(max(7.2, 0.16 * layers + 1.6), (2 if stable else 1) * height + 0.3, title, subtitle)
    panels = figure.subplots(2 if stable else 1, 1, squeeze=False)[:, 0]
    shown = [("mean", f"{measure}, mean")] + [("tau", "Kendall τ between orders")] * stable
    fair = [selection for selection in chosen if not selection.upper_bound]
    for axes, (column, label) in zip(panels, shown, strict=True):
        values = np.full((each, layers), np.nan)
        values[heads["head"], heads["layer"]] = heads[column]
        image = axes.imshow(
            np.ma.masked_invalid(values), cmap=COLOURS, origin="lower", interpolation="nearest", aspect="auto"
        )
        bar = figure.colorbar(image, ax=axes, aspect=18, pad=0.015)
        bar.set_label(label)
        bar.outline.set_visible(False)  # type: ignore[operator]
        integer_ticks(axes.xaxis, layers)
        integer_ticks(axes.yaxis, each)
        axes.set_ylabel("Head (0-based)")
        _mark(axes, fair)
    panels[-1].set_xlabel("Layer (0-based)")
    handles = [
        Line2D([], [], linestyle="none", label=f"{selection.rule}: {_counted(selection)}", **_marker(place, True))
        for place, selection in enumerate(fair)
    ]
    if handles:
        legend_below(figure, handles)
    return figure


@styled
def draw_head_counts(counts: pd.DataFrame, *, title: str = "") -> Figure:
    """The measure against the number of heads (`frames.HEAD_COUNTS` columns), a line a rule.

    A dot marks the number that the rule chooses, its bar the interval there. The last number of rules without a window
    is every head.
    """
    measure, strategy = str(counts["measure"].iloc[0]), str(counts["strategy"].iloc[0])
    most = int(counts["heads"].max())
    subtitle = f"under {strategy} · dots: the number that the rule takes, with its bootstrap interval"
    figure = new_figure(7.2, 3.6, title, subtitle)
    axes = figure.add_subplot()
    axes.grid(axis="both")
    handles = []
    fair = 0
    rules = list(counts.groupby("rule", sort=False))
    for number, (rule, part) in enumerate(rules):
        bound = bool(part["upper_bound"].astype(str).eq("True").all())
        colour = GREY if bound else _LINES[fair % len(_LINES)]
        fair += not bound
        label = f"{rule} heads" + (" (upper bound)" if bound else "")
        dash: dict[str, Any] = {"linestyle": (0, (4, 2))} if bound else {}
        (line,) = axes.plot(part["heads"], part["mean"], color=colour, label=label, **dash)
        own = part[part["heads"] == part["top"]]
        at = own["heads"] * 2 ** (0.05 * (number - (len(rules) - 1) / 2))
        axes.vlines(at, own["low"], own["high"], color=colour, linewidth=1.0, alpha=0.6, **dash)
        axes.plot(at, own["mean"], "o", color=colour, markersize=5, markeredgecolor="white", zorder=4)
        handles.append(line)
    every = counts[counts["heads"] == most]["mean"]
    axes.axhline(float(every.iloc[0]), color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        "all heads", (1, float(every.iloc[0])), xycoords=("axes fraction", "data"), xytext=(3, 0),
        textcoords="offset points", size=NOTE_SIZE, color=GREY, ha="left", va="center", annotation_clip=False,
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    ticks = sorted({2**power for power in range(most.bit_length())} | {most})
    ticks = [tick for tick in ticks if tick == most or tick * 1.35 < most]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Number of heads, best first (log)")
    axes.set_ylabel(f"{measure}, mean over queries")
    legend_below(figure, handles)
    return figure


def _rho(heads: pd.DataFrame) -> float:
    """Spearman's correlation over heads of the measure with the stability."""
    known = heads[np.isfinite(heads["tau"])]
    ranks: NDArray[np.float64] = known[["mean", "tau"]].rank().to_numpy(dtype=np.float64)
    return float(np.asarray(np.corrcoef(ranks.T))[0, 1])


def _mark(axes: Axes, chosen: Sequence[HeadSelection]) -> None:
    """Marks of the rules' heads, side by side where several rules chose one head."""
    for place, selection in enumerate(chosen):
        sets = [each.heads for each in selection.sets] or [selection.default]
        shift = (place - (len(chosen) - 1) / 2) * min(0.24, 0.8 / max(1, len(chosen)))
        for (layer, head), number in Counter(head for heads in sets for head in heads).items():
            axes.plot(layer + shift, head, linestyle="none", clip_on=False, **_marker(place, number == len(sets)))


def _marker(place: int, every: bool) -> dict[str, Any]:
    return {
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 4.2,
        "markerfacecolor": "white" if every else "none",
        "markeredgecolor": INK,
        "markeredgewidth": 0.8,
        "path_effects": [withStroke(linewidth=2.0, foreground="white")],
    }


def _counted(selection: HeadSelection) -> str:
    sets = [set(each.heads) for each in selection.sets] or [set(selection.default)]
    always, ever = set.intersection(*sets), set.union(*sets)
    if len(sets) == 1:
        return f"{len(ever)} heads"
    return f"{len(always)} in every fold, {len(ever)} in any"
