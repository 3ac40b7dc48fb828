"""Seeded samples of queries that depend on nothing but the seed and the ids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from layerrank.core.errors import UserError


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts "q2" before "q10"."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def sample(qids: Iterable[str], limit: int | None, seed: int) -> list[str]:
    """Return `limit` of the query ids (all where None) in natural order.

    Which ones depends on seed and ids alone, not on the order of a file, and a larger limit keeps those of a smaller.
    """
    names = sorted(qids, key=natural_order)
    if limit is None or limit >= len(names):
        return names
    drawn = sorted(names, key=lambda qid: hashlib.sha256(f"{seed}\0{qid}".encode()).digest())[:limit]
    return sorted(drawn, key=natural_order)


T = TypeVar("T")


def shard_of(rows: Sequence[T], shard: int, shards: int) -> list[T]:
    """One of several parts that together are all rows: `shard`, `shard + shards`, … (0-based).

    Raises `UserError` where there is no such part.
    """
    if not 0 <= shard < shards:
        raise UserError(f"shard {shard}: there are shards 0 to {shards - 1}")
    return list(rows[shard::shards])


def joined(parts: Sequence[Sequence[T]]) -> list[T]:
    """The rows whose parts by `shard_of` these are, in their order."""
    longest = max((len(part) for part in parts), default=0)
    return [part[index] for index in range(longest) for part in parts if index < len(part)]
