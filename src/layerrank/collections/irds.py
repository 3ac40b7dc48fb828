"""Any data set of the package ir_datasets (optional), with its documents indexed here."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from layerrank.collections.source import Entry, Material, Source, parse_stored
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, add_judgement, text_digest
from layerrank.core.reading import check_ids
from layerrank.core.records import Passage, Query


def read(entry: Entry, cache: Path) -> Material:
    """Read queries and judgements; ir_datasets checks the digests of what it downloads."""
    data = _dataset(entry, cache)
    where = f"ir_datasets {entry['id']}"
    with _reading(entry, cache):
        queries = [
            Query(query.query_id, _text(query, entry.get("query_field"), where)) for query in data.queries_iter()
        ]
        judgements = [(row.query_id, row.doc_id, row.relevance) for row in data.qrels_iter()]
    qrels: Qrels = {}
    for qid, pid, grade in judgements:
        add_judgement(qrels, qid, pid, str(grade), where)
    digests = {
        "topics": f"sha256:{text_digest([json.dumps([query.qid, query.text]) for query in queries])}",
        "qrels": f"sha256:{text_digest([json.dumps(row) for row in judgements])}",
    }
    return Material(queries, qrels, digests)


def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
    """Yield every document: the given text fields, or its own idea of a text; the title where it has one apart."""
    data = _dataset(entry, cache)
    where = f"ir_datasets {entry['id']}"
    fields = entry.get("text_fields")
    seen: set[str] = set()
    with _reading(entry, cache):
        for document in data.docs_iter():
            pid = document.doc_id
            check_ids("document", [pid], where)
            if pid in seen:
                raise UserError(f"{where}: document id {pid!r} appears twice")
            seen.add(pid)
            if fields:
                text = "\n".join(_text(document, name, where) for name in fields)
            else:
                text = _text(document, "text" if hasattr(document, "text") else None, where)
            yield Passage(pid, text, getattr(document, "title", None) or "")


def _dataset(entry: Entry, cache: Path) -> Any:
    """Load the data set, with its downloads in the study's cache."""
    os.environ.setdefault("IR_DATASETS_HOME", str(cache.absolute() / "ir_datasets"))
    try:
        import ir_datasets
    except ImportError:
        raise UserError(
            "source ir_datasets needs the package ir-datasets: pip install 'layerrank[ir-datasets]'"
        ) from None
    try:
        data = ir_datasets.load(entry["id"])
    except KeyError:
        raise UserError(f"ir_datasets has no data set {entry['id']!r}") from None
    for part in ("docs", "queries", "qrels"):
        if not getattr(data, f"has_{part}")():
            raise UserError(
                f"ir_datasets {entry['id']!r} has no {part}; name a subset that has docs, queries and qrels"
            )
    return data


@contextlib.contextmanager
def _reading(entry: Entry, cache: Path) -> Iterator[None]:
    """Turn a failed download into one line that names the data set and the folder."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        home = os.environ["IR_DATASETS_HOME"]
        raise UserError(f"ir_datasets {entry['id']!r} cannot be read; its files belong in {home} ({error})") from None


def _text(record: Any, field: str | None, where: str) -> str:
    if field is None:
        return str(record.default_text())
    if not hasattr(record, field):
        raise UserError(f"{where}: no field {field!r}; there are {', '.join(record._fields)}")
    return str(getattr(record, field))


SOURCE = Source(
    read=read,
    parse=parse_stored,
    passages=passages,
)
