"""The frozen records that every stage speaks in. No third-party imports: this module is the ground floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Query:
    """A topic of a collection."""

    qid: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved unit of text; `text` is as truncated for the study, `title` may be empty."""

    pid: str
    text: str
    title: str = ""

    @property
    def content(self) -> str:
        """Title and text as prompts show them (semantics.md §1): `(title + "\\n" + text).strip()`."""
        return f"{self.title}\n{self.text}".strip()


@dataclass(frozen=True, slots=True)
class Candidates:
    """One query with its candidates in input order, best first; `scores` are the first stage's (higher is better)."""

    query: Query
    passages: tuple[Passage, ...]
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.passages) != len(self.scores):
            raise ValueError(f"query {self.query.qid}: {len(self.passages)} passages, {len(self.scores)} scores")

    def __len__(self) -> int:
        return len(self.passages)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A query's passages best first. `scores` fall strictly, so no evaluator's tie rule can reorder them."""

    qid: str
    pids: tuple[str, ...]
    scores: tuple[float, ...]

    @classmethod
    def from_order(cls, qid: str, pids: Sequence[str]) -> Ranking:
        """A ranking whose order is all that is known: scores n, n - 1, … 1."""
        return cls(qid, tuple(pids), tuple(float(n) for n in range(len(pids), 0, -1)))


AS_WRITTEN = -1
"""In place of a count of what was computed: the same as was written."""


def complete(counts: Any) -> None:
    """Put the tokens that a frozen record counts as written in place of `AS_WRITTEN`."""
    if counts.computed_tokens == AS_WRITTEN:
        object.__setattr__(counts, "computed_tokens", counts.prompt_tokens)
    if counts.computed_layer_tokens == AS_WRITTEN:
        object.__setattr__(counts, "computed_layer_tokens", counts.layer_tokens)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one query cost. Counts are exact; seconds are wall-clock, device synchronised.

    `prompt_tokens` are as written: what the prompts say, each by itself. `layer_tokens` is the sum over tokens of the
    layers that each one passes through: what stopping early saves, on any machine. `computed_tokens` and
    `computed_layer_tokens` are the same as they were run: what several prompts of a pass share is computed once, and is
    split evenly over them, so that sums over queries are what the model did; where nothing is said, as written. What is
    read for several windows of an attention cell at once is likewise shared out over these systems: tokens evenly,
    tokens × layers and `seconds` in proportion to the tokens × layers that each takes alone. Such seconds add up to the
    time that went by, and are nobody's latency: `layerrank.latency` measures a window's by itself.
    `weights` is the SHA-256 over the files of the model that was run.
    """

    qid: str
    groups: int = 0
    memo_hits: int = 0
    forward_passes: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    truncated_passages: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    layer_tokens: int = 0
    weights: str = ""
    computed_tokens: int = AS_WRITTEN
    computed_layer_tokens: int = AS_WRITTEN

    def __post_init__(self) -> None:
        complete(self)


ANSWERS = "answers"


WELL_FORMED = "well_formed"


OUT_OF_RANGE = "out_of_range"


REPEATED = "repeated"


MISSING = "missing"


UNPARSEABLE = "unparseable"


OUTCOMES = (ANSWERS, WELL_FORMED, OUT_OF_RANGE, REPEATED, MISSING, UNPARSEABLE)
