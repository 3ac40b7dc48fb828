"""Every plain format on disk. Whatever is written goes to a temporary name, is flushed, and is renamed into place."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from layerrank.core.errors import UserError
from layerrank.core.locks import temporary_beside
from layerrank.core.reading import (
    check_ids,
    finite_number,
    finite_value,
    grade_of,
    numbered_lines,
    numbered_objects,
    shown,
    whole_number,
)
from layerrank.core.records import Candidates, Cost, Passage, Query, Ranking

Qrels = dict[str, dict[str, int]]

MODEL_RECORD = "layerrank.json"
"""File in a model folder that says where it came from: name, source, revision, digest, context."""

REMEMBERED = 8 << 20
"""Bytes from which on a file's digest is worth keeping."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

HEADER = ("# ir_metadata.start", "# ir_metadata.end")
"""Lines that a run's header in the format of ir_metadata begins and ends with."""

WHOLE = ".whole"
"""How the hidden names end under which finished work is kept until a workflow that ran it has ended."""


def forget_kept(folder: Path) -> None:
    """Remove what stages under `folder` have kept (`--keep`), since all of it is booked as finished."""
    for path in folder.rglob(f".*{WHOLE}"):
        path.unlink(missing_ok=True)


def located(name: str) -> Path:
    """The path that a configuration names: from the working directory, else from the checkout, where it is there.

    The workflow says where its checkout lies in LAYERRANK_BASE; results hold the name as configured, never that path.
    """
    path = Path(name)
    base = os.environ.get("LAYERRANK_BASE")
    below = path if base is None else Path(base) / path
    return below if not path.exists() and below.exists() else path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`, else removed.

    What a killed process left of its own is removed too.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(f".{path.name}."):
            error.filename = str(path)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON document; `UserError` names the file that is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise UserError(f"{path}: not valid JSON (nested too deeply)") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def read_object(path: Path) -> dict[str, Any]:
    """Like `read_json`, of a file that holds one JSON object."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, got {shown(value)}")
    return value


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, keys sorted, packed as `write_packed` has it."""
    write_packed(path, (json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows))


def write_packed(path: Path, parts: Iterable[str]) -> None:
    """Write UTF-8 text, atomically; by gzip (without a time stamp) or Zstandard where the name ends in .gz or .zst."""
    with (
        replacing(path) as temporary,
        temporary.open("wb") as raw,
        io.TextIOWrapper(_packed(raw, path.suffix), encoding="utf-8", newline="\n") as text,
    ):
        text.writelines(parts)


def _packed(raw: BinaryIO, suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
    if suffix == ".zst":
        import pyarrow

        return pyarrow.CompressedOutputStream(raw, "zstd")
    return raw


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield one object a line of a (gzipped) JSON-lines file; `UserError` names file and line of a malformed one."""
    return (row for _, row in read_numbered_jsonl(path))


def read_numbered_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Like `read_jsonl`, with each object's line number, from 1."""
    return numbered_objects(path)


def write_topics(path: Path, queries: Iterable[Query]) -> None:
    """Write queries as JSON lines {qid, text}."""
    write_jsonl(path, ({"qid": query.qid, "text": query.text} for query in queries))


def read_topics(path: Path) -> list[Query]:
    """Read what `write_topics` wrote; a query that comes twice is a `UserError`."""
    queries: dict[str, Query] = {}
    for where, row in _placed(path, read_numbered_jsonl(path)):
        query = Query(_value(row, "qid", str, where), _value(row, "text", str, where))
        _add(queries, query.qid, query, "query", where)
    return list(queries.values())


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgements in TREC format (`qid 0 pid grade`), sorted."""
    lines = (f"{qid} 0 {pid} {grade}\n" for qid in sorted(qrels) for pid, grade in sorted(qrels[qid].items()))
    write_text(path, "".join(lines))


def read_qrels(path: Path) -> Qrels:
    """Read TREC judgements as {qid: {pid: grade}}; a passage judged twice, with two grades, is a `UserError`."""
    qrels: Qrels = {}
    for number, line in numbered_lines(path):
        fields, where = line.split(), f"{path}:{number}"
        if len(fields) != 4:
            raise UserError(f"{where}: expected 'qid 0 pid grade', got {shown(line)}")
        add_judgement(qrels, fields[0], fields[2], fields[3], where)
    return qrels


def add_judgement(qrels: Qrels, qid: str, pid: str, grade: str, where: str) -> None:
    """Put one judgement, as a file has it, into `qrels`; `where` is its file and line."""
    check_ids("query", [qid], where)
    check_ids("document", [pid], where)
    value = grade_of(grade, where)
    if qrels.setdefault(qid, {}).setdefault(pid, value) != value:
        raise UserError(f"{where}: query {qid!r} judges document {pid!r} twice, with different grades")


def write_candidates(path: Path, rows: Iterable[Candidates]) -> None:
    """Write candidates as gzipped JSON lines {qid, query, passages: [{pid, title, text, score}]}, in input order."""
    write_jsonl(
        path,
        (
            {
                "qid": row.query.qid,
                "query": row.query.text,
                "passages": [
                    {"pid": passage.pid, "title": passage.title, "text": passage.text, "score": score}
                    for passage, score in zip(row.passages, row.scores, strict=True)
                ],
            }
            for row in rows
        ),
    )


def read_candidates(path: Path) -> list[Candidates]:
    """Read what `write_candidates` wrote; a query that comes twice, or a passage of a query, is a `UserError`."""
    found: dict[str, Candidates] = {}
    for where, row in _placed(path, read_numbered_jsonl(path)):
        entries = _value(row, "passages", list, where)
        for entry in entries:
            if not isinstance(entry, dict):
                raise UserError(f"{where}: passages must be JSON objects, got {shown(entry)}")
        query = Query(_value(row, "qid", str, where), _value(row, "query", str, where))
        passages: dict[str, Passage] = {}
        for entry in entries:
            passage = _passage(entry, where)
            _add(passages, passage.pid, passage, "passage", where)
        scores = tuple(finite_value(entry.get("score"), "score", where) for entry in entries)
        _add(found, query.qid, Candidates(query, tuple(passages.values()), scores), "query", where)
    if not found:
        raise UserError(f"{path}: no candidates of any query")
    return list(found.values())


def write_passages(path: Path, passages: Iterable[Passage]) -> None:
    """Write passages as JSON lines {pid, title, text}."""
    write_jsonl(path, ({"pid": row.pid, "title": row.title, "text": row.text} for row in passages))


def read_passages(path: Path) -> dict[str, Passage]:
    """Read what `write_passages` wrote, by id; a passage that comes twice is a `UserError`."""
    passages: dict[str, Passage] = {}
    for where, row in _placed(path, read_numbered_jsonl(path)):
        passage = _passage(row, where)
        _add(passages, passage.pid, passage, "passage", where)
    return passages


def _add(found: dict[str, Any], name: str, value: Any, kind: str, where: str) -> None:
    """Put a value under a name that none has yet."""
    if name in found:
        raise UserError(f"{where}: {kind} {name!r} comes twice")
    found[name] = value


def _passage(row: Mapping[str, Any], where: str) -> Passage:
    return Passage(*(_value(row, key, str, where) for key in ("pid", "text", "title")))


def _placed(path: Path, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"{path}:{number}", row) for number, row in rows)


def _value(row: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise UserError(f"{where}: {key!r} is {shown(value)}; this is no file that layerrank wrote, or it is damaged")
    return value


def write_run(path: Path, rankings: Iterable[Ranking], tag: str) -> None:
    """Write a TREC run. Each passage comes once; scores fall as `falling` has it, in float32 and in print."""
    check_ids("run", [tag], "tag")
    lines = (
        f"{ranking.qid} Q0 {pid} {rank} {score:.9g} {tag}\n"
        for ranking in rankings
        for rank, (pid, score) in enumerate(zip(ranking.pids, falling(ranking), strict=True), 1)
    )
    write_text(path, "".join(lines))


def falling(ranking: Ranking) -> list[float]:
    """A ranking's scores as files have them: in float32, and each below the one before.

    A score that does not fall below the one before it is lowered to the next float32 below.
    """
    import numpy as np

    if len(set(ranking.pids)) != len(ranking.pids):
        raise ValueError(f"query {ranking.qid}: a passage is ranked twice")
    scores = []
    last = np.float32(np.inf)
    for pid, score in zip(ranking.pids, ranking.scores, strict=True):
        if not math.isfinite(score):
            raise ValueError(f"query {ranking.qid}, passage {pid}: score {score} is not finite")
        last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
        scores.append(float(last))
    return scores


def read_run(path: Path) -> list[Ranking]:
    """Read a TREC run, each query's passages by falling score (ties by rank), queries in file order.

    A header of ir_metadata before them is passed over. `UserError` names file and line of what is no run's line, of a
    score that is no finite number, and of a passage that comes twice for its query.
    """
    rows: dict[str, dict[str, tuple[float, int]]] = {}
    header = False
    for number, line in numbered_lines(path):
        header = line.strip() == HEADER[0] if not rows and not header else header
        if header:
            header = line.strip() != HEADER[1]
            continue
        fields, where = line.split(), f"{path}:{number}"
        if len(fields) != 6:
            raise UserError(f"{where}: expected 'qid Q0 pid rank score tag', got {shown(line)}")
        qid, _, pid, rank, score, _ = fields
        check_ids("query", [qid], where)
        check_ids("passage", [pid], where)
        of_query = rows.setdefault(qid, {})
        if pid in of_query:
            raise UserError(f"{where}: query {qid!r} ranks passage {pid!r} twice")
        of_query[pid] = (-finite_number(score, "score", where), whole_number(rank, "rank", where))
    rankings = []
    for qid, of_query in rows.items():
        pids = tuple(sorted(of_query, key=lambda pid: (of_query[pid], pid)))
        rankings.append(Ranking(qid, pids, tuple(-of_query[pid][0] for pid in pids)))
    return rankings


def write_costs(path: Path, costs: Iterable[Cost]) -> None:
    """Write per-query costs as JSON lines."""
    write_jsonl(path, (asdict(cost) for cost in costs))


def read_costs(path: Path) -> list[Cost]:
    """Read what `write_costs` wrote; a query that comes twice is a `UserError`."""
    costs: dict[str, Cost] = {}
    for where, row in _placed(path, read_numbered_jsonl(path)):
        qid = _value(row, "qid", str, where)
        for name, value in {**row, **_value(row, "outcomes", dict, where)}.items():
            if name not in ("qid", "outcomes", "weights"):
                finite_value(value, name, where)
        try:
            cost = Cost(**row)
        except TypeError as error:
            raise UserError(f"{where}: no costs of a query ({error})") from None
        _add(costs, qid, cost, "query", where)
    return list(costs.values())


def one_model(found: Iterable[tuple[Path, str]]) -> str:
    """The digest of the model that several files are of; "" where they name none.

    Args:
        found: files, each with the digest of the model's files that it was made with, "" where it names none.

    Raises:
        UserError: two files of different models, or one of a model and one of none.
    """
    pairs = list(found)
    for path, weights in pairs[1:]:
        first, expected = pairs[0]
        if weights != expected:
            this, that = (name[:12] or "no digest" for name in (weights, expected))
            raise UserError(f"{path}: of other weights ({this}) than {first} ({that}); make both again")
    return pairs[0][1] if pairs else ""


def costs_of_one_model(paths: Iterable[Path]) -> dict[Path, list[Cost]]:
    """The costs in several files, by file; `UserError` names two files that are of different weights."""
    costs = {path: read_costs(path) for path in paths}
    one_model((path, weights) for path, rows in costs.items() for weights in sorted({cost.weights for cost in rows}))
    return costs


def tsv(rows: Iterable[Sequence[str]]) -> str:
    """A table that people open: white space in a cell is one space, and no text in it is a formula to a spreadsheet.

    Spreadsheets calculate what begins with `=`, `+`, `-` or `@`; an apostrophe before it makes it text again. Numbers
    stay as they are. What stages read of each other is written by `frames.write_frame`, to the letter.
    """
    return "".join("\t".join(_no_formula(" ".join(cell.split())) for cell in row) + "\n" for row in rows)


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.lstrip('"').startswith(("=", "+", "-", "@")) and not _NUMBER.fullmatch(cell) else cell


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remembered_digest(path: Path, cache: Path | None) -> str:
    """`file_digest`, kept in `cache` for large files as long as size, times and inode stay what they were.

    The time of change (ctime) is among them, which no program sets back: a file that was replaced by an older one is
    read again.
    """
    about = path.stat()
    if cache is None or about.st_size < REMEMBERED:
        return file_digest(path)
    stamp = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
    record = cache / "digests" / f"{text_digest([str(path.absolute())])[:32]}.json"
    with contextlib.suppress(UserError):
        kept = read_json(record)
        if isinstance(kept, dict) and kept.get("stamp") == stamp and isinstance(kept.get("digest"), str):
            return str(kept["digest"])
    digest = file_digest(path)
    write_json(record, {"stamp": stamp, "digest": digest})
    return digest


def text_digest(parts: Sequence[str]) -> str:
    """SHA-256 of several texts, each closed by a zero byte, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()
