"""Collections in files: a folder in BEIR layout, or near it, and files that an entry names one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from layerrank.collections.source import Entry, Material, Source, ids_of, parse_stored
from layerrank.core.errors import UserError
from layerrank.core.files import located
from layerrank.core.formats import read_documents, read_judgements, read_queries
from layerrank.core.reading import PACKED
from layerrank.core.records import Passage

LAYOUT: Mapping[str, Sequence[str]] = {
    "corpus": ("corpus.jsonl", "corpus.tsv", "collection.tsv"),
    "topics": ("queries.jsonl", "queries.tsv", "topics.jsonl", "topics.tsv"),
    "qrels": ("qrels/{split}.tsv", "qrels/{split}.txt", "qrels/{split}.jsonl"),
}
"""Names that a folder's files go by, each also packed."""
WITHOUT_SPLIT = ("qrels.tsv", "qrels.txt", "qrels.jsonl")
"""Names of judgements that serve where the entry names no split."""


def folder_inputs(entry: Entry) -> dict[str, Path]:
    """The folder's corpus, topics and qrels; `UserError` names what is missing, or there under two names."""
    folder = located(entry["path"])
    if not folder.is_dir():
        raise UserError(f"collection path {str(folder)!r}: no such folder")
    found = {}
    for part, names in LAYOUT.items():
        tried = [name.format(split=entry.get("split", "test")) for name in names]
        if part == "qrels" and "split" not in entry:
            tried += WITHOUT_SPLIT
        present = [path for name in tried if (path := _present(folder / name))]
        if not present:
            others = ", ".join([*tried[1:], f"nor packed ({', '.join(PACKED)})"])
            raise UserError(f"{folder / tried[0]}: no such file, nor {others}")
        if len(present) > 1:
            both = f"both {present[0].name} and {present[1].name} are there"
            raise UserError(f"{folder}: {both}; keep one, or name the files by source: files")
        found[part] = present[0]
    return found


def named_inputs(entry: Entry) -> dict[str, Path]:
    """The files that an entry names; `UserError` names one that is missing."""
    found = {part: located(str(entry[part])) for part in LAYOUT}
    for part, path in found.items():
        if not path.exists():
            raise UserError(f"{path}: no such file (key {part})")
    return found


def _source(inputs: Callable[[Entry], dict[str, Path]]) -> Source:
    def read(entry: Entry, cache: Path) -> Material:
        paths = inputs(entry)
        pids = ids_of(passages(entry, cache), str(paths["corpus"]))
        queries = read_queries(paths["topics"], entry.get("query_field"))
        return Material(queries, read_judgements(paths["qrels"]), documents=len(pids), pids=pids)

    def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
        return read_documents(inputs(entry)["corpus"], entry.get("text_fields"))

    return Source(
        read=read,
        parse=parse_stored,
        passages=passages,
        inputs=inputs,
    )


def _present(path: Path) -> Path | None:
    """The file, or else a packed one of that name."""
    return next((choice for ending in ("", *PACKED) if (choice := path.with_name(path.name + ending)).exists()), None)


SOURCE = _source(folder_inputs)
FILES = _source(named_inputs)
