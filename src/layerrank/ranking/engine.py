"""The engine: many queries' frameworks side by side, their groups pooled into batches for one mechanism.

Each round takes the groups that the queries at work wait for and runs them in batches within a token budget: longest
first, or, where a mechanism computes common beginnings once, those side by side that have one. A query goes on as soon
as its own groups are scored; its next groups are in the next round. So a sort that is sequential for one query, setwise
heapsort above all, runs at batch speed over many.

Several systems of one framework that read the same prompts, and differ in what they make of them (attention cells that
differ in their window), run together: a query's sorts follow each other, the one that reads deepest first, over one
memo. What is read for one answers for all after it, so that no group is read twice, and each just as deep as the
deepest system that asks for it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.records import ANSWERS, WELL_FORMED, Candidates, Cost, Ranking
from layerrank.prompts.tree import borrowed
from layerrank.ranking.frameworks import Group, Order, Scores, Sorter, Steps
from layerrank.ranking.mechanism import BATCH_TOKENS, PADDING, Answer, Mechanism, Request, Sharing, Work

_log = logging.getLogger(__name__)

POOL_BATCHES = 4
"""A round starts further queries until it holds this many full batches: enough to sort by length, little to lose."""

Cut = Callable[[Candidates], tuple[Candidates, int]]

_LOWER = {
    "pointwise": "passages.words",
    "pairwise": "passages.words",
    "setwise": "c of the framework, or passages.words",
    "listwise": "size of the framework, first_stage.depth or passages.words",
}


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query done: `order` by candidate index, the same as a `ranking`, and what it cost.

    `system` is the place of the mechanism among those of the engine.
    """

    order: Order
    ranking: Ranking
    cost: Cost
    system: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """A group that the model has read: what each system makes of it, the seconds it took, and who has used it.

    The first of `users` is the one that it was read for, whose answer counts what was computed.
    """

    answers: Mapping[int, Answer]
    seconds: float
    users: list[int] = field(default_factory=list)


