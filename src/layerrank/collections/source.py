"""What every source of collections gives: queries, judgements and texts; and the checks that all of them share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerrank.errors import UserError
from layerrank.files import Qrels
from layerrank.records import Passage, Query

Entry = Mapping[str, Any]
"""A collection's entry in the catalogue, as config/collections.yaml has it."""


@dataclass(frozen=True, slots=True)
class Material:
    """A collection as its source has it, before judged queries are selected.

    `excluded` names, by query, the passages that must not be candidates. `digests` are of the inputs, by name.
    `documents` is their number, None where the source does not tell before its index is there.
    """

    queries: Sequence[Query]
    qrels: Qrels
    digests: Mapping[str, str]
    documents: int | None = None
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of collection: the keys of its entries and how to read them.

    `read(entry, cache)` returns the validated material. `passages(entry, cache)` yields every text; it is None where
    the texts lie in a ready Lucene index, whose name `prebuilt(entry)` returns. `inputs(entry)` are the local files
    that the collection is made from. `parse(pid, raw, entry)` reads a stored text of an index.
    """

    required: frozenset[str]
    optional: frozenset[str]
    read: Callable[[Entry, Path], Material]
    parse: Callable[[str, str, Entry], Passage]
    passages: Callable[[Entry, Path], Iterator[Passage]] | None = None
    prebuilt: Callable[[Entry], str] | None = None
    inputs: Callable[[Entry], list[Path]] = lambda entry: []


def parse_stored(pid: str, raw: str, entry: Entry) -> Passage:
    """Read a text as an index stores it: JSON with `title` and `text`, or with `contents` that start with the title."""
    row = json.loads(raw)
    title = row.get("title", "")
    if "text" in row:
        return Passage(pid, row["text"], title)
    return Passage(pid, row["contents"].removeprefix(f"{title}\n"), title)


def check_ids(kind: str, ids: Iterable[str], where: str) -> None:
    """Refuse ids that a TREC file cannot hold: empty, or with white space."""
    for name in ids:
        if not name or re.search(r"\s", name):
            raise UserError(f"{where}: {kind} id {name!r} is empty or has white space, which TREC files cannot hold")


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts "q2" before "q10"."""
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part
    )


def sample(qids: Iterable[str], limit: int | None, seed: int) -> list[str]:
    """Return `limit` of the query ids (all where None) in natural order.

    Which ones depends on seed and ids alone, not on the order of a file, and a larger limit keeps those of a smaller.
    """
    names = sorted(qids, key=natural_order)
    if limit is None or limit >= len(names):
        return names
    drawn = sorted(names, key=lambda qid: hashlib.sha256(f"{seed}\0{qid}".encode()).digest())[:limit]
    return sorted(drawn, key=natural_order)
