"""From a catalogue entry to the prepared collection that every later stage reads: topics, judgements, a description."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.collections import SOURCES
from layerrank.collections.source import Entry, Material, Source, check_ids
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.records import Query
from layerrank.core.sampling import sample

COMMON = frozenset(
    {
        "source",
        "instruction",
        "titles",
        "relevance_level",
        "same_ids",
        "first_stage",
        "expected",
        "shards",
        "description",
        "label",
        "passage_words",
    }
)
"""Keys that an entry of any source may have."""

BESIDES = frozenset({"expected", "shards", "description", "label", "passage_words"})
"""Keys among them that a prepared collection does not depend on."""

CHOICES: Mapping[str, tuple[Any, ...]] = {
    "instruction": ("IE", "QA"),
    "titles": (True, False, "slug"),
    "same_ids": ("exclude", "keep"),
    "first_stage": ("bm25", "bm25-query-side"),
}
DEFAULTS: Mapping[str, Any] = {
    "instruction": "IE",
    "titles": True,
    "relevance_level": 1,
    "same_ids": "exclude",
    "first_stage": "bm25",
}

EXCLUDED = "excluded.jsonl.gz"
"""Passages that must not be candidates, as JSON lines {qid, pids}; BRIGHT has hundreds of thousands."""

logger = logging.getLogger(__name__)


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
        """Ids that must not be candidates of the query: those excluded, and its own unless `same_ids: keep`."""
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
    known = COMMON | source.required | source.optional
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; source {kind} takes {', '.join(sorted(known))}")
    for key in sorted(source.required):
        if key not in entry:
            raise UserError(f"{where}: key {key!r} is missing; source {kind} needs it")
    try:
        source.check(entry)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    for key, choices in CHOICES.items():
        if key in entry and not any(entry[key] is choice or entry[key] == choice != True for choice in choices):  # noqa: E712
            raise UserError(f"{where}: {key} is {entry[key]!r}; allowed are {', '.join(map(str, choices))}")
    level = entry.get("relevance_level", 1)
    if isinstance(level, bool) or not isinstance(level, int) or level < 1:
        raise UserError(f"{where}: relevance_level is {level!r}; it must be a whole number, at least 1")
    return source


def identity(name: str, entry: Entry) -> dict[str, Any]:
    """The part of an entry that its prepared collection depends on, for the workflow to watch."""
    check_entry(name, entry)
    return {key: value for key, value in entry.items() if key not in BESIDES}


def inputs(name: str, entry: Entry) -> list[str]:
    """Paths of the local files that a collection is made from, for the workflow to watch."""
    return [str(path) for path in check_entry(name, entry).inputs(entry)]


def prepare(name: str, entry: Entry, cache: Path, output: Path, query_limit: int | None, seed: int) -> None:
    """Write the judged queries or a sample of them: topics.jsonl, qrels.txt, excluded.jsonl.gz, collection.json."""
    if query_limit is not None and query_limit < 1:
        raise UserError(f"query limit {query_limit}: it must be at least 1")
    source = check_entry(name, entry)
    if entry.get("titles") == "slug":
        logger.warning(
            "Collection %s: titles: slug shows each document's folder, which names the query that it was collected"
            " for; scores with this label leak support no claim (semantics.md §5)",
            name,
        )
    material = source.read(entry, cache)
    judged = _judged(name, material)
    chosen = sample(judged, query_limit, seed)
    qrels = {qid: material.qrels[qid] for qid in chosen}
    excluded = {qid: sorted(material.excluded[qid]) for qid in chosen if material.excluded.get(qid)}
    grades = [grade for of_query in qrels.values() for grade in of_query.values()]
    settings = {key: entry.get(key, default) for key, default in DEFAULTS.items()}
    description = {
        "name": name,
        "entry": {key: value for key, value in entry.items() if key not in COMMON or key == "source"},
        **settings,
        "digests": dict(material.digests),
        "query_limit": query_limit,
        "seed": seed,
        "sampled": len(chosen) < len(judged),
        "statistics": {
            "documents": material.documents,
            "judged_queries": len(judged),
            "queries": len(chosen),
            "judgements": len(grades),
            "relevant": sum(grade >= settings["relevance_level"] for grade in grades),
            "negative_grades": sum(grade < 0 for grade in grades),
            "excluded": sum(map(len, excluded.values())),
        },
    }
    files.write_topics(output / "topics.jsonl", (judged[qid] for qid in chosen))
    files.write_qrels(output / "qrels.txt", qrels)
    files.write_jsonl(output / EXCLUDED, ({"qid": qid, "pids": pids} for qid, pids in excluded.items()))
    files.write_json(output / "collection.json", description)
    logger.info("Collection %s: %d of %d judged queries, %d judgements", name, len(chosen), len(judged), len(grades))


def load(folder: Path) -> Collection:
    """Read what `prepare` wrote."""
    description = files.read_json(folder / "collection.json")
    return Collection(
        name=description["name"],
        entry=description["entry"],
        queries=tuple(files.read_topics(folder / "topics.jsonl")),
        qrels=files.read_qrels(folder / "qrels.txt"),
        excluded={row["qid"]: frozenset(row["pids"]) for row in files.read_jsonl(folder / EXCLUDED)},
        description=description,
    )


def _judged(name: str, material: Material) -> dict[str, Query]:
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
    orphans = len(material.qrels) - len(judged)
    if orphans:
        logger.warning("%s: %d judged queries have no topic and are left out", where, orphans)
    return judged
