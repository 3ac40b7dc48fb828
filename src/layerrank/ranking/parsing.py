"""What a model wrote, read as an answer. Every answer has an outcome that is counted; none is silently replaced.

Outcomes are of two sorts. One of each answer: `answers` counts them all, `well_formed` those without any fault,
`unparseable` those in which no label was found. One of each fault: `out_of_range` for every label that no passage has,
`repeated` for every label written again, `missing` for every passage that a ranking leaves out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layerrank.core.records import ANSWERS, MISSING, OUT_OF_RANGE, OUTCOMES, REPEATED, UNPARSEABLE, WELL_FORMED


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer read: places in the group (one or, for no decision, none; of a ranking all) and counted outcomes."""

    places: tuple[int, ...]
    outcomes: Mapping[str, int]


def parse_choice(text: str, labels: Sequence[str], pattern: str) -> Parsed:
    """The first label that `pattern` finds in `text`.

    `out_of_range` (a label of no passage) and `unparseable` (none found) are no decision: no place is given.
    """
    match = re.search(pattern, text)
    if match is None:
        return Parsed((), {ANSWERS: 1, UNPARSEABLE: 1})
    places = _places(labels)
    place = places.get(_normal(match[match.re.groups and 1]))
    if place is None:
        return Parsed((), {ANSWERS: 1, OUT_OF_RANGE: 1})
    return Parsed((place,), {ANSWERS: 1, WELL_FORMED: 1})


def parse_ranking(text: str, labels: Sequence[str], pattern: str) -> Parsed:
    """Every label that `pattern` finds, in order, without repeats and strangers; what is missing follows in its order.

    An answer without any label of the group is `unparseable`: the current order stays, and none counts as missing.
    """
    places = _places(labels)
    events: Counter[str] = Counter()
    written: dict[int, None] = {}
    for match in re.finditer(pattern, text):
        place = places.get(_normal(match[match.re.groups and 1]))
        if place is None:
            events[OUT_OF_RANGE] += 1
        elif place in written:
            events[REPEATED] += 1
        else:
            written[place] = None
    left = [place for place in range(len(labels)) if place not in written]
    if not written:
        events[UNPARSEABLE] = 1
    elif left:
        events[MISSING] = len(left)
    if not events:
        events[WELL_FORMED] = 1
    return Parsed((*written, *left), {ANSWERS: 1, **{name: events[name] for name in OUTCOMES if events[name]}})


def _places(labels: Sequence[str]) -> dict[str, int]:
    return {_normal(label): place for place, label in enumerate(labels)}


def _normal(label: str) -> str:
    """A label without case and without leading zeros: `07` is `7`, as it is when read as an integer."""
    return label.casefold().lstrip("0") or "0"
