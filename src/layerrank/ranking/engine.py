"""The engine: many queries' frameworks side by side, their groups pooled into batches for one mechanism.

Each round takes the groups that the queries at work wait for and runs them longest first, in batches within a token
budget. A query goes on as soon as its own groups are scored; its next groups are in the next round. So a sort that is
sequential for one query, setwise heapsort above all, runs at batch speed over many.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.records import ANSWERS, WELL_FORMED, Candidates, Cost, Ranking
from layerrank.ranking.frameworks import Group, Order, Scores, Sorter, Steps
from layerrank.ranking.mechanism import Answer, Mechanism, Request, Work

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
    """One query done: `order` by candidate index, the same as a `ranking`, and what it cost."""

    order: Order
    ranking: Ranking
    cost: Cost


class _Sort:
    """One query at work: its generator, its step's groups, those still waiting, all scores so far, and its costs."""

    def __init__(self, candidates: Candidates, steps: Steps, truncated: int) -> None:
        self.candidates = candidates
        self.steps = steps
        self.truncated = truncated
        self.memo: dict[Group, Scores] = {}
        self.groups: list[Group] = []
        self.waiting: dict[Group, None] = {}
        self.done: Order | None = None
        self.counts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self._advance(first=True)

    def receive(self, group: Group, answer: Answer, seconds: float) -> None:
        """Keep an answer; with the last one that is waited for, the framework goes on."""
        del self.waiting[group]
        self.memo[group] = answer.scores
        self.counts["forward_passes"] += answer.forward_passes
        self.counts["prompt_tokens"] += answer.prompt_tokens
        self.counts["generated_tokens"] += answer.generated_tokens
        self.counts["layer_tokens"] += answer.layer_tokens
        self.counts["computed_tokens"] += answer.computed_tokens
        self.counts["computed_layer_tokens"] += answer.computed_layer_tokens
        self.outcomes.update(answer.outcomes)
        self.seconds += seconds
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

    def result(self, only_order: bool) -> Ranked:
        """What the finished sort gives."""
        assert self.done is not None
        qid, passages = self.candidates.query.qid, self.candidates.passages
        order = Order(self.done.indices) if only_order else self.done
        pids = tuple(passages[index].pid for index in order.indices)
        ranking = Ranking.from_order(qid, pids) if order.scores is None else Ranking(qid, pids, order.scores)
        outcomes = {name: self.outcomes[name] for name in sorted(self.outcomes)}
        counts: dict[str, Any] = dict(self.counts)
        cost = Cost(qid, seconds=self.seconds, truncated_passages=self.truncated, outcomes=outcomes, **counts)
        return Ranked(order, ranking, cost)


class Engine:
    """Ranks queries with one framework and one mechanism.

    Args:
        sorter: The framework with its settings.
        mechanism: Scores the groups.
        name: Names the cell in errors, `setwise-generation` for example.
        batch_tokens: Budget of one batch, in tokens, padding counted; a longer group runs alone.
        queries_at_once: At most so many queries are at work side by side.
        cut: Shortens a query's texts before anything else, and tells how many passages it cut.
    """

    def __init__(
        self,
        sorter: Sorter,
        mechanism: Mechanism,
        *,
        name: str = "rerank",
        batch_tokens: int = 8192,
        queries_at_once: int = 64,
        cut: Cut | None = None,
    ) -> None:
        for setting, value in (("batch_tokens", batch_tokens), ("queries_at_once", queries_at_once)):
            if value < 1:
                raise UserError(f"{name}: {setting}: {value}: expected a whole number from 1")
        self.sorter = sorter
        self.mechanism = mechanism
        self.name = name
        self.batch_tokens = batch_tokens
        self.queries_at_once = queries_at_once
        self.cut = cut
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
        active: list[_Sort] = []
        more = True
        while more or active:
            pool: list[tuple[Work, _Sort, Group]] = []
            for sort in active:
                pool += self._prepare(sort)
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
                sort = _Sort(row, self.sorter.start(len(row)), truncated)
                if sort.done is not None:
                    yield self._result(sort)
                    continue
                active.append(sort)
                pool += self._prepare(sort)
            pool.sort(key=lambda item: -item[0].tokens)
            while pool:
                batch, pool = self._take(pool)
                answers, seconds = self._run([work for work, _, _ in batch])
                self.after_batch()
                total = sum(work.tokens for work, _, _ in batch)
                for (work, sort, group), answer in zip(batch, answers, strict=True):
                    sort.receive(group, answer, seconds * work.tokens / total)
                finished = [sort for sort in active if sort.done is not None]
                active = [sort for sort in active if sort.done is None]
                for sort in finished:
                    yield self._result(sort)

    def _result(self, sort: _Sort) -> Ranked:
        return sort.result(only_order=self.mechanism.returns == "order")

    def _cut(self, row: Candidates) -> tuple[Candidates, int]:
        return (row, 0) if self.cut is None else self.cut(row)

    def _prepare(self, sort: _Sort) -> list[tuple[Work, _Sort, Group]]:
        passages = sort.candidates.passages
        ready = []
        started = time.perf_counter()
        for group in sort.waiting:
            request = Request(sort.candidates.query, tuple(passages[index] for index in group))
            ready.append((self._fits(self.mechanism.prepare(request)), sort, group))
        sort.seconds += time.perf_counter() - started
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
        self, pool: list[tuple[Work, _Sort, Group]]
    ) -> tuple[list[tuple[Work, _Sort, Group]], list[tuple[Work, _Sort, Group]]]:
        """The next batch of a pool sorted longest first, and the rest: the longest work, and what fits beside it."""
        longest = pool[0][0]
        total = 0
        batch: list[tuple[Work, _Sort, Group]] = []
        rest: list[tuple[Work, _Sort, Group]] = []
        for item in pool:
            tokens = longest.tokens if self.mechanism.padded else item[0].tokens
            if item[0].batch == longest.batch and (not batch or total + tokens <= self.batch_tokens):
                batch.append(item)
                total += tokens
            else:
                rest.append(item)
        return batch, rest

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], float]:
        """Answers and seconds of a batch; one that does not fit into memory is halved, and so is the budget."""
        started = time.perf_counter()
        try:
            self.batches += 1
            return self.mechanism.score(works), time.perf_counter() - started
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(works) == 1:
                raise UserError(
                    f"{self.name}: query {works[0].request.query.qid}: {works[0].tokens} tokens do not fit into memory:"
                    f" lower {_LOWER[self.sorter.kind]}"
                ) from None
        self.mechanism.release()
        self.batch_tokens = max(1, min(self.batch_tokens, sum(work.tokens for work in works)) // 2)
        _log.warning("%s: out of memory, batches of at most %d tokens from here on", self.name, self.batch_tokens)
        half = len(works) // 2
        answers = [answer for part in (works[:half], works[half:]) for answer in self._run(part)[0]]
        return answers, time.perf_counter() - started


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


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch raises a RuntimeError of its own class, or with these words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in ("not enough memory", "can't allocate memory", "out of memory"))
