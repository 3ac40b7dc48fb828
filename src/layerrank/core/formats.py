"""Topics, judgements and texts in the formats in use: JSON lines under several field names, TSV, TREC; plain or packed.

A file's format goes by its name (`.jsonl`, `.tsv`, each also with `.gz` or `.zst`); judgements go by their columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, add_judgement
from layerrank.core.reading import PACKED, check_ids, numbered_lines, numbered_objects, shown
from layerrank.core.records import Passage, Query

ID_FIELDS: Mapping[str, Sequence[str]] = {
    "document": ("_id", "id", "docid", "doc_id", "docno", "pid"),
    "query": ("_id", "id", "qid", "query_id"),
}
"""Names that the id of a document or a query goes by."""
TEXT_FIELDS: Mapping[str, Sequence[str]] = {
    "document": ("text", "contents", "segment", "body", "content", "passage"),
    "query": ("text", "query", "question"),
}
"""Names that their text goes by."""
COLUMNS: Mapping[str, Mapping[int, Sequence[str]]] = {
    "document": {2: ("id", "text"), 4: ("id", "url", "title", "body")},
    "query": {2: ("id", "text")},
}
"""Columns of a TSV file without a line of names: MS MARCO's passages, its documents, its queries."""
SCORE_COLUMNS = ("score", "relevance", "grade", "rel", "label")
"""Names of the last column in a first line of names above judgements."""
JUDGED = ("query-id", "corpus-id", "score")
"""Fields of judgements in JSON lines, as BEIR names them."""

JSON_LINES = (".jsonl", ".json", ".ndjson")
TSV = (".tsv", ".txt")


def read_documents(path: Path, text_fields: Sequence[str] | None = None) -> Iterator[Passage]:
    """Yield the documents of a file; text and title may be empty, ids may not repeat.

    `text_fields` are the fields that make up the text, one under the other, in place of `TEXT_FIELDS`.
    """
    seen: set[str] = set()
    for where, row in _rows(path, "document"):
        pid = identifier(row, "document", where)
        if pid in seen:
            raise UserError(f"{where}: document id {pid!r} appears twice")
        seen.add(pid)
        yield document(pid, row, where, text_fields)


def read_queries(path: Path, field: str | None = None) -> list[Query]:
    """Read the queries of a file; ids may not repeat. `field` is the query's field, in place of `TEXT_FIELDS`."""
    queries: dict[str, Query] = {}
    for where, row in _rows(path, "query"):
        qid = identifier(row, "query", where)
        if qid in queries:
            raise UserError(f"{where}: query id {qid!r} appears twice")
        queries[qid] = Query(qid, _text(row, [field] if field else TEXT_FIELDS["query"], where))
    return list(queries.values())


def read_judgements(path: Path) -> Qrels:
    """Read judgements: TREC's four columns, BEIR's three with tabs between (and a line of names), or JSON lines."""
    qrels: Qrels = {}
    if _plain_suffix(path) in JSON_LINES:
        for number, row in numbered_objects(path):
            where = f"{path}:{number}"
            values = [row.get(name) for name in JUDGED]
            if any(isinstance(value, bool) or not isinstance(value, str | int | float) for value in values):
                raise UserError(f"{where}: expected {', '.join(JUDGED)}, got {shown(row)}")
            qid, pid, grade = map(str, values)
            add_judgement(qrels, qid, pid, grade, where)
        return qrels
    first = True
    for number, line in numbered_lines(path):
        fields = [part.strip() for part in line.split("\t")]
        if len(fields) not in (3, 4):
            fields = line.split()
        named, first = first and fields[-1].lower() in SCORE_COLUMNS, False
        if named:
            continue
        where = f"{path}:{number}"
        if len(fields) == 4:
            fields.pop(1)
        if len(fields) != 3:
            raise UserError(
                f"{where}: expected three fields with tabs between (query-id, corpus-id, score) or TREC's four"
                f" (qid 0 pid grade), got {shown(line)}"
            )
        add_judgement(qrels, fields[0], fields[1], fields[2], where)
    return qrels


def document(pid: str, row: Mapping[str, Any], where: str, text_fields: Sequence[str] | None = None) -> Passage:
    """The passage that a document's fields hold; `text_fields` as in `read_documents`."""
    if text_fields:
        text = "\n".join(_text(row, [name], where) for name in text_fields)
    else:
        text = _text(row, TEXT_FIELDS["document"], where)
    title = row.get("title")
    if title is not None and not isinstance(title, str):
        raise UserError(f"{where}: title must be a text, got {shown(title)}")
    return Passage(pid, text, title or "")


def identifier(row: Mapping[str, Any], kind: str, where: str) -> str:
    """The id of a document or a query: a text, or a whole number."""
    key, value = _only(row, ID_FIELDS[kind], where)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{where}: {key} must be a text or a whole number, got {shown(value)}")
    check_ids(kind, [str(value)], where)
    return str(value)


def _text(row: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    key, value = _only(row, names, where)
    if not isinstance(value, str):
        raise UserError(f"{where}: {key} must be a text, got {shown(value)}")
    return value


def _only(row: Mapping[str, Any], names: Sequence[str], where: str) -> tuple[str, Any]:
    """The one field among `names` that a row has; several must agree."""
    present = [name for name in names if row.get(name) is not None]
    if not present:
        wanted = f"one of the fields {', '.join(names)}" if len(names) > 1 else f"the field {names[0]}"
        raise UserError(f"{where}: expected {wanted}; there are {shown(', '.join(map(str, row)) or 'none')}")
    first = present[0]
    for other in present[1:]:
        if str(row[other]) != str(row[first]):
            raise UserError(f"{where}: {first} is {shown(row[first])} and {other} is {shown(row[other])}: keep one")
    return first, row[first]


def _rows(path: Path, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (where, fields by name) of each line."""
    suffix = _plain_suffix(path)
    if suffix in JSON_LINES:
        yield from ((f"{path}:{number}", row) for number, row in numbered_objects(path))
        return
    if suffix not in TSV:
        raise UserError(
            f"{path}: its name ends in none of {', '.join((*JSON_LINES, *TSV))} (packed: {', '.join(PACKED)})"
        )
    columns: Sequence[str] | None = None
    known = COLUMNS[kind]
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        where = f"{path}:{number}"
        if columns is None:
            if fields[0].lower() in ID_FIELDS[kind]:
                columns = [name.lower() for name in fields]
                if len(set(columns)) < len(columns):
                    raise UserError(f"{where}: a column comes twice in {shown(line)}")
                continue
            columns = known.get(len(fields), known[2])
        if len(fields) != len(columns):
            raise UserError(
                f"{where}: expected {len(columns)} fields with tabs between ({', '.join(columns)}), got {len(fields)}"
            )
        yield where, dict(zip(columns, fields, strict=True))


def _plain_suffix(path: Path) -> str:
    """How a file's name ends, packing aside."""
    return (path.with_suffix("") if path.suffix in PACKED else path).suffix.lower()
