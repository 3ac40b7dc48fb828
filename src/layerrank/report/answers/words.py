"""How answers put a difference, a test, a count or a list into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from layerrank.report.tables.describe import Cell, interval
from layerrank.report.tables.effectiveness import TESTS, Marks

SIGNED = "+.3f"


def change(one: dict[str, Any]) -> str:
    """A difference with its interval, in words."""
    span = interval(one["low"], one["high"], SIGNED).replace("\u00a0", " ")
    return f"{one['difference']:+.3f} {span}".replace("-0.", "−0.")


def kind_of(one: dict[str, Any], marks: Marks) -> str:
    """What a test says of a difference."""
    unmarked = "too few queries to show a difference" if marks.blind(one) else "no difference shown"
    return {"↑": "a significant gain", "↓": "a significant loss", "": unmarked}[marks.of(one)]


def counts(kinds: Sequence[str]) -> str:
    """`a significant loss in 2, no difference shown in 1`."""
    return ", ".join(f"{kind} in {count}" for kind, count in Counter(kinds).most_common())


def counted(names: Sequence[str], total: int, name: bool = True) -> str:
    """`2 of 9 comparisons: …`, with up to six of them by name."""
    said = f"{len(names)} of {total} comparisons"
    return f"{said}: {listed(names)}" if names and name and len(names) <= 6 else said


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def many(number: int, noun: str) -> str:
    """A number of things: `1 query`, `2 queries`."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number} {noun.removesuffix('y')}{'ies' if noun[-1] == 'y' else 's'}"


def capital(text: str) -> str:
    """A sentence with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def percent(share: float) -> str:
    """A share of variance in whole percents; an estimate below nothing is none."""
    return f"{100 * max(float(share), 0.0):.0f}%"


def significance(marks: Marks) -> str:
    """Which test is called significant, at which level."""
    return f"{TESTS[marks.test][1]}, two-sided, α = {marks.alpha:g} after Holm’s correction"


def sizes(tests: Mapping[tuple[str, ...], dict[str, Any]]) -> str:
    """The sizes of the families that these tests are from."""
    found = {int(one["tests"]) for one in tests.values()}
    return " to ".join(str(size) for size in sorted({min(found), max(found)})) if found else "0"


def blind(tests: Sequence[dict[str, Any]], marks: Marks) -> list[str]:
    """Families whose smallest attainable p lies above the level."""
    found = sorted({(int(one["queries"]), int(one["tests"]), float(one["p_attainable"])) for one in tests})
    return [
        f"{many(queries, 'query')} cannot show a difference in a family of {many(size, 'test')}: the smallest "
        f"corrected p that they can give is {p:.2g}, and α is {marks.alpha:g}."
        for queries, size, p in found[:2]
    ]


def failures(costs: pd.DataFrame, where: str = "Category 6 counts them by cell.") -> list[str]:
    """What to know of generation whose answers were not well-formed; `where` says where they are counted."""
    written = costs[costs["answers"] > 0]
    failed = written[written["failure_rate"] > 0.01]
    if not len(failed):
        return []
    rate = 100 * float((written["failure_rate"] * written["answers"]).sum() / written["answers"].sum())
    return [
        f"{rate:.0f}% of the answers that generation wrote are not well-formed: what cannot be read leaves passages "
        f"in their order, so such a cell comes near its input. {where}"
    ]


def within(record: Mapping[Hashable, Any], name: str, form: str) -> Cell:
    """A mean with its interval."""
    return Cell(float(record[name]), detail=interval(float(record[f"{name}_low"]), float(record[f"{name}_high"]), form))
