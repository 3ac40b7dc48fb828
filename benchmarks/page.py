"""docs/performance.md and its figure, from the results file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.rows import MACHINE, SECONDS, SHARING_WORDS, WINDOWS_EACH, Row, read_rows
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
WINDOWS = {"all layers": BLUE, "lower half": ORANGE, "middle third": SKY}
RATES = ("memory, read and written", "matrix rate of the machine", "attention rate of torch")


def render(results: Path) -> None:
    """Write the page (.md) and its figures (.svg) beside the results."""
    rows = read_rows(results)
    ways = results.with_name(f"{results.stem}-ways.svg")
    save(draw(rows), results.with_suffix(".svg"))
    save(draw_ways([row for row in rows if row.section == "extraction"]), ways)
    runs = facts_of(rows)
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters |= {"number": number, "spread": spread}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        rows=rows,
        facts=next(iter(runs.values()), {}),
        runs=runs,
        facts_table=facts_table(rows, runs),
        names=list(dict.fromkeys(row.section for row in rows if row.section != MACHINE)),
        minutes=number(sum(row.value for row in rows if row.section == MACHINE and row.quantity == SECONDS) / 60),
        rates=[row for row in rows if row.quantity in RATES],
        targets=[row for row in rows if row.target],
        sections={row.section for row in rows},
        long=lambda section: [row for row in rows if row.section == section],
        wide=lambda section: wide([row for row in rows if row.section == section]),
        queries=lambda names: wide([row for row in rows if row.section == "queries" and row.quantity in names]),
        sharing=lambda windows: wide(
            [row for row in rows if row.section == "sharing" and (WINDOWS_EACH in row.case) == windows]
        ),
        windows_each=WINDOWS_EACH,
        words=SHARING_WORDS,
        figure=results.with_suffix(".svg").name,
        ways=ways.name,
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
    return f"{_value(row)}{' ' + row.unit if row.unit else ''}{ends}"


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
    return _value(row) + ends


def _value(row: Row) -> str:
    """A count as a whole number, everything else to three digits."""
    return f"{row.value:,.0f}" if not row.unit and row.value.is_integer() else number(row.value)


def facts_of(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """run → what it was measured on, the run with most sections first."""
    sections = Counter(row.run for row in rows if row.quantity == SECONDS)
    runs = sorted(dict.fromkeys(row.run for row in rows if row.fact), key=lambda run: -sections[run])
    return {run: {row.quantity: row.note for row in rows if row.fact and row.run == run} for run in runs}


def facts_table(rows: Sequence[Row], runs: Mapping[str, Mapping[str, str]]) -> str:
    """A Markdown table of facts down and runs across, with the sections of each where there are several."""
    names = list(dict.fromkeys(name for facts in runs.values() for name in facts))
    lines = [f"| |{' |' * len(runs)}", f"|---|{'---|' * len(runs)}"]
    lines += [f"| {name} | {' | '.join(facts.get(name, '') for facts in runs.values())} |" for name in names]
    if len(runs) > 1:
        own = {
            run: dict.fromkeys(row.section for row in rows if row.run == run and row.section != MACHINE) for run in runs
        }
        lines.append(f"| sections | {' | '.join(', '.join(own[run]) for run in runs)} |")
    return "\n".join(lines)


@styled
def draw(rows: Sequence[Row]) -> Figure:
    """Seconds a query by depth and window; seconds against tokens; time of cut models against their depth."""
    figure = new_figure(9.6, 4.0, "What ranking one query costs")
    queries, tokens, windows = figure.subplots(1, 3, width_ratios=[1.5, 1.0, 1.0])
    _draw_queries(queries, [row for row in rows if row.section == "queries"])
    _draw_tokens(tokens, [row for row in rows if row.section == "tokens"])
    _draw_windows(windows, [row for row in rows if row.section == "windows"])
    return figure


@styled
def draw_ways(rows: Sequence[Row]) -> Figure:
    """Seconds of the ways to read a query."""
    figure = new_figure(6.4, 3.6, "Reading one query, way by way")
    _draw_ways(figure.subplots(), rows)
    return figure


def _draw_queries(axes: Axes, rows: Sequence[Row]) -> None:
    """Seconds of each window, dtype and depth, of the first model; its deepest lists on top."""
    own = [row for row in rows if row.quantity in WINDOWS and not math.isnan(row.value)]
    model = own[0].case.split(", ")[0] if own else ""
    ticks, labels, place = [], [], 0.0
    for case in reversed(list(dict.fromkeys(row.case for row in own if row.case.startswith(f"{model}, ")))):
        _, passages, tokens, dtype = case.split(", ")
        labels.append(f"{passages},\n{tokens}, {dtype}")
        ticks.append(place + 0.9)
        for row in (row for row in own if row.case == case):
            axes.barh(place, row.value, height=0.8, color=WINDOWS[row.quantity])
            axes.text(row.value, place, f" {number(row.value)} s", va="center", size=NOTE_SIZE - 1, color=GREY)
            place += 0.9
        place += 0.7
    _log_bars(axes, ticks, labels)
    axes.set_title(model, size=NOTE_SIZE)
    if own:
        axes.legend([Patch(color=colour) for colour in WINDOWS.values()], list(WINDOWS), fontsize=NOTE_SIZE - 1)


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
    _log_bars(axes, ticks, labels)


def _log_bars(axes: Axes, ticks: Sequence[float], labels: Sequence[str]) -> None:
    """Axes of horizontal bars of seconds, the first on top, with room for what is written beside them."""
    if ticks:
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
