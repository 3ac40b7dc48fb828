"""Several prompts in one row of tokens, without padding: common beginnings once, continuations blind to each other.

Prompts lie in lexicographic order of their prefixes, so that each one begins with as much of the prompt before it as
with any other: what the two have in common is not laid down again. The row then holds a trie of the prefixes, and the
path to a prompt's branches runs over its own tokens and over those that it borrows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layerrank.prompts.tree import Tree, borrowed

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Where a tree lies in its pack: from `start` on what it does not borrow of its prefix, then branch by branch.

    Attributes:
        start: offset of the first token of its own.
        prefix: tokens of its whole prefix.
        branches: tokens of each branch.
        path: stretches of the pack, end to end its whole prefix, its own tokens last.
        shared: tokens of the prefix that lie in other trees' stretches.
    """

    start: int
    prefix: int
    branches: tuple[int, ...]
    path: tuple[slice, ...]
    shared: int = 0

    @property
    def rows(self) -> int:
        """Number of branch tokens."""
        return sum(self.branches)

    @property
    def first_row(self) -> int:
        """Offset of the first branch token."""
        return self.start + self.prefix - self.shared

    @property
    def end(self) -> int:
        """Offset past the tree's last token."""
        return self.first_row + self.rows

    @property
    def offsets(self) -> Ints:
        """int[prefix]: where in the pack the tokens of the prefix are."""
        return np.concatenate([np.arange(part.start, part.stop, dtype=np.int64) for part in self.path])

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

    @property
    def computed(self) -> list[int]:
        """Each tree's part of the n tokens: its own, and of shared ones an even part; whole numbers that add up to n.

        What rounding leaves over goes to the largest remainders.
        """
        users = np.zeros(len(self.ids), dtype=np.int64)
        for place in self.places:
            for part in place.path:
                users[part] += 1
        exact = [sum(float((1 / users[part]).sum()) for part in place.path) + place.rows for place in self.places]
        return whole_parts(exact, len(self.ids))


def pack(trees: Sequence[Tree], share: bool = True) -> Pack:
    """Lay trees one after the other; attention must treat every tree by itself. Without `share` nothing is borrowed."""
    ids: list[Sequence[int]] = []
    positions: list[Ints] = []
    places: dict[int, Place] = {}
    start = 0
    prefixes = [list(tree.prefix) for tree in trees]
    before: int | None = None
    for index in sorted(range(len(trees)), key=prefixes.__getitem__) if share else range(len(trees)):
        prefix, branches = prefixes[index], trees[index].branches
        shared = borrowed(prefixes[before], prefix) if share and before is not None else 0
        path = _beginning(places[before].path, shared) if shared and before is not None else ()
        own = slice(start, start + len(prefix) - shared)
        path = (*path, own) if own.stop > own.start else path
        place = Place(start, len(prefix), tuple(len(branch) for branch in branches), path, shared)
        ids += [prefix[shared:], *branches]
        positions += [np.arange(shared, place.prefix, dtype=np.int64), place.row_position]
        places[index] = place
        start, before = place.end, index
    return Pack(
        np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(part, dtype=np.int64) for part in ids)]),
        np.concatenate([np.zeros(0, dtype=np.int64), *positions]),
        tuple(places[index] for index in range(len(trees))),
    )


def _beginning(path: Sequence[slice], tokens: int) -> tuple[slice, ...]:
    """The first `tokens` of a path."""
    parts: list[slice] = []
    for part in path:
        if tokens <= 0:
            break
        parts.append(slice(part.start, min(part.stop, part.start + tokens)))
        tokens -= part.stop - part.start
    return tuple(parts)


def whole_parts(exact: Sequence[float], total: int) -> list[int]:
    """Numbers that add up to `total`, rounded so that they still do: up where most is lost, first ones first."""
    parts = [int(value + 1e-6) for value in exact]
    order = sorted(range(len(parts)), key=lambda index: (round(parts[index] - exact[index], 6), index))
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts
