"""Ratios of one set of results held against another's: whether any is worse than it was.

Seconds and rates say little of a change where the machine's speed does; ratios, of ways that took turns, do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.page import number
from benchmarks.rows import Row

ALLOWED = 0.03
"""A ratio may be so much worse than it was."""

SAME = ("processor", "cores", "threads", "device", "clock", "collection")
"""Facts in which two runs must agree for their ratios to be judged."""

RATE = "matrix rate of the machine"

Cost = Callable[[float], float]
"""Of a ratio as it is written, a number above 0, of which less is better."""


def _more(value: float) -> float:
    return 1 / max(value, 1e-9)


def _less(value: float) -> float:
    return value


def _left(value: float) -> float:
    """What is left where so many per cent are saved."""
    return 1 - value / 100


def _taken(value: float) -> float:
    """What is taken where so many per cent are added."""
    return 1 + value / 100


COSTS: Mapping[str, Cost] = {
    "saved by": _left,
    "seconds saved": _left,
    "slower": _taken,
    "lost": _taken,
    "memory against": _less,
    "measured against formula": _less,
    "time, share of": _less,
    "faster": _more,
    "fewer": _more,
    "layerrank": _more,
    "rate, share of": _more,
    "the fewest, share of": _more,
    "saved of what can be saved": _more,
    "same": _more,
    "queries with the same": _more,
}
"""By how a quantity's name begins, how it is judged."""


def against(rows: Sequence[Row], before: Sequence[Row]) -> str:
    """A Markdown table of the ratios that both results hold, then what is worse; of two machines, none is judged."""
    old = {(row.section, row.case, row.quantity): row for row in before}
    facts = {row.run: _facts(rows, row.run) for row in rows}
    old_facts = {row.run: _facts(before, row.run) for row in before}
    lines = ["| section | case | ratio | before | now | better by | |", "|---|---|---|---:|---:|---:|---|"]
    compared, worse, foreign = 0, [], 0
    for row in rows:
        cost, was = _cost(row), old.get((row.section, row.case, row.quantity))
        if cost is None or was is None:
            continue
        compared += 1
        change = cost(row.value) / max(cost(was.value), 1e-9) - 1
        differs = _differs(facts[row.run], old_facts[was.run])
        mark = ""
        if differs:
            foreign += 1
            mark = f"not judged: {differs}"
        elif change > ALLOWED:
            mark = "**worse**, within the rounds' spread" if _overlap(row, was) else "**worse**"
            worse.append(f"{row.section}, {row.case}, {row.quantity}")
        shown = " | ".join(f"{number(each.value)} {each.unit}" for each in (was, row))
        better = 0.0 - round(100 * change, 1)
        lines.append(f"| {row.section} | {row.case} | {row.quantity} | {shown} | {better:+.1f} % | {mark} |")
    new = sum(_cost(row) is not None for row in rows) - compared
    lines += ["", f"{compared} ratios in both results, {new} new; {foreign} of another machine or setting, not judged."]
    lines.append(f"Worse by more than {100 * ALLOWED:g} %: {len(worse) or 'none'} of {compared - foreign} judged.")
    return "\n".join([*_machines(rows, before), "", *lines, *(f"- {name}" for name in worse)])


def _cost(row: Row) -> Cost | None:
    """How a ratio is judged; None of what is no ratio, or says nothing of good or bad."""
    if row.unit not in ("%", "×"):
        return None
    return next((cost for name, cost in COSTS.items() if row.quantity.startswith(name)), None)


def _overlap(row: Row, was: Row) -> bool:
    ends = [
        (one.value if one.low is None else one.low, one.value if one.high is None else one.high) for one in (row, was)
    ]
    return ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]


def _facts(rows: Sequence[Row], run: str) -> dict[str, str]:
    return {row.quantity: row.note for row in rows if row.fact and row.run == run}


def _differs(own: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The first fact in which two runs differ; empty where there is none."""
    return next(
        (f"{name} {other.get(name, 'unknown')}" for name in SAME if own.get(name) != other.get(name)),
        "",
    )


def _is_rate(row: Row, run: str) -> bool:
    return (row.quantity, row.run) == (RATE, run)


def _machines(rows: Sequence[Row], before: Sequence[Row]) -> list[str]:
    """A line for each run of both results: its commit, its machine, and what that can do."""
    lines = []
    for name, found in (("before", before), ("now", rows)):
        for run in dict.fromkeys(row.run for row in found if not row.fact):
            facts = _facts(found, run)
            told = f"{facts.get('processor', 'unknown')}, {facts.get('cores', '?')} cores, {facts.get('device', '?')}"
            rates = [f", {row.case}: {number(row.value)} {row.unit}" for row in found if _is_rate(row, run)]
            lines.append(f"- {name}: commit {facts.get('commit', 'unknown')}, {told}{''.join(rates)}")
    return lines
