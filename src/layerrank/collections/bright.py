"""BRIGHT (arXiv 2407.12883), and data of its shape: examples with gold and excluded ids, documents with a content.

The files lie in a folder, `examples/<domain>…` and `documents/<domain>…` as Parquet or JSON lines, or are fetched from
the model hub at a pinned revision. Documents have no titles.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from layerrank.collections.download import mirrored
from layerrank.collections.source import Entry, Material, Source, ids_of, parse_stored
from layerrank.core.errors import UserError
from layerrank.core.files import file_digest, located, read_numbered_jsonl
from layerrank.core.hub import download_errors, verify_etags
from layerrank.core.locks import locked
from layerrank.core.reading import check_ids, shown
from layerrank.core.records import Passage, Query
from layerrank.core.secrets import masked

REVISION = "3066d29c9651a576c8aba4832d249807b181ecae"
REPO = "xlangai/BRIGHT"
NOTHING = "N/A"
"""What BRIGHT writes for "no id"."""


def read(entry: Entry, cache: Path) -> Material:
    """Read a domain's examples and check them against its documents."""
    examples, documents = (_file(kind, entry, cache) for kind in ("examples", "documents"))
    pids = ids_of(passages(entry, cache), str(documents))
    queries: dict[str, Query] = {}
    qrels: dict[str, dict[str, int]] = {}
    excluded = {}
    for where, row in _rows(examples):
        qid = _value(row, "id", str, where)
        if qid in queries:
            raise UserError(f"{where}: query id {qid!r} appears twice")
        check_ids("query", [qid], where)
        queries[qid] = Query(qid, _value(row, "query", str, where))
        gold = _ids(row, "gold_ids", where)
        excluded[qid] = frozenset(_ids(row, "excluded_ids", where))
        for pid in gold:
            if pid in excluded[qid]:
                raise UserError(f"{where}: {pid!r} is both a gold and an excluded id")
        qrels[qid] = dict.fromkeys(gold, 1)
    paths = {} if "path" in entry else {"examples": examples, "documents": documents}
    digests = {part: f"sha256:{file_digest(path)}" for part, path in paths.items()}
    return Material(list(queries.values()), qrels, digests, documents=len(pids), pids=pids, excluded=excluded)


def passages(entry: Entry, cache: Path) -> Iterator[Passage]:
    """Yield the documents of a domain, in file order; ids may not repeat."""
    seen: set[str] = set()
    for where, row in _rows(_file("documents", entry, cache)):
        pid = _value(row, "id", str, where)
        check_ids("document", [pid], where)
        if pid in seen:
            raise UserError(f"{where}: document id {pid!r} appears twice")
        seen.add(pid)
        yield Passage(pid, _value(row, "content", str, where))


def inputs(entry: Entry) -> dict[str, Path]:
    """The two local files where the entry has a path; none where they come from the hub."""
    return {kind: _local(kind, entry) for kind in ("examples", "documents")} if "path" in entry else {}


def _file(kind: str, entry: Entry, cache: Path) -> Path:
    if "path" in entry:
        return _local(kind, entry)
    name = f"{kind}/{entry['domain']}-00000-of-00001.parquet"
    return _from_hub(name, entry.get("revision", REVISION), cache, f"BRIGHT {kind} of {entry['domain']}")


def _from_hub(name: str, revision: str, cache: Path, what: str) -> Path:
    """A file of BRIGHT at a revision, whole and of the digest that the hub says; a former download serves offline."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    folder = cache / "bright" / revision.replace("/", "--")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        try:
            path = hf_hub_download(
                REPO,
                name,
                repo_type="dataset",
                revision=revision,
                local_dir=folder,
                token=os.environ.get("HF_TOKEN") or False,
                endpoint=mirrored("https://huggingface.co/").rstrip("/"),
            )
        except download_errors() as error:
            cause = error.__cause__ or error
            reason = " ".join(masked(str(cause)).split())[:200]
            raise UserError(
                f"{what} cannot be fetched ({type(cause).__name__}: {reason}): put the file at {folder / name}"
            ) from None
        verify_etags(what, folder)
    return Path(path)


def _local(kind: str, entry: Entry) -> Path:
    folder = located(entry["path"]) / kind
    names = [f"{entry['domain']}{suffix}" for suffix in ("-00000-of-00001.parquet", ".parquet", ".jsonl", ".jsonl.gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: none of {', '.join(names)} is there")


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (where, row) of a Parquet or JSON-lines file."""
    if path.suffix != ".parquet":
        yield from ((f"{path}:{number}", row) for number, row in read_numbered_jsonl(path))
        return
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", row
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from None


def _value(row: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = row.get(key)
    if not isinstance(value, kind):
        raise UserError(f"{where}: {key} must be a {kind.__name__}, got {shown(value)}")
    return value


def _ids(row: Mapping[str, Any], key: str, where: str) -> list[str]:
    ids = [name for name in _value(row, key, list, where) if name != NOTHING]
    check_ids(key, ids, where)
    return ids


SOURCE = Source(
    read=read,
    parse=parse_stored,
    passages=passages,
    inputs=inputs,
)
