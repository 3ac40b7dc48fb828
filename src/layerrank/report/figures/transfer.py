"""What a window loses that was chosen somewhere else."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from layerrank.core.windows import fixed_window
from layerrank.report.figures.style import BLUE, INK, NOTE_SIZE, new_figure, note, styled


@styled
def draw_transfer(table: pd.DataFrame, *, measure: str = "", title: str = "") -> Figure:
    """Regret matrix: a row where (or how) the window was chosen, a column where it is used; 0 is the oracle's.

    `table` has the columns `frames.TRANSFER`. Windows are written below the regret, a new kind of source starts below a
    gap, and cells that were chosen on the queries that they are judged on are framed.
    """
    sources, targets = list(dict.fromkeys(table["source"])), list(dict.fromkeys(table["target"]))
    values = np.full((len(sources), len(targets)), np.nan)
    windows = np.full(values.shape, "", dtype=object)
    same = np.zeros(values.shape, dtype=bool)
    for row in table.to_dict("records"):
        place = sources.index(row["source"]), targets.index(row["target"])
        values[place] = row["regret"]
        windows[place] = _short(row["window"])
        same[place] = bool(row["same_queries"])
    width = max(5.2, 2.6 + 0.78 * len(targets))
    figure = new_figure(width, 1.3 + 0.42 * max(len(sources), 2), title)
    axes = figure.add_subplot()
    if not np.isfinite(values).any():
        note(axes, "no window was carried over")
        return figure
    ramp = ["#F4F9FD", "#7CC0EA", BLUE, "#06284A"]
    colours = LinearSegmentedColormap.from_list("regret", ramp).with_extremes(bad="white")
    top = float(np.nanmax(values)) or 1.0
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=colours, vmin=0.0, vmax=top, aspect="auto", interpolation="nearest"
    )
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = colours(value / top if np.isfinite(value) else 0.0)
        ink = INK if not np.isfinite(value) or 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
        text = f"{value:.3f}".replace("-", "−") if np.isfinite(value) else "–"
        text += f"\n{windows[i, j]}" if windows[i, j] and np.isfinite(value) else ""
        axes.text(j, i, text, ha="center", va="center", size=NOTE_SIZE - 1, color=ink, linespacing=1.15)
        if same[i, j]:
            axes.add_patch(
                Rectangle((j - 0.47, i - 0.45), 0.94, 0.9, fill=False, edgecolor=ink, linewidth=1.0, linestyle=":")
            )
    axes.set_xticks(range(len(targets)), ["\n".join(textwrap.wrap(name, 12)) for name in targets])
    axes.set_yticks(range(len(sources)), ["\n".join(textwrap.wrap(name, 26)) for name in sources])
    if len(targets) > 6:
        axes.tick_params(axis="x", rotation=40)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    kinds = [str(table.loc[table["source"] == source, "kind"].iloc[0]) for source in sources]
    for i in range(1, len(sources)):
        if kinds[i] != kinds[i - 1]:
            axes.axhline(i - 0.5, color="white", linewidth=4)
    axes.set_xlabel("used on")
    axes.set_ylabel("chosen on, or by")
    bar = figure.colorbar(image, ax=axes, aspect=24, pad=0.02)
    bar.set_label(f"regret against the oracle{f' ({measure})' if measure else ''}")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _short(window: object) -> str:
    """A window as written in a cell: `L10-13` as `10–13`, anything else as it is, nothing where there is none."""
    if not isinstance(window, str):
        return ""
    fixed = fixed_window(window)
    return fixed.span if fixed else window
