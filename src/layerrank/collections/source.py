"""What every source of collections gives: queries, judgements and texts; and the checks that all of them share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.records import Passage, Query, Ranking

Entry = Mapping[str, Any]
"""A collection's entry in the catalogue, as config/collections.yaml has it."""


@dataclass(frozen=True, slots=True)
class Material:
    """A collection as its source has it, before judged queries are selected.

    `excluded` names, by query, the passages that must not be candidates. `documents` is their number and `pids` are
    their ids, None where the source does not tell before its index is there. `digests` are of what comes from
    elsewhere, by name; those of local files are taken of the source's `inputs`.
    """

    queries: Sequence[Query]
    qrels: Qrels
    digests: Mapping[str, str] = field(default_factory=dict)
    documents: int | None = None
    pids: frozenset[str] | None = None
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of collection: how to read what its entries name; their keys stand in schema.yaml.

    `read(entry, cache)` returns the validated material. `passages(entry, cache)` yields every text; it is None where
    the texts lie in a ready Lucene index, whose name `prebuilt(entry)` returns. `inputs(entry)` are the local files
    that the collection is made from, by the part that they are of it. `ranked(entry)` is the run that stands in place
    of retrieval; it is None where there is none. `parse(pid, raw, entry)` reads a stored text of an index.
    `check(entry)` refuses what the keys' names alone do not show to be wrong.
    """

    read: Callable[[Entry, Path], Material]
    parse: Callable[[str, str, Entry], Passage]
    passages: Callable[[Entry, Path], Iterator[Passage]] | None = None
    prebuilt: Callable[[Entry], str | None] = lambda entry: None
    ranked: Callable[[Entry], list[Ranking]] | None = None
    inputs: Callable[[Entry], dict[str, Path]] = lambda entry: {}
    check: Callable[[Entry], None] = lambda entry: None


def parse_stored(pid: str, raw: str, entry: Entry) -> Passage:
    """Read a text as an index stores it.

    BEIR's indexes hold JSON with `title` and `text`, ours `title` and `contents` that start with it; others, those of
    MS MARCO and BRIGHT among them, hold `contents` alone: their passages have no title, and none is made up.
    """
    row = json.loads(raw)
    if "text" in row:
        return Passage(pid, row["text"], row.get("title", ""))
    if "title" in row:
        return Passage(pid, row["contents"].removeprefix(f"{row['title']}\n"), row["title"])
    return Passage(pid, row["contents"])


def with_slug(passage: Passage) -> Passage:
    """The passage under its folder's name, as the published BRIGHT runs show it: a label leak (semantics.md §5)."""
    return Passage(passage.pid, passage.text, passage.pid.split("/")[0])


def ids_of(passages: Iterable[Passage], where: str) -> frozenset[str]:
    """Ids of all passages of a collection; `UserError` where there are none, or none has a word."""
    pids = set()
    worded = False
    for passage in passages:
        pids.add(passage.pid)
        worded = worded or bool(passage.content)
    if not pids:
        raise UserError(f"{where}: the corpus is empty")
    if not worded:
        raise UserError(f"{where}: no document has a text or a title")
    return frozenset(pids)
