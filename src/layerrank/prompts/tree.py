"""A packed prompt: one prefix of tokens, and branches after it that are blind to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_SHARED = 4
"""Tokens that a common beginning must have to be computed once."""

LEAST_SHARE = 1 / 32
"""The share of a prompt that it must be. Measured on one core, float32: laying keys and values out anew takes some 2 %
of a pass, so that 4 tokens of 60 or 150 pay, 8 of 400 do not, and 16 of 400 do."""


@dataclass(frozen=True)
class Tree:
    """Token ids of one prefix and of its continuations, which all start at position `len(prefix)`.

    Each branch sees the prefix and itself, as if it were the only one. In-context re-ranking has two branches, the
    query's and that of `N/A`; a likelihood has one for each label.
    """

    prefix: Sequence[int]
    branches: tuple[Sequence[int], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.prefix):
            raise ValueError("a tree needs at least one token before its branches")

    @property
    def tokens(self) -> int:
        """Number of tokens that a forward pass computes for this tree."""
        return len(self.prefix) + sum(len(branch) for branch in self.branches)


def borrowed(before: Sequence[int], own: Sequence[int]) -> int:
    """How many tokens of its beginning a prompt takes over from one before it; 0 where so few do not pay.

    With prompts in lexicographic order, this sum over neighbours is all that common beginnings can save.
    """
    length = min(len(before), len(own))
    differ = np.flatnonzero(np.asarray(before[:length]) != np.asarray(own[:length]))
    common = int(differ[0]) if differ.size else length
    return common if common >= max(LEAST_SHARED, LEAST_SHARE * len(own)) else 0
