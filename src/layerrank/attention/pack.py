"""Several prompts in one row of tokens, without padding: shared beginnings once, continuations blind to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layerrank.prompts.tree import Tree

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Where a tree lies in its pack: from `start` on its prefix, then branch by branch (counts of tokens)."""

    start: int
    prefix: int
    branches: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Number of branch tokens."""
        return sum(self.branches)

    @property
    def end(self) -> int:
        """Offset past the tree's last token."""
        return self.start + self.prefix + self.rows

    @property
    def row_branch(self) -> Ints:
        """int[rows]: the branch that each branch token belongs to."""
        return np.repeat(np.arange(len(self.branches), dtype=np.int64), self.branches)

    @property
    def row_position(self) -> Ints:
        """int[rows]: position of each branch token in its sequence, 0-based from the prefix's first token."""
        spans = [np.arange(length, dtype=np.int64) for length in self.branches]
        return np.concatenate([np.zeros(0, dtype=np.int64), *spans]) + self.prefix

    def branch(self, index: int) -> slice:
        """The branch's tokens among the branch rows of this tree."""
        begin = sum(self.branches[:index])
        return slice(begin, begin + self.branches[index])


@dataclass(frozen=True)
class Pack:
    """One row of tokens: ids int[n], positions int[n], and the place of each tree in the order given."""

    ids: Ints
    positions: Ints
    places: tuple[Place, ...]


def pack(trees: Sequence[Tree]) -> Pack:
    """Lay trees one after the other; attention must treat every tree by itself."""
    ids: list[Sequence[int]] = []
    positions: list[Ints] = []
    places: list[Place] = []
    start = 0
    for tree in trees:
        place = Place(start, len(tree.prefix), tuple(len(branch) for branch in tree.branches))
        ids += [tree.prefix, *tree.branches]
        positions += [np.arange(place.prefix, dtype=np.int64), place.row_position]
        places.append(place)
        start = place.end
    return Pack(
        np.concatenate([np.asarray(part, dtype=np.int64) for part in ids] or [np.zeros(0, dtype=np.int64)]),
        np.concatenate(positions or [np.zeros(0, dtype=np.int64)]),
        tuple(places),
    )
