"""Where the time of a query goes, stage by stage."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from layerrank.report.figures.style import (
    GREY,
    INK,
    NOTE_SIZE,
    label_of,
    legend_below,
    look_of,
    new_figure,
    note,
    styled,
)

STAGES = ("tokenise", "prefill", "decode", "score")
ONCE = ("load",)
TOTAL = "total"


def stage_colours(stages: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """A shade for each stage, dark to light, so that the order of the stack shows in grey."""
    ramp = matplotlib.colormaps["cividis"]
    return {stage: ramp(0.08 + 0.87 * i / max(1, len(stages) - 1)) for i, stage in enumerate(stages)}


@styled
def draw_latency(table: pd.DataFrame, *, unit: str = "seconds a query", title: str = "", subtitle: str = "") -> Figure:
    """Stacked medians of the stages a system (`frames.LATENCY`, seconds), thin lines from `low` to `high`.

    Beside a bar stand the stage `total`, which is measured as a whole, with its own spread, and what is done once
    (`ONCE`). `layers` and `mib` (of `load` the weights, of `total` the rise while a query is ranked) are written where
    the table has them, `rounds` and `queries` in the subtitle. Systems stand by rising time.
    """
    if not subtitle and {"rounds", "queries"} <= set(table.columns) and len(table):
        rounds, queries = int(table["rounds"].max()), int(table["queries"].max())
        subtitle = (
            f"{queries} queries in {rounds} rounds · bars: median of the rounds · thin lines: lowest to highest round"
        )
    stacked = table[~table["stage"].isin([*ONCE, TOTAL])]
    known = [stage for stage in STAGES if (stacked["stage"] == stage).any()]
    stages = [*known, *(stage for stage in dict.fromkeys(stacked["stage"]) if stage not in known)]
    sums = stacked.groupby("system")["median"].sum().sort_values(kind="stable")
    order = [str(name) for name in sums.index]
    figure = new_figure(8.0, 0.95 + 0.4 * max(1, len(order)), title, subtitle)
    axes = figure.add_subplot()
    axes.set_xlabel(f"{unit}, median")
    if not order:
        note(axes, "nothing was measured")
        return figure
    colours = stage_colours(stages)
    cells = {(r["system"], r["stage"]): (r["median"], r["low"], r["high"]) for r in table.to_dict("records")}
    for row, name in enumerate(order):
        left = 0.0
        edges: list[float] = []
        for i, stage in enumerate(stages):
            median, low, high = cells.get((name, stage), (np.nan, np.nan, np.nan))
            if not np.isfinite(median):
                continue
            axes.barh(row, median, left=left, height=0.62, color=colours[stage], edgecolor="white", linewidth=0.8)
            left += median
            if np.isfinite(low) and np.isfinite(high):
                height = row + 0.44 * ((i + 0.5) / len(stages) - 0.5)
                axes.hlines(height, left - median + low, left - median + high, color=INK, linewidth=0.9, zorder=3)
                edges.append(left - median + high)
        edge = max([left, *edges])
        words = "\n".join(line for line in (_total(cells, name, left), _load(table[table["system"] == name])) if line)
        place: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(words, (edge, row), size=NOTE_SIZE - 0.5, color=GREY, linespacing=1.3, **place)
    axes.set_xlim(0, 1.8 * float(max(sums.max(), table.loc[table["stage"].isin(stages), "high"].max(), 1e-12)))
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_yticks(range(len(order)), ["\n".join(textwrap.wrap(label_of(name), 48)) for name in order])
    for label, name in zip(axes.get_yticklabels(), order, strict=True):
        label.set_color(look_of(name).colour)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    handles = [Patch(color=colours[stage], label=stage) for stage in stages]
    legend_below(figure, handles, handlelength=1.2)
    return figure


def _total(cells: dict[tuple[str, str], tuple[float, float, float]], name: str, stacked: float) -> str:
    median, low, high = cells.get((name, TOTAL), (stacked, np.nan, np.nan))
    text = f"{median:.3g} s"
    return text + (f" ({low:.3g}–{high:.3g} s)" if np.isfinite(low) and np.isfinite(high) else "")


def _load(rows: pd.DataFrame) -> str:
    """What a system loads: layers, memory and the time that loading takes."""
    words = [f"{int(rows['layers'].max())} layers"] if "layers" in rows else []
    if "mib" in rows and rows["mib"].notna().any():
        words.append(f"{rows['mib'].sum():,.0f} MiB")
    once = rows[rows["stage"].isin(ONCE)]
    words += [f"{stage} {median:.3g} s" for stage, median in zip(once["stage"], once["median"], strict=True)]
    return ", ".join(words)
