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
SEEN = 0.01
"""Share of the longest bar below which a stage cannot be seen and is written instead."""


def stage_colours(stages: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """A shade for each stage, dark to light, so that the order of the stack shows in grey."""
    ramp = matplotlib.colormaps["cividis"]
    return {stage: ramp(0.08 + 0.87 * i / max(1, len(stages) - 1)) for i, stage in enumerate(stages)}


@styled
def draw_latency(table: pd.DataFrame, *, title: str = "") -> Figure:
    """Stacked medians of a system's stages (`frames.LATENCY`, seconds), thin lines from `low` to `high`.

    Beside the axes stand the stage `total`, which is measured as a whole, with its own spread, what is done once
    (`ONCE`), the layers and memory that are loaded, and stages too short to be seen (`SEEN`). Systems stand by rising
    time.
    """
    subtitle = ""
    if len(table):
        rounds, queries = int(table["rounds"].max()), int(table["queries"].max())
        counted = f"{_counted(queries, 'query', 'queries')} in {_counted(rounds, 'round', 'rounds')}"
        subtitle = f"{counted} · bars: median of the rounds · thin lines: lowest to highest round"
    stacked = table[~table["stage"].isin([*ONCE, TOTAL])]
    known = [stage for stage in STAGES if (stacked["stage"] == stage).any()]
    stages = [*known, *(stage for stage in dict.fromkeys(stacked["stage"]) if stage not in known)]
    sums = stacked.groupby("system")["median"].sum().sort_values(kind="stable")
    longest = float(sums.max()) if len(sums) else 0.0
    brief = [stage for stage in stages if stacked.loc[stacked["stage"] == stage, "high"].max() < SEEN * longest]
    stages = [stage for stage in stages if stage not in brief]
    order = [str(name) for name in sums.index]
    figure = new_figure(8.6, 0.95 + 0.5 * max(1, len(order)), title, subtitle)
    axes = figure.add_subplot()
    axes.set_xlabel("seconds per query, median")
    if not order:
        note(axes, "nothing was measured")
        return figure
    colours = stage_colours(stages)
    cells = {(r["system"], r["stage"]): (r["median"], r["low"], r["high"]) for r in table.to_dict("records")}
    edge = 0.0
    for row, name in enumerate(order):
        left = 0.0
        for i, stage in enumerate(stages):
            median, low, high = cells.get((name, stage), (np.nan, np.nan, np.nan))
            if not np.isfinite(median):
                continue
            axes.barh(row, median, left=left, height=0.62, color=colours[stage], edgecolor="white", linewidth=0.8)
            left += median
            if np.isfinite(low) and np.isfinite(high):
                height = row + 0.44 * ((i + 0.5) / len(stages) - 0.5)
                axes.hlines(height, left - median + low, left - median + high, color=INK, linewidth=0.9, zorder=3)
                edge = max(edge, left - median + high)
            edge = max(edge, left)
        own = table[table["system"] == name]
        lines = (_total(cells, name, float(sums[name])), _load(own), _brief(own, brief))
        place: dict[str, Any] = {"xytext": (8, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(
            "\n".join(line for line in lines if line), (1.0, row), xycoords=("axes fraction", "data"),
            size=NOTE_SIZE - 0.5, color=GREY, linespacing=1.3, annotation_clip=False, **place,
        )  # fmt: skip
    axes.set_xlim(0, 1.04 * edge if edge > 0 else 1.0)
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


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _brief(rows: pd.DataFrame, stages: Sequence[str]) -> str:
    """Stages too short to be seen, with their seconds."""
    found = rows[rows["stage"].isin(stages)]
    return ", ".join(f"{stage} {median:.2g} s" for stage, median in zip(found["stage"], found["median"], strict=True))


def _load(rows: pd.DataFrame) -> str:
    """What a system loads: layers, memory and the time that loading takes."""
    words = [_counted(int(rows["layers"].max()), "layer", "layers")]
    if rows["mib"].notna().any():
        words.append(f"{rows['mib'].sum():,.0f} MiB")
    once = rows[rows["stage"].isin(ONCE)]
    words += [f"{stage} {median:.3g} s" for stage, median in zip(once["stage"], once["median"], strict=True)]
    return ", ".join(words)