class _Sort:
    """One query's sort for one system: its generator, its step's groups, those still waiting, scores, and costs."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.memo: dict[Group, Scores] = {}
        self.groups: list[Group] = []
        self.waiting: dict[Group, None] = {}
        self.done: Order | None = None
        self.counts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self._advance(first=True)

    def receive(self, group: Group, answer: Answer) -> None:
        """Keep an answer; with the last one that is waited for, the framework goes on."""
        del self.waiting[group]
        self.memo[group] = answer.scores
        self.counts["forward_passes"] += answer.forward_passes
        self.counts["prompt_tokens"] += answer.prompt_tokens
        self.counts["generated_tokens"] += answer.generated_tokens
        self.counts["layer_tokens"] += answer.layer_tokens
        self.outcomes.update(answer.outcomes)
        if not self.waiting:
            self._advance()

    def _advance(self, first: bool = False) -> None:
        try:
            while first or not self.waiting:
                received = [self.memo[group] for group in self.groups]
                self.groups = next(self.steps) if first else self.steps.send(received)
                first = False
                self.waiting = {group: None for group in self.groups if group not in self.memo}
                self.counts["groups"] += len(self.groups)
                self.counts["memo_hits"] += len(self.groups) - len(self.waiting)
        except StopIteration as stop:
            self.groups = []
            self.done = stop.value


class _Query:
    """One query at work: a sort for each of its systems, one after the other, and what was read for any of them."""

    def __init__(self, candidates: Candidates, truncated: int, systems: Sequence[int], sorter: Sorter) -> None:
        self.candidates = candidates
        self.truncated = truncated
        self.done = False
        self._sorter = sorter
        self._systems = list(systems)
        self._sorts: dict[int, _Sort] = {}
        self._read: dict[Group, list[_Read]] = {}
        self._next()
        self._go_on()

    @property
    def unfinished(self) -> list[int]:
        """The system whose sort is at work, then those whose sorts are to come."""
        return self._systems[len(self._sorts) - 1 :]

    @property
    def sort(self) -> _Sort:
        """The sort at work."""
        return self._sorts[self.system]

    def receive(self, group: Group, answers: Mapping[int, Answer], seconds: float) -> None:
        """Keep what was read for the sort at work, which uses it."""
        self._read.setdefault(group, []).append(_Read(answers, seconds))
        self._use(group, self._read[group][-1])
        self._go_on()

    def _known(self, group: Group) -> _Read | None:
        """What was read of a group and answers the sort at work."""
        return next((read for read in self._read.get(group, ()) if self.system in read.answers), None)

    def _next(self) -> None:
        self.system = self._systems[len(self._sorts)]
        self._sorts[self.system] = _Sort(self._sorter.start(len(self.candidates)))

    def _use(self, group: Group, read: _Read) -> None:
        read.users.append(self.system)
        self.sort.receive(group, read.answers[self.system])

    def _go_on(self) -> None:
        """Use what is known, one sort after the other, until one waits for what is not, or all are done."""
        while not self.done:
            known = [(group, read) for group in self.sort.waiting if (read := self._known(group))]
            for group, read in known:
                self._use(group, read)
            if self.sort.done is None:
                if not known:
                    return
            elif len(self._sorts) < len(self._systems):
                self._next()
            else:
                self._share()
                self.done = True

    def _share(self) -> None:
        """Share out what was computed, and its seconds, over the systems that used it."""
        for read in (read for reads in self._read.values() for read in reads):
            done = read.answers[read.users[0]]
            alone = [read.answers[system].layer_tokens for system in read.users]
            alone = alone if sum(alone) else [1] * len(alone)
            tokens = shared_out(done.computed_tokens, [1] * len(alone))
            layer_tokens = shared_out(done.computed_layer_tokens, alone)
            for place, system in enumerate(read.users):
                sort = self._sorts[system]
                sort.counts["computed_tokens"] += tokens[place]
                sort.counts["computed_layer_tokens"] += layer_tokens[place]
                sort.seconds += read.seconds * alone[place] / sum(alone)

    def results(self, only_order: bool) -> Iterator[Ranked]:
        """What the finished sorts give, in the order of the systems."""
        qid, passages = self.candidates.query.qid, self.candidates.passages
        for system, sort in sorted(self._sorts.items()):
            assert sort.done is not None
            order = Order(sort.done.indices) if only_order else sort.done
            pids = tuple(passages[index].pid for index in order.indices)
            ranking = Ranking.from_order(qid, pids) if order.scores is None else Ranking(qid, pids, order.scores)
            outcomes = {name: sort.outcomes[name] for name in sorted(sort.outcomes)}
            counts: dict[str, Any] = {**sort.counts, "truncated_passages": self.truncated}
            yield Ranked(order, ranking, Cost(qid, seconds=sort.seconds, outcomes=outcomes, **counts), system)


def shared_out(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to the weights, as near as they can be, that add up to the total."""
    whole, taken, given = sum(weights), 0, 0
    parts = []
    for weight in weights:
        taken += weight
        parts.append(total * taken // whole - given)
        given += parts[-1]
    return parts


class Engine:
    """Ranks queries with one framework and one mechanism, or several that read the same prompts.

    Args:
        sorter: The framework with its settings.
        mechanism: Scores the groups; of several, each is a system of its own.
        name: Names the cell in errors, `setwise-generation` for example.
        batch_tokens: Budget of one batch, in tokens computed, padding counted; a longer group runs alone.
        queries_at_once: At most so many queries are at work side by side.
        cut: Shortens a query's texts before anything else, and tells how many passages it cut.
        wanted: Which of several systems a query is ranked by; all where None.
    """

    def __init__(
        self,
        sorter: Sorter,
        mechanism: Mechanism | Sequence[Sharing],
        *,
        name: str = "rerank",
        batch_tokens: int = BATCH_TOKENS,
        queries_at_once: int = 64,
        cut: Cut | None = None,
        wanted: Callable[[str], Collection[int]] | None = None,
    ) -> None:
        for setting, value in (("batch_tokens", batch_tokens), ("queries_at_once", queries_at_once)):
            if value < 1:
                raise UserError(f"{name}: {setting}: {value}: expected a whole number from 1")
        self.sorter = sorter
        self.systems: Sequence[Sharing] = mechanism if isinstance(mechanism, Sequence) else ()
        self.mechanism: Mechanism = mechanism[0] if isinstance(mechanism, Sequence) else mechanism
        self.name = name
        self.batch_tokens = batch_tokens
        self.queries_at_once = queries_at_once
        self.cut = cut
        self.wanted = wanted
        self.batches = 0
        """Batches run so far."""
        self.after_batch: Callable[[], object] = lambda: None
        """Called when a batch has run: many may before a first query is done."""

    def check(self, candidates: Iterable[Candidates]) -> None:
        """Raise `UserError` where a query's longest possible group does not fit the model's context; nothing is run."""
        for row in candidates:
            row, _ = self._cut(row)
            size = self.sorter.largest_group(len(row))
            if not size:
                continue
            passages = row.passages
            if size < len(row):
                lengths = self.mechanism.lengths([passage.content for passage in passages])
                longest = sorted(range(len(row)), key=lambda index: -lengths[index])[:size]
                passages = tuple(passages[index] for index in longest)
            self._fits(self.mechanism.prepare(Request(row.query, passages)))

    def rank(self, candidates: Iterable[Candidates]) -> Iterator[Ranked]:
        """Yield each query as it is done, in an order that depends on the sorts; no result depends on the others."""
        coming = iter(candidates)
        active: list[_Query] = []
        more = True
        while more or active:
            pool: list[tuple[Work, _Query, Group]] = []
            for query in active:
                pool += self._prepare(query)
            while (
                more
                and len(active) < self.queries_at_once
                and sum(work.tokens for work, _, _ in pool) < POOL_BATCHES * self.batch_tokens
            ):
                row = next(coming, None)
                if row is None:
                    more = False
                    break
                row, truncated = self._cut(row)
                query = _Query(row, truncated, self._order(row.query.qid), self.sorter)
                if query.done:
                    yield from self._results(query)
                    continue
                active.append(query)
                pool += self._prepare(query)
            pool.sort(key=lambda item: (list(item[0].beginning), -item[0].tokens))
            while pool:
                batch, pool = self._take(pool)
                works = [work for work, _, _ in batch]
                found, seconds = self._run(works, [self._answered(work, query) for work, query, _ in batch])
                self.after_batch()
                spent = [
                    work.tokens - answers[query.system].prompt_tokens + answers[query.system].computed_tokens
                    for (work, query, _), answers in zip(batch, found, strict=True)
                ]
                for (_, query, group), answers, tokens in zip(batch, found, spent, strict=True):
                    query.receive(group, answers, seconds * tokens / sum(spent))
                finished = [query for query in active if query.done]
                active = [query for query in active if not query.done]
                for query in finished:
                    yield from self._results(query)

    def _results(self, query: _Query) -> Iterator[Ranked]:
        return query.results(only_order=self.mechanism.returns == "order")

    def _order(self, qid: str) -> list[int]:
        """The systems that rank a query, the one that reads deepest first."""
        if not self.systems:
            return [0]
        wanted = range(len(self.systems)) if self.wanted is None else self.wanted(qid)
        return sorted(wanted, key=lambda system: (-self.systems[system].depth(qid), system))

    def _answered(self, work: Work, query: _Query) -> list[int]:
        """The systems that what is read for the sort at work answers: its own, and those to come that need no more."""
        first, *others = query.unfinished
        return [first, *(system for system in others if self.systems[system].answered_by(work))]

    def _cut(self, row: Candidates) -> tuple[Candidates, int]:
        return (row, 0) if self.cut is None else self.cut(row)

    def _prepare(self, query: _Query) -> list[tuple[Work, _Query, Group]]:
        passages = query.candidates.passages
        mechanism = self.systems[query.system] if self.systems else self.mechanism
        ready = []
        started = time.perf_counter()
        for group in query.sort.waiting:
            request = Request(query.candidates.query, tuple(passages[index] for index in group))
            ready.append((self._fits(mechanism.prepare(request)), query, group))
        query.sort.seconds += time.perf_counter() - started
        return ready

    def _fits(self, work: Work) -> Work:
        if work.positions > self.mechanism.context:
            raise UserError(
                f"{self.name}: query {work.request.query.qid}: {len(work.request.passages)} passages take "
                f"{work.positions} tokens, the model has room for {self.mechanism.context}: "
                f"lower {_LOWER[self.sorter.kind]}"
            )
        return work

    def _take(
        self, pool: list[tuple[Work, _Query, Group]]
    ) -> tuple[list[tuple[Work, _Query, Group]], list[tuple[Work, _Query, Group]]]:
        """The next batch of a sorted pool, and the rest: the first work, and what fits beside it.

        Where beginnings are shared, a batch ends with the first work that does not fit: neighbours stay together. Where
        works are padded, those that are too short for the longest wait for their like (`PADDING`).
        """
        first = pool[0][0]
        total, real, full = 0, 0, False
        batch: list[tuple[Work, _Query, Group]] = []
        rest: list[tuple[Work, _Query, Group]] = []
        for item in pool:
            if item[0].batch == first.batch and not full:
                if self.mechanism.padded:
                    tokens = first.tokens
                    full = real + item[0].tokens < (1 - PADDING) * (total + tokens)
                else:
                    tokens = _tokens([*(work for work, _, _ in batch[-1:]), item[0]])[-1]
                if not full and (not batch or total + tokens <= self.batch_tokens):
                    batch.append(item)
                    total, real = total + tokens, real + item[0].tokens
                    continue
                full = full or bool(first.beginning)
            rest.append(item)
        return batch, rest

    def _run(self, works: Sequence[Work], systems: Sequence[Sequence[int]]) -> tuple[list[Mapping[int, Answer]], float]:
        """Answers of a batch by system, and its seconds.

        A batch that does not fit into memory is halved, and so is the budget.
        """
        started = time.perf_counter()
        try:
            self.batches += 1
            return self._score(works, systems), time.perf_counter() - started
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(works) == 1:
                raise UserError(
                    f"{self.name}: query {works[0].request.query.qid}: {works[0].tokens} tokens do not fit into memory:"
                    f" lower {_LOWER[self.sorter.kind]}"
                ) from None
        self.mechanism.release()
        self.batch_tokens = max(1, min(self.batch_tokens, sum(_tokens(works))) // 2)
        _log.warning("%s: out of memory, batches of at most %d tokens from here on", self.name, self.batch_tokens)
        half = len(works) // 2
        parts = slice(None, half), slice(half, None)
        answers = [answer for part in parts for answer in self._run(works[part], systems[part])[0]]
        return answers, time.perf_counter() - started

    def _score(self, works: Sequence[Work], systems: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        if not self.systems:
            return [{0: answer} for answer in self.mechanism.score(works)]
        whom = [[self.systems[system] for system in each] for each in systems]
        found = self.systems[0].score_for(works, whom)
        return [dict(zip(each, answers, strict=True)) for each, answers in zip(systems, found, strict=True)]


def failure_rate(costs: Iterable[Cost]) -> float:
    """Share of the model's written answers that were not well-formed; 0 where nothing was to be parsed."""
    total: Counter[str] = Counter()
    for cost in costs:
        total.update(cost.outcomes)
    return 1 - total[WELL_FORMED] / total[ANSWERS] if total[ANSWERS] else 0.0


def check_failures(name: str, costs: Sequence[Cost], most: float) -> None:
    """Raise `UserError` where more than the share `most` of the cell's written answers were not well-formed."""
    rate = failure_rate(costs)
    if rate > most:
        total: Counter[str] = Counter()
        for cost in costs:
            total.update(cost.outcomes)
        words = ", ".join(f"{outcome} {total[outcome]}" for outcome in sorted(total))
        raise UserError(f"{name}: {rate:.1%} of its answers are not well-formed ({words}); max_failure_rate: {most:g}")


def _tokens(works: Sequence[Work]) -> list[int]:
    """What each work of a batch adds to the tokens that it computes."""
    beginnings = [(), *(work.beginning for work in works)]
    return [work.tokens - borrowed(*pair) for work, pair in zip(works, pairwise(beginnings), strict=True)]


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch raises a RuntimeError of its own class, or with these words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in ("not enough memory", "can't allocate memory", "out of memory"))
