"""Collections that pyserini names: a prebuilt Lucene index, with topics and judgements of the Anserini project."""

from __future__ import annotations

import difflib
import logging
import tarfile
from collections.abc import Iterable, Mapping
from functools import cache as memoised
from pathlib import Path
from typing import Any

import yaml

from layerrank.collections import java
from layerrank.collections.download import Remote, fetch
from layerrank.collections.source import Entry, Material, Source, parse_stored
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.locks import locked, part_folder
from layerrank.core.reading import numbered_lines, shown
from layerrank.core.records import Query

_log = logging.getLogger(__name__)


def read(entry: Entry, cache: Path) -> Material:
    """Read topics and judgements; the index is not needed yet, but its name is checked."""
    info = index_info(entry["index"])
    topics_file, reader = _topics(entry["topics"])
    topics = _evaluation_file("topics", topics_file, cache)
    judgements = _evaluation_file("qrels", _qrels(entry["qrels"]), cache)
    digests = {"index": f"md5:{info['md5']}", "topics": _digest(topics), "qrels": _digest(judgements)}
    excluded: Mapping[str, frozenset[str]] = {}
    if "excluded" in entry:
        exclusions = _evaluation_file("qrels", entry["excluded"], cache)
        digests["excluded"] = _digest(exclusions)
        excluded = read_exclusions(exclusions)
    queries = read_topics(topics, reader, entry.get("query_field", "title"))
    return Material(queries, files.read_qrels(judgements), digests, documents=info["documents"], excluded=excluded)


def prebuilt(entry: Entry) -> str:
    """Name of the collection's index."""
    return str(entry["index"])


def index_info(name: str) -> Mapping[str, Any]:
    """What pyserini tells of a prebuilt index: urls, md5, size, documents; `UserError` where it has no such name."""
    java.start()
    from pyserini.prebuilt_index_info import TF_INDEX_INFO

    return TF_INDEX_INFO[_known("prebuilt index", name, TF_INDEX_INFO)]


def fetch_index(name: str, cache: Path) -> Path:
    """Return the folder of a prebuilt index in the cache, downloaded and unpacked where it is not there yet.

    The folder has the name that pyserini gives it, so that `<cache>/pyserini` also serves as PYSERINI_CACHE.
    """
    info = index_info(name)
    folder = cache / "pyserini" / "indexes"
    ready = folder / f"{info['filename'].removesuffix('.tar.gz')}.{info['md5']}"
    if ready.is_dir():
        _log.info("Index %s: in the cache", name)
        return ready
    remote = Remote(tuple(info["urls"]), f"md5:{info['md5']}", info["size compressed (bytes)"])
    archive = fetch(remote, folder / info["filename"], f"index {name}")
    part = ready.with_name(f".{ready.name}.part")
    with locked(ready.with_name(f"{ready.name}.lock")), part_folder(part) as scratch:
        if ready.is_dir():
            return ready
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        segments = sorted(scratch.rglob("segments_*"))
        if not segments:
            raise UserError(f"{archive}: holds no Lucene index")
        documents = java.documents_of(segments[0].parent)
        if documents != info["documents"]:
            raise UserError(
                f"{archive}: its index has {documents} documents, pyserini's table says {info['documents']}"
            )
        segments[0].parent.replace(ready)
    archive.unlink(missing_ok=True)
    return ready


def read_topics(path: Path, reader: str, field: str) -> list[Query]:
    """Read a topics file with the named Anserini reader class; the query is the given field of each topic."""
    topics = java.java_class("io.anserini.search.topicreader.TopicReader")
    found = topics.getTopicsWithStringIdsFromFileWithTopicReaderClass(reader, str(path))
    if found is None:
        raise UserError(f"{path}: cannot be read as topics ({reader.rpartition('.')[2]})")
    queries = []
    for qid in sorted(found.keySet().toArray()):
        fields = found.get(qid)
        text = fields.get(field)
        if text is None:
            names = ", ".join(sorted(fields.keySet().toArray()))
            raise UserError(f"{path}: topic {qid!r} has no field {field!r} (query_field); it has {names}")
        queries.append(Query(qid, text))
    return queries


def read_exclusions(path: Path) -> dict[str, frozenset[str]]:
    """Read lines `qid pid`: passages that must not be candidates of a query."""
    excluded: dict[str, set[str]] = {}
    for number, line in numbered_lines(path):
        fields = line.split()
        if len(fields) != 2:
            raise UserError(f"{path}:{number}: expected 'qid pid', got {shown(line)}")
        excluded.setdefault(fields[0], set()).add(fields[1])
    return {qid: frozenset(pids) for qid, pids in excluded.items()}


@memoised
def pinned_files() -> tuple[str, Mapping[str, str]]:
    """Base address and git blob ids of the topics and judgements that the catalogue uses, by `folder/name`."""
    table = yaml.safe_load(Path(__file__).with_name("evaluation_files.yaml").read_text(encoding="utf-8"))
    return table["base"], table["files"]


def _evaluation_file(folder: str, name: str, cache: Path) -> Path:
    """Fetch a file of topics or judgements; where it is not pinned, from where pyserini has it."""
    base, blobs = pinned_files()
    key = f"{folder}/{name}"
    if key in blobs:
        remote = Remote((base + key,), f"git:{blobs[key]}")
    else:
        server = java.java_class("io.anserini.eval.RelevanceJudgments").SERVER_PATH
        remote = Remote((base + key, f"{server}{name}"))
    return fetch(remote, cache / "pyserini" / folder / name, f"{folder} {name}")


def _topics(name: str) -> tuple[str, str]:
    """File name and Java reader class of topics that pyserini names."""
    java.start()
    from pyserini.search import _base

    topics = _base.topics_mapping[_known("topics", name, _base.topics_mapping)]
    return str(topics.path), str(topics.readerClass.getName())


def _qrels(name: str) -> str:
    """File name of judgements: one of the pinned files, or that of judgements that pyserini names."""
    if f"qrels/{name}" in pinned_files()[1]:
        return name
    java.start()
    from pyserini.search import _base

    return str(_base.qrels_mapping[_known("qrels", name, _base.qrels_mapping)].path)


def _known(kind: str, name: str, known: Iterable[str]) -> str:
    if name in known:
        return name
    close = difflib.get_close_matches(str(name), list(known), n=3)
    hint = f"; close are {', '.join(close)}" if close else ""
    raise UserError(f"{kind} {name!r} is not in pyserini's table{hint}")


def _digest(path: Path) -> str:
    return f"sha256:{files.file_digest(path)}"


SOURCE = Source(
    read=read,
    parse=parse_stored,
    prebuilt=prebuilt,
)
