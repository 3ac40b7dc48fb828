"""A mechanism without a model: it knows every passage's grade, or errs on purpose, and records what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from layerrank.core.records import Candidates, Passage, Query
from layerrank.ranking.frameworks import Order, Scores, Steps
from layerrank.ranking.mechanism import Answer, Request, Returns, Work


def drive(steps: Steps, score: Callable[[tuple[int, ...]], Scores]) -> tuple[Order, list[list[tuple[int, ...]]]]:
    """Run one framework by itself; return its order and the groups of every step."""
    asked = []
    try:
        groups = next(steps)
        while True:
            asked.append(groups)
            groups = steps.send([score(group) for group in groups])
    except StopIteration as stop:
        return stop.value, asked


def candidates(qid: str, grades: Sequence[float], words: int = 1) -> Candidates:
    """A query whose passages say their grade."""
    passages = tuple(Passage(f"{qid}-{index}", f"{grade} " + "word " * words) for index, grade in enumerate(grades))
    return Candidates(Query(qid, "query"), passages, tuple(float(-index) for index in range(len(grades))))


class Oracle:
    """Scores are the grades. `score_all` may be replaced; `batches` are the sizes run."""

    returns: Returns = "scores"
    padded = False
    context = 10_000

    def __init__(self, memory: int | None = None, context: int = 10_000) -> None:
        self.memory = memory
        self.context = context
        self.batches: list[list[int]] = []
        self.requests: list[Request] = []
        self.released = 0

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def prepare(self, request: Request) -> Work:
        self.requests.append(request)
        tokens = sum(self.lengths([passage.content for passage in request.passages]))
        return Work(request, tokens, tokens, None)

    def score(self, works: Sequence[Work]) -> list[Answer]:
        if self.memory is not None and sum(work.tokens for work in works) > self.memory:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.")
        self.batches.append([work.tokens for work in works])
        return [
            Answer(tuple(float(passage.text.split()[0]) for passage in work.request.passages), work.tokens)
            for work in works
        ]

    def release(self) -> None:
        self.released += 1
