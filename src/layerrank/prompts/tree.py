"""A packed prompt: one prefix of tokens, and branches after it that are blind to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
