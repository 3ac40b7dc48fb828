"""From a catalogue entry to the prepared collection that every later stage reads: topics, judgements, a description."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.collections import SOURCES
from layerrank.collections.entries import BESIDES, COMMON, DEFAULTS, check_keys, check_values, own_keys
from layerrank.collections.source import Entry, Material, Source
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.reading import check_ids, shown
from layerrank.core.records import Query
from layerrank.core.sampling import sample

FEW = 3
"""Candidates of the queries' own ids that are taken out of a collection whose entry does not say `same_ids`."""

WRITTEN: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "entry": dict,
    "digests": dict,
    "statistics": dict,
    "first_stage": str,
    "same_ids": (str, type(None)),
    "titles": (bool, str),
}
"""What later stages read of a description, collection.json."""

EXCLUDED = "excluded.jsonl.gz"
"""Passages that must not be candidates, as JSON lines {qid, pids}; BRIGHT has hundreds of thousands."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collection:
    """A prepared collection. `excluded` names, by query, the passages that must not be candidates."""

    name: str
    entry: Entry
    queries: tuple[Query, ...]
    qrels: Qrels
    excluded: Mapping[str, frozenset[str]]
    description: Mapping[str, Any]

    @property
    def source(self) -> Source:
        """The table entry of the collection's source."""
        return SOURCES[self.entry["source"]]

    def forbidden(self, qid: str) -> frozenset[str]:
        """Ids that must not be candidates of the query: those excluded, and its own unless `same_ids: keep`.

        Where the entry does not say `same_ids`, the own ids are taken out too, as long as they are `FEW`.
        """
        excluded = self.excluded.get(qid, frozenset())
        return excluded if self.description["same_ids"] == "keep" else excluded | {qid}


def check_entry(name: str, entry: Any) -> Source:
    """Return the source of an entry; `UserError` names the key that is unknown, missing or has a wrong value."""
    where = f"collection {name!r}"
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected a mapping of keys, got {entry!r}")
    if "source" not in entry:
        raise UserError(f"{where}: key 'source' is missing; known are {', '.join(sorted(SOURCES))}")
    kind = str(entry["source"])
    if kind not in SOURCES:
        raise UserError(f"{where}: source {kind!r} is unknown; known are {', '.join(sorted(SOURCES))}")
    source = SOURCES[kind]
    check_keys(kind, entry, COMMON | own_keys(kind), where)
    try:
        source.check(entry)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    check_values(entry, where)
    return source


def identity(name: str, entry: Entry) -> dict[str, Any]:
    """The part of an entry that its prepared collection depends on, for the workflow to watch."""
    check_entry(name, entry)
    return {key: value for key, value in entry.items() if key not in BESIDES}


def inputs(name: str, entry: Entry) -> list[str]:
    """Paths of the local files that a collection is made from, for the workflow to watch; all of them are there."""
    paths = check_entry(name, entry).inputs(entry)
    for path in paths.values():
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe"
            raise UserError(f"collection {name!r}: {path} is {kind}, where a file is expected")
    return [str(path) for path in paths.values()]


def input_digests(name: str, entry: Entry, cache: Path | None) -> dict[str, str]:
    """SHA-256 of each of those files, by the part that it is of the collection; large ones are remembered in `cache`.

    As a rule's parameter it makes the workflow see a file that was replaced under an older time stamp.
    """
    paths = check_entry(name, entry).inputs(entry)
    return {part: f"sha256:{files.remembered_digest(path, cache)}" for part, path in paths.items()}


def check_inputs(collection: Collection, cache: Path | None) -> None:
    """Refuse a prepared collection whose files are no longer those that it was made from, whatever their time stamps.

    `UserError` names the file that has changed.
    """
    recorded = collection.description["digests"]
    for part, digest in input_digests(collection.name, collection.entry, cache).items():
        if recorded.get(part) != digest:
            path = collection.source.inputs(collection.entry)[part]
            raise UserError(
                f"{path}: not the file that collection {collection.name!r} was prepared from, which had digest"
                f" {recorded.get(part)}: prepare the collection again"
            )


def prepare(name: str, entry: Entry, cache: Path, output: Path, query_limit: int | None, seed: int) -> None:
    """Write the judged queries or a sample of them: topics.jsonl, qrels.txt, excluded.jsonl.gz, collection.json."""
    if query_limit is not None and query_limit < 1:
        raise UserError(f"query limit {query_limit}: it must be at least 1")
    source = check_entry(name, entry)
    if entry.get("titles") == "slug":
        _log.warning(
            "Collection %s: titles: slug shows each document's folder, which names the query that it was collected"
            " for; scores with this label leak support no claim (semantics.md §5)",
            name,
        )
    inputs(name, entry)
    material = source.read(entry, cache)
    settings = {key: entry.get(key, default) for key, default in DEFAULTS.items()}
    judged = _judged(name, material, entry)
    chosen = sample(judged, query_limit, seed)
    qrels = {qid: material.qrels[qid] for qid in chosen}
    excluded = {qid: sorted(material.excluded[qid]) for qid in chosen if material.excluded.get(qid)}
    _check_own_ids(name, qrels, settings["same_ids"])
    relevant = _relevant(name, qrels, settings["relevance_level"])
    unknown = _unknown(name, material, qrels, entry)
    grades = [grade for of_query in qrels.values() for grade in of_query.values()]
    description = {
        "name": name,
        "entry": {key: value for key, value in entry.items() if key not in COMMON or key == "source"},
        **settings,
        "digests": {**input_digests(name, entry, cache), **material.digests},
        "query_limit": query_limit,
        "seed": seed,
        "sampled": len(chosen) < len(judged),
        "statistics": {
            "documents": material.documents,
            "judged_queries": len(judged),
            "judged_without_topic": len(material.qrels) - len(judged),
            "queries": len(chosen),
            "queries_without_relevant": sum(not count for count in relevant.values()),
            "queries_with_own_id": None if material.pids is None else sum(qid in material.pids for qid in chosen),
            "judgements": len(grades),
            **unknown,
            "relevant": sum(relevant.values()),
            "negative_grades": sum(grade < 0 for grade in grades),
            "excluded": sum(map(len, excluded.values())),
        },
    }
    files.write_topics(output / "topics.jsonl", (judged[qid] for qid in chosen))
    files.write_qrels(output / "qrels.txt", qrels)
    files.write_jsonl(output / EXCLUDED, ({"qid": qid, "pids": pids} for qid, pids in excluded.items()))
    files.write_json(output / "collection.json", description)
    _log.info("Collection %s: %d of %d judged queries, %d judgements", name, len(chosen), len(judged), len(grades))


