"""What a mechanism is: it makes a group ready, and scores batches of what it made ready. No torch here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from layerrank.core.records import AS_WRITTEN, Passage, Query, complete

Returns = Literal["scores", "winner", "order"]

BATCH_TOKENS = 8192
"""Budget of one batch, in tokens, where nothing else is said."""

PADDING = 0.1
"""Share of a padded batch that may be padding: what is shorter goes into a batch of its own length."""


@dataclass(frozen=True, slots=True)
class Request:
    """One group of one query: its passages in the order in which the prompt presents them, best so far first."""

    query: Query
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A request made ready.

    tokens: what the model reads and may write, the measure of its share of a batch.
    positions: the longest sequence that it can grow to, which the model's context must hold.
    batch: only works that are equal here share a batch.
    prompt: the mechanism's own.
    beginning: tokens that works of a batch which begin with the same have computed once; none where nothing is shared.
    """

    request: Request
    tokens: int
    positions: int
    prompt: Any
    batch: Hashable = None
    beginning: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A group scored.

    scores: one a passage of the group, higher is better; all equal where the model decided nothing.
    layer_tokens: tokens times the layers that they passed through.
    computed_tokens, computed_layer_tokens: as `Cost` has them: this group's share of what was run.
    forward_passes: times that the model ran over this group, whatever else was in the batch.
    """

    scores: tuple[float, ...]
    prompt_tokens: int
    generated_tokens: int = 0
    forward_passes: int = 1
    outcomes: Mapping[str, int] = field(default_factory=dict)
    layer_tokens: int = 0
    computed_tokens: int = AS_WRITTEN
    computed_layer_tokens: int = AS_WRITTEN

    def __post_init__(self) -> None:
        complete(self)


class Mechanism(Protocol):
    """Scores groups of one kind of framework.

    returns: what its scores tell: `scores` of meaning, only the `winner` (it has the highest), or only the `order`.
    padded: whether a batch costs its longest work times its size, rather than the sum of its works.
    context: positions that the model has room for.
    """

    returns: Returns
    padded: bool
    context: int

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        ...

    def prepare(self, request: Request) -> Work:
        """Render and tokenise a request, once."""
        ...

    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Run the model over works of one batch; the device is done when it returns."""
        ...

    def release(self) -> None:
        """Hand back memory kept in store, before a smaller batch is tried."""
        ...


class Sharing(Mechanism, Protocol):
    """A mechanism that reads the same prompts as others of its kind, and can answer from what was read for them."""

    def depth(self, qid: str) -> int:
        """How far a query's groups are read; what is read deeper may answer too."""
        ...

    def answered_by(self, work: Work) -> bool:
        """Whether what is read for a work, which another may have made ready, holds all that this one needs."""
        ...

    def score_for(self, works: Sequence[Work], whom: Sequence[Sequence[Self]]) -> list[list[Answer]]:
        """Run the model over works of one batch, and score each for several, its own mechanism first.

        Answers are as each would give by itself; what was computed is counted in the first.
        """
        ...


def winner_scores(size: int, winner: int | None) -> tuple[float, ...]:
    """1 for the winner and 0 for the others; all 0 where there is none."""
    return tuple(float(place == winner) for place in range(size))


def order_scores(places: Sequence[int]) -> tuple[float, ...]:
    """n for the first of the n places, n - 1 for the next, … as scores in the group's order."""
    scores = [0.0] * len(places)
    for rank, place in enumerate(places):
        scores[place] = float(len(places) - rank)
    return tuple(scores)
