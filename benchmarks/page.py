"""docs/performance.md and its figure, from the results file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import jinja2
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rows import Row, read_rows
from layerrank.core.files import write_text
from layerrank.report.figures.style import BLUE, GREY, INK, NOTE_SIZE, ORANGE, SKY, VERMILION, new_figure, save, styled

TEMPLATE = Path(__file__).with_name("performance.md.j2")
WAYS = {
    "limit": GREY,
    "layerrank bfloat16": SKY,
    "layerrank float32": BLUE,
    "baseline bfloat16": ORANGE,
    "baseline float32": VERMILION,
    "eager": INK,
}


def render(results: Path) -> None:
    """Write the page (.md) and the figure (.svg) beside the results."""
    rows = read_rows(results)
    save(draw(rows), results.with_suffix(".svg"))
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters |= {"number": number, "spread": spread}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        rows=rows,
        facts={row.quantity: row.note for row in rows if row.section == "machine" and row.case == "fact"},
        targets=[row for row in rows if row.target],
        sections={row.section for row in rows},
        long=lambda section: [row for row in rows if row.section == section],
        wide=lambda section: wide([row for row in rows if row.section == section]),
        value=lambda section, case, quantity: value(rows, section, case, quantity),
        missed=lambda section: any(row.met is False for row in rows if row.section == section),
        figure=results.with_suffix(".svg").name,
        results=results.name,
    )
    write_text(results.with_suffix(".md"), text.rstrip() + "\n")


def number(amount: float | None) -> str:
    """Three significant digits, thousands apart."""
    if amount is None or math.isnan(amount):
        return ""
    if amount == 0:
        return "0"
    if abs(amount) >= 1000:
        return f"{amount:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(amount))))
    return f"{amount:.{digits}f}" if digits <= 5 else f"{amount:.1e}"


def spread(row: Row) -> str:
    """Value with its unit and spread."""
    ends = (
        ""
        if row.low is None or row.high is None or row.low == row.high
        else f" ({number(row.low)} to {number(row.high)})"
    )
    return f"{number(row.value)}{' ' + row.unit if row.unit else ''}{ends}"


def wide(rows: Sequence[Row]) -> str:
    """A Markdown table, cases down and quantities across."""
    cases = list(dict.fromkeys(row.case for row in rows))
    quantities = list(dict.fromkeys(row.quantity for row in rows))
    found = {(row.case, row.quantity): row for row in rows}
    units = {row.quantity: row.unit for row in rows}
    head = [f"{name}, {units[name]}" if units[name] else name for name in quantities]
    lines = [f"| | {' | '.join(head)} |", f"|---|{'---:|' * len(head)}"]
    for case in cases:
        cells = [_cell(found.get((case, name))) for name in quantities]
        lines.append(f"| {case} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    ends = (
        "" if row.low is None or row.high is None or row.low == row.high else f" ({number(row.low)}–{number(row.high)})"
    )
    return number(row.value) + ends


def value(rows: Sequence[Row], section: str, case: str, quantity: str) -> str:
    """One value with its spread, by the beginnings of case and quantity; `(not measured)` where there is none."""
    for row in rows:
        if row.section == section and row.case.startswith(case) and row.quantity.startswith(quantity):
            return spread(row)
    return "(not measured)"


@styled
def draw(rows: Sequence[Row]) -> Figure:
    """Seconds of the ways to read a query; seconds against tokens; time of cut models against their depth."""
    figure = new_figure(9.6, 3.1, "What reading a query's attention costs")
    ways, tokens, windows = figure.subplots(1, 3, width_ratios=[1.35, 1.0, 1.0])
    _draw_ways(ways, [row for row in rows if row.section == "extraction"])
    _draw_tokens(tokens, [row for row in rows if row.section == "tokens"])
    _draw_windows(windows, [row for row in rows if row.section == "windows"])
    return figure


def _draw_ways(axes: Axes, rows: Sequence[Row]) -> None:
    seconds: dict[str, dict[str, Row]] = {}
    for row in rows:
        dtype, _, length = row.case.partition(", ")
        if row.unit != "s" or row.quantity not in ("layerrank", "baseline", "eager", "limit"):
            continue
        name = row.quantity if row.quantity in ("eager",) else f"{row.quantity} {dtype}"
        seconds.setdefault(length, {})[name] = row
    labels, place = [], 0.0
    ticks = []
    for length, ways in seconds.items():
        axes.text(0.98, place, length, transform=axes.get_yaxis_transform(), ha="right", va="center", size=NOTE_SIZE)
        for name in sorted(ways, key=lambda name: ways[name].value):
            row = ways[name]
            colour = WAYS["limit"] if name.startswith("limit") else WAYS[name]
            axes.barh(place, row.value, height=0.72, color=colour)
            axes.text(row.value, place, f" {number(row.value)} s", va="center", size=NOTE_SIZE - 1, color=GREY)
            labels.append(name)
            ticks.append(place)
            place += 1
        place += 0.7
    if seconds:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * 4)
    axes.set_yticks(ticks, labels, size=NOTE_SIZE - 1)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel("seconds a query (log)")
    axes.grid(axis="x")


def _draw_tokens(axes: Axes, rows: Sequence[Row]) -> None:
    for dtype, colour, marker in (("float32", BLUE, "o"), ("bfloat16", SKY, "s")):
        own = [row for row in rows if row.case.startswith(f"{dtype}, ")]
        lengths = [
            int(row.case.split(", ", 1)[1].split(" ")[0].replace(",", "")) for row in own if row.quantity == "layerrank"
        ]
        for quantity, dash in (("layerrank", "-"), ("attention's part of it", ":")):
            if quantity == "layerrank":
                values = [row.value for row in own if row.quantity == "layerrank"]
            else:
                shares = [row.value for row in own if row.quantity.startswith("attention's share of the seconds")]
                whole = [row.value for row in own if row.quantity == "layerrank"]
                values = [one * share / 100 for one, share in zip(whole, shares, strict=True)]
            label = dtype if quantity == "layerrank" else f"{dtype}, attention"
            axes.plot(lengths, values, color=colour, marker=marker, linestyle=dash, markersize=3.5, label=label)
    axes.set_xlabel("tokens of the prompt")
    axes.set_ylabel("seconds a query")
    axes.set_ylim(bottom=0)
    axes.grid()
    axes.legend(fontsize=NOTE_SIZE - 1)


def _draw_windows(axes: Axes, rows: Sequence[Row]) -> None:
    own = [row for row in rows if row.quantity.startswith("time, share")]
    depths, values = [0.0], [0.0]
    for row in own:
        words = row.case.split(" ")
        depths.append(100 * (int(words[4 - 1]) + 1) / int(words[5].rstrip(",")))
        values.append(row.value)
        axes.vlines(depths[-1], row.low, row.high, color=INK, linewidth=0.8)
    depths.append(100.0)
    values.append(100.0)
    axes.plot(depths, values, color=BLUE, marker="o", markersize=3.5, label="measured")
    axes.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1.0, label="in proportion")
    axes.set_xlabel("layers run, % of all")
    axes.set_ylabel("time, % of the full pass")
    axes.grid()
    axes.legend(fontsize=NOTE_SIZE - 1)
