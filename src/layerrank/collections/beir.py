"""Collections in BEIR layout: corpus.jsonl, queries.jsonl, qrels/<split>.tsv, each also gzipped."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layerrank.collections.source import Entry, Material, Source, check_ids, parse_stored
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, file_digest, located, read_numbered_jsonl
from layerrank.core.records import Passage, Query


def inputs(entry: Entry) -> list[Path]:
    """Return the paths of corpus, queries and judgements; `UserError` names a file that is missing."""
    folder = located(entry["path"])
    if not folder.is_dir():
        raise UserError(f"collection path {str(folder)!r}: no such folder")
    split = entry.get("split", "test")
    return [_present(folder / name) for name in ("corpus.jsonl", "queries.jsonl", f"qrels/{split}.tsv")]


def read(entry: Entry, cache: Path) -> Material:
    """Read and check a whole BEIR folder; every complaint names file and line or id."""
    corpus, queries, judgements = paths = inputs(entry)
    pids = {passage.pid for passage in read_corpus(corpus)}
    if not pids:
        raise UserError(f"{corpus}: the corpus is empty")
    topics = read_queries(queries)
    qrels = read_judgements(judgements)
    known = {query.qid for query in topics}
    for qid, grades in qrels.items():
        if qid not in known:
            raise UserError(f"{judgements}: query {qid!r} is judged but is not in {queries.name}")
        for pid in grades:
            if pid not in pids:
                raise UserError(f"{judgements}: query {qid!r} judges document {pid!r}, which is not in {corpus.name}")
    names = ("corpus", "topics", "qrels")
    digests = {name: f"sha256:{file_digest(path)}" for name, path in zip(names, paths, strict=True)}
    return Material(topics, qrels, digests, documents=len(pids))


def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
    """Yield every document of the corpus, in file order."""
    return read_corpus(inputs(entry)[0])


def read_corpus(path: Path) -> Iterator[Passage]:
    """Yield the documents of a corpus.jsonl; text and title may be empty, ids may not repeat."""
    seen: set[str] = set()
    for number, row in read_numbered_jsonl(path):
        where = f"{path}:{number}"
        pid = _identifier(row, where, "document")
        if pid in seen:
            raise UserError(f"{where}: document id {pid!r} appears twice")
        seen.add(pid)
        yield Passage(pid, _text(row, "text", where), _text(row, "title", where, default=""))


def read_queries(path: Path) -> list[Query]:
    """Read a queries.jsonl; ids may not repeat. A blank text is refused only where the query is judged."""
    queries: dict[str, Query] = {}
    for number, row in read_numbered_jsonl(path):
        where = f"{path}:{number}"
        qid = _identifier(row, where, "query")
        if qid in queries:
            raise UserError(f"{where}: query id {qid!r} appears twice")
        queries[qid] = Query(qid, _text(row, "text", where))
    return list(queries.values())


def read_judgements(path: Path) -> Qrels:
    """Read a qrels TSV (query-id, corpus-id, score, with or without its header line)."""
    qrels: Qrels = {}
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, 1):
                fields = line.rstrip("\r\n").split("\t")
                if fields == [""] or (number == 1 and fields[-1].strip().lower() == "score"):
                    continue
                _add_judgement(qrels, fields, f"{path}:{number}")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a whole text file ({error})") from None
    return qrels


def _add_judgement(qrels: Qrels, fields: list[str], where: str) -> None:
    if len(fields) != 3:
        raise UserError(f"{where}: expected three fields with tabs between (query-id, corpus-id, score), got {fields}")
    qid, pid, score = (text.strip() for text in fields)
    check_ids("query", [qid], where)
    check_ids("document", [pid], where)
    try:
        grade = int(score)
    except ValueError:
        raise UserError(f"{where}: grade {score!r} is not an integer") from None
    if qrels.setdefault(qid, {}).setdefault(pid, grade) != grade:
        raise UserError(f"{where}: query {qid!r} judges document {pid!r} twice, with different grades")


def _identifier(row: dict[str, Any], where: str, kind: str) -> str:
    name = row.get("_id")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise UserError(f"{where}: _id must be a text or a whole number, got {name!r}")
    check_ids(kind, [str(name)], where)
    return str(name)


def _text(row: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise UserError(f"{where}: {key} must be a text, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {key} has half a character ({error})") from None
    return value


def _present(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    for choice in (path, packed):
        if choice.is_file():
            return choice
    raise UserError(f"{path}: no such file (nor {packed.name})")


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8")
    return path.open(encoding="utf-8")


SOURCE = Source(
    required=frozenset({"path"}),
    optional=frozenset({"split"}),
    read=read,
    parse=parse_stored,
    passages=passages,
    inputs=inputs,
)
