"""Frameworks: how comparisons of small groups become one ranking (semantics.md §3). No model, tokenizer or file here.

A framework is a generator. It yields a list of groups (tuples of candidate indices in the order in which a prompt shows
them, independent of each other, so that they can be scored together), receives one sequence of scores a group
(a score for each passage of it, higher is better, equal scores keep the current order) and returns an `Order`.
Candidates are numbered from 0 in input order, best first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from layerrank.core.errors import UserError

Group = tuple[int, ...]
Scores = Sequence[float]


@dataclass(frozen=True, slots=True)
class Order:
    """Candidates best first. `scores` belong to `indices` place by place; None where the order is all that is known."""

    indices: tuple[int, ...]
    scores: tuple[float, ...] | None = None


Steps = Generator[list[Group], list[Scores], Order]
Result = TypeVar("Result")
Part = Generator[list[Group], list[Scores], Result]

WHOLE: Literal["whole"] = "whole"


def pointwise(n: int) -> Steps:
    """Groups of one, all in one step; by score."""
    received = yield [(index,) for index in range(n)]
    return _by_score([scores[0] for scores in received])


def pairwise_allpair(n: int) -> Steps:
    """Every pair in both orders, all in one step: 1 point for a win, ½ each where the orders disagree; by points."""
    pairs = [(a, b) for a in range(n) for b in range(a + 1, n)]
    received = (yield [group for a, b in pairs for group in ((a, b), (b, a))]) if pairs else []
    points = [0.0] * n
    for number, (a, b) in enumerate(pairs):
        margin = _verdict(received[2 * number], received[2 * number + 1])
        points[a] += (1 + margin) / 2
        points[b] += (1 - margin) / 2
    return _by_score(points)


def pairwise_heapsort(n: int, k: int = 10) -> Steps:
    """A binary heap; a child rises only where it wins in both orders. The top k, then the others in input order."""

    def sift(heap: list[int], root: int, size: int) -> Part[None]:
        while 2 * root + 1 < size:
            best = root
            for child in range(2 * root + 1, min(2 * root + 3, size)):
                if (yield from _compare(heap[child], heap[best])) > 0:
                    best = child
            if best == root:
                return
            heap[root], heap[best] = heap[best], heap[root]
            root = best

    top = yield from _heap_top(n, 2, k, sift)
    return _top_first(top, n)


def pairwise_bubblesort(n: int, k: int = 10) -> Steps:
    """k passes from the bottom; neighbours swap only where the lower one wins in both orders. The others follow."""
    order = list(range(n))
    for top in range(min(k, n - 1)):
        for place in range(n - 1, top, -1):
            if (yield from _compare(order[place], order[place - 1])) > 0:
                order[place], order[place - 1] = order[place - 1], order[place]
    return _top_first(order[:k], n)


def setwise_heapsort(n: int, c: int = 2, k: int = 10) -> Steps:
    """A c-ary heap; one group is a parent with its children, and only its winner matters. The others follow.

    Subtrees on one level of the heap share no candidate: while the heap is built, they are sifted side by side, with
    the comparisons (and so the result) of building it one parent after the other. Equal scores are decided by the input
    order: the place of a passage in the heap says nothing, once the last one was put in the extracted one's place.
    """

    def sift(heap: list[int], root: int, size: int) -> Part[None]:
        while c * root + 1 < size:
            places = [root, *range(c * root + 1, min(c * (root + 1) + 1, size))]
            (scores,) = yield [tuple(heap[place] for place in places)]
            best = max(zip(scores, places, strict=True), key=lambda pair: (pair[0], -heap[pair[1]]))[1]
            if best == root:
                return
            heap[root], heap[best] = heap[best], heap[root]
            root = best

    top = yield from _heap_top(n, c, k, sift)
    return _top_first(top, n)


def setwise_bubblesort(n: int, c: int = 2, k: int = 10) -> Steps:
    """k passes of a window of c + 1 from the bottom, stepping c; its winner changes places with its first passage.

    The top k, then the others in input order.
    """
    order = list(range(n))
    for top in range(min(k, n - 1)):
        end = n
        while end > top + 1:
            start = max(top, end - (c + 1))
            (scores,) = yield [tuple(order[start:end])]
            best = start + _winner(scores)
            order[start], order[best] = order[best], order[start]
            end -= c
    return _top_first(order[:k], n)


def listwise(n: int, size: int | Literal["whole"] = 20, step: int = 10, repeats: int = 1) -> Steps:
    """A window of `size` slides from the end to the top by `step`; the group's full order replaces it (RankGPT).

    At least one window runs, however short the list, and the last one begins at the top: where the step does not
    divide the list, it is the shorter one. One window over the whole list, run once, keeps the group's scores.
    """
    order = list(range(n))
    last: list[float] | None = None
    for _ in range(repeats if n else 0):
        end = n
        while True:
            start = 0 if size == WHOLE else max(0, end - size)
            (scores,) = yield [tuple(order[start:end])]
            ranked = _descending(scores)
            last = [scores[place] for place in ranked] if end - start == n else None
            order[start:end] = [order[start + place] for place in ranked]
            if start == 0:
                break
            end -= step
    return Order(tuple(order), None if last is None else tuple(last))


@dataclass(frozen=True, slots=True)
class Framework:
    """One way to sort. `kind` names the prompts that it takes; `defaults` are all its settings with their defaults."""

    kind: str
    start: Callable[..., Steps]
    defaults: Mapping[str, Any]
    largest: Callable[[int, Mapping[str, Any]], int]


FRAMEWORKS: Mapping[tuple[str, str], Framework] = {
    ("pointwise", "sort"): Framework("pointwise", pointwise, {}, lambda n, _: min(n, 1)),
    ("pairwise", "allpair"): Framework("pairwise", pairwise_allpair, {}, lambda n, _: min(n, 2)),
    ("pairwise", "heapsort"): Framework("pairwise", pairwise_heapsort, {"k": 10}, lambda n, _: min(n, 2)),
    ("pairwise", "bubblesort"): Framework("pairwise", pairwise_bubblesort, {"k": 10}, lambda n, _: min(n, 2)),
    ("setwise", "heapsort"): Framework(
        "setwise", setwise_heapsort, {"c": 2, "k": 10}, lambda n, settings: min(n, settings["c"] + 1)
    ),
    ("setwise", "bubblesort"): Framework(
        "setwise", setwise_bubblesort, {"c": 2, "k": 10}, lambda n, settings: min(n, settings["c"] + 1)
    ),
    ("listwise", "window"): Framework(
        "listwise",
        listwise,
        {"size": 20, "step": 10, "repeats": 1},
        lambda n, settings: n if settings["size"] == WHOLE else min(n, settings["size"]),
    ),
}
"""All frameworks by (kind, sort)."""

KINDS = tuple(dict.fromkeys(kind for kind, _ in FRAMEWORKS))
DEFAULT_SORT = {"pointwise": "sort", "pairwise": "heapsort", "setwise": "heapsort", "listwise": "window"}


@dataclass(frozen=True, slots=True)
class Sorter:
    """A framework with its settings, checked: `start(n)` begins one query's sort of n candidates."""

    framework: Framework
    settings: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`pointwise`, `pairwise`, `setwise` or `listwise`."""
        return self.framework.kind

    def start(self, n: int) -> Steps:
        """A fresh generator over n candidates."""
        return self.framework.start(n, **self.settings)

    def largest_group(self, n: int) -> int:
        """Passages in the largest group that n candidates can give."""
        return self.framework.largest(n, self.settings)


def make_sorter(kind: str, settings: Mapping[str, Any] | None = None) -> Sorter:
    """The framework `kind` with its settings; `sort` chooses among its sorts. Raises `UserError` on what is unknown.

    Settings: pairwise `sort` (heapsort, bubblesort, allpair) and `k`; setwise `sort` (heapsort, bubblesort), `c`
    children and `k`; listwise `size` (passages, or "whole"), `step` (1 to size) and `repeats`.
    """
    own = dict(settings or {})
    if kind not in KINDS:
        raise UserError(f"framework {kind!r}: expected one of {', '.join(KINDS)}")
    sorts = [sort for known, sort in FRAMEWORKS if known == kind]
    sort = own.pop("sort", DEFAULT_SORT[kind])
    if sort not in sorts:
        raise UserError(f"framework {kind}: sort {sort!r}: expected one of {', '.join(sorts)}")
    framework = FRAMEWORKS[kind, sort]
    for name, value in own.items():
        if name not in framework.defaults:
            allowed = ", ".join(["sort", *framework.defaults])
            raise UserError(f"framework {kind} ({sort}): unknown setting {name!r}; it takes {allowed}")
        if name == "size" and value == WHOLE:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            whole = ' or "whole"' if name == "size" else ""
            raise UserError(f"framework {kind}: {name}: {value!r}: expected a whole number from 1{whole}")
    merged = {**framework.defaults, **own}
    if kind == "listwise" and merged["size"] != WHOLE and merged["step"] > merged["size"]:
        if "step" in own:
            raise UserError(f"framework listwise: step: {merged['step']}: expected at most size ({merged['size']})")
        merged["step"] = max(1, merged["size"] // 2)
    return Sorter(framework, merged)


def _heap_top(n: int, c: int, k: int, sift: Callable[[list[int], int, int], Part[None]]) -> Part[list[int]]:
    """The best k of n by a c-ary heap: build from the last parent down to 0, then extract k times, sifting down."""
    heap = list(range(n))
    parent = (n - 2) // c if n > 1 else -1
    while parent >= 0:
        first = 0
        while c * first + 1 <= parent:  # the first place of this parent's level
            first = c * first + 1
        yield from _side_by_side([sift(heap, place, n) for place in range(parent, first - 1, -1)])
        parent = first - 1
    top: list[int] = []
    for size in range(n - 1, max(-1, n - 1 - k), -1):
        top.append(heap[0])
        heap[0] = heap[size]
        if len(top) < k:
            yield from sift(heap, 0, size)
    return top


def _side_by_side(parts: Sequence[Part[Any]]) -> Part[None]:
    """Run parts that share no candidate in step: each step yields the groups of all that still go on."""
    waiting = [(part, groups) for part in parts if (groups := _advance(part, None)) is not None]
    while waiting:
        received = yield [group for _, groups in waiting for group in groups]
        taken = 0
        going = []
        for part, groups in waiting:
            more = _advance(part, received[taken : taken + len(groups)])
            taken += len(groups)
            if more is not None:
                going.append((part, more))
        waiting = going


def _advance(part: Part[Any], received: list[Scores] | None) -> list[Group] | None:
    try:
        return next(part) if received is None else part.send(received)
    except StopIteration:
        return None


def _compare(a: int, b: int) -> Part[float]:
    """Both orders of a pair: 1.0 where a wins both, -1.0 where b does, 0.0 where they disagree."""
    forward, backward = yield [(a, b), (b, a)]
    return _verdict(forward, backward)


def _verdict(forward: Scores, backward: Scores) -> float:
    """From the scores of (a, b) and of (b, a)."""
    if forward[0] > forward[1] and backward[1] > backward[0]:
        return 1.0
    if forward[1] > forward[0] and backward[0] > backward[1]:
        return -1.0
    return 0.0


def _winner(scores: Scores) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def _descending(scores: Scores) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def _by_score(scores: Scores) -> Order:
    ranked = _descending(scores)
    return Order(tuple(ranked), tuple(scores[index] for index in ranked))


def _top_first(top: Sequence[int], n: int) -> Order:
    chosen = set(top)
    return Order((*top, *(index for index in range(n) if index not in chosen)))