def load(folder: Path) -> Collection:
    """Read what `prepare` wrote; `UserError` where it is damaged."""
    path = folder / "collection.json"
    description = files.read_json(path)
    for key, kind in WRITTEN.items():
        if not isinstance(description, dict) or not isinstance(description.get(key), kind):
            raise UserError(f"{path}: no description of a prepared collection, or it is damaged (key {key!r})")
    check_entry(description["name"], description["entry"])
    return Collection(
        name=description["name"],
        entry=description["entry"],
        queries=tuple(files.read_topics(folder / "topics.jsonl")),
        qrels=files.read_qrels(folder / "qrels.txt"),
        excluded=_read_excluded(folder / EXCLUDED),
        description=description,
    )


def _read_excluded(path: Path) -> dict[str, frozenset[str]]:
    excluded = {}
    for number, row in files.read_numbered_jsonl(path):
        if not isinstance(row.get("qid"), str) or not isinstance(row.get("pids"), list):
            raise UserError(f"{path}:{number}: expected qid and pids, got {shown(row)}")
        excluded[row["qid"]] = frozenset(map(str, row["pids"]))
    return excluded


def _judged(name: str, material: Material, entry: Entry) -> dict[str, Query]:
    """The queries with at least one judgement, by id."""
    where = f"collection {name!r}"
    if not any(material.qrels.values()):
        raise UserError(f"{where}: no judgements")
    judged = {query.qid: query for query in material.queries if material.qrels.get(query.qid)}
    if not judged:
        raise UserError(f"{where}: no query has a judgement; do topics and judgements belong together?")
    check_ids("query", judged, where)
    for query in judged.values():
        if not query.text.strip():
            raise UserError(f"{where}: the text of query {query.qid!r} is blank")
    if orphans := sorted(material.qrels.keys() - judged.keys()):
        _missing(f"{where}: {len(orphans)} judged queries have no topic and are left out, {orphans[0]} first", entry)
    return judged


def _check_own_ids(name: str, qrels: Qrels, same_ids: str | None) -> None:
    """Where a query's own id is a judged document of it, the entry must say which it is."""
    own = [qid for qid in qrels if qid in qrels[qid]]
    if own and same_ids is None:
        raise UserError(
            f"collection {name!r}: query {own[0]!r} judges a document of its own id, as do {len(own)} of {len(qrels)}:"
            " say same_ids: keep (documents like any other) or exclude (the query itself, no candidate)"
        )
    if own and same_ids == "exclude":
        _log.warning(
            "Collection %s: same_ids: exclude takes a judged document from %d queries (%s first), not from their ideal",
            name,
            len(own),
            own[0],
        )


def _relevant(name: str, qrels: Qrels, level: int) -> dict[str, int]:
    """Relevant judgements by query; `UserError` where there are none at all."""
    relevant = {qid: sum(grade >= level for grade in grades.values()) for qid, grades in qrels.items()}
    if not any(relevant.values()):
        highest = max(grade for grades in qrels.values() for grade in grades.values())
        raise UserError(
            f"collection {name!r}: no judgement of its {len(qrels)} queries is relevant:"
            f" the highest grade is {highest}, relevance_level is {level}"
        )
    if without := [qid for qid, count in relevant.items() if not count]:
        _log.info("Collection %s: %d queries have no relevant passage, %s first", name, len(without), without[0])
    return relevant


def _unknown(name: str, material: Material, qrels: Qrels, entry: Entry) -> dict[str, int]:
    """How many judged documents, and judgements, are not among the texts; nothing where the source does not tell.

    They count in the ideal, as in trec_eval. `UserError` where no judged document is known, or under `strict`.
    """
    if material.pids is None:
        return {}
    where = f"collection {name!r}"
    if all(material.pids.isdisjoint(grades) for grades in material.qrels.values()):
        pid = min(pid for grades in material.qrels.values() for pid in grades)
        raise UserError(
            f"{where}: none of its judged documents is among its {len(material.pids)} texts, {pid!r} for one;"
            " do judgements and texts belong together?"
        )
    unknown = [(qid, pid) for qid, grades in qrels.items() for pid in grades if pid not in material.pids]
    documents = {pid for _, pid in unknown}
    if unknown:
        qid, pid = unknown[0]
        _missing(
            f"{where}: {len(documents)} judged documents are not among the texts and count in the ideal alone"
            f" ({len(unknown)} of {sum(map(len, qrels.values()))} judgements), {pid!r} of query {qid!r} first",
            entry,
        )
    return {"judged_documents_without_text": len(documents), "judgements_without_text": len(unknown)}


def _missing(message: str, entry: Entry) -> None:
    """Say what the files lack; under `strict` it is an error."""
    if entry.get("strict", False):
        raise UserError(f"{message} (strict: true)")
    _log.warning("%s", message)
