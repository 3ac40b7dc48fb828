"""How BM25 searches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerrank.core.errors import UserError

DEPTH = 100_000
"""Most candidates of a query: enough for any recall, within what a search may hold in memory."""


@dataclass(frozen=True, slots=True)
class Bm25:
    """BM25's parameters, candidates to keep for a query, search threads."""

    k1: float = 0.9
    b: float = 0.4
    depth: int = 100
    threads: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.k1 < math.inf:
            raise UserError(f"first_stage k1 is {self.k1}; it must be a number, not negative")
        if not 0 <= self.b <= 1:
            raise UserError(f"first_stage b is {self.b}; it must lie between 0 and 1")
        if not 1 <= self.depth <= DEPTH:
            raise UserError(f"first_stage depth is {self.depth}; it must lie between 1 and {DEPTH}")
        if self.threads < 1:
            raise UserError(f"threads is {self.threads}; it must be at least 1")
