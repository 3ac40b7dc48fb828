"""Every plain format on disk. Whatever is written goes to a temporary name, is flushed, and is renamed into place."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Cost, Passage, Query, Ranking

Qrels = dict[str, dict[str, int]]

MODEL_RECORD = "layerrank.json"
"""File in a model folder that says where it came from: name, source, revision, digest, context."""

WHOLE = ".whole"
"""How the hidden names end under which finished work is kept until a workflow that ran it has ended."""


def forget_kept(folder: Path) -> None:
    """Remove what stages under `folder` have kept (`--keep`), since all of it is booked as finished."""
    for path in folder.rglob(f".*{WHOLE}"):
        path.unlink(missing_ok=True)


def located(name: str) -> Path:
    """The path that a configuration names: from the working directory, else from the checkout.

    The workflow says where its checkout lies in LAYERRANK_BASE; results hold the name as configured, never that path.
    """
    path = Path(name)
    base = os.environ.get("LAYERRANK_BASE")
    return path if base is None or path.exists() else Path(base) / path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, keys sorted, atomically; gzip (without a time stamp) where the name ends in .gz."""
    with replacing(path) as temporary, temporary.open("wb") as raw:
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if path.suffix == ".gz" else raw
        with io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text:  # type: ignore[type-var]
            for row in rows:
                text.write(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield one object a line of a (gzipped) JSON-lines file; `UserError` names file and line of a malformed one."""
    return (row for _, row in read_numbered_jsonl(path))


def read_numbered_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Like `read_jsonl`, with each object's line number, from 1."""
    try:
        raw = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    number = 0
    with raw as lines:
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise UserError(f"{path}:{number}: not valid JSON ({error})") from None
                if not isinstance(row, dict):
                    raise UserError(f"{path}:{number}: expected a JSON object")
                yield number, row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path}:{number + 1}: not a whole gzip file ({error})") from None


def write_topics(path: Path, queries: Iterable[Query]) -> None:
    """Write queries as JSON lines {qid, text}."""
    write_jsonl(path, ({"qid": query.qid, "text": query.text} for query in queries))


def read_topics(path: Path) -> list[Query]:
    """Read what `write_topics` wrote."""
    return [Query(row["qid"], row["text"]) for row in read_jsonl(path)]


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write judgements in TREC format (`qid 0 pid grade`), sorted."""
    lines = (f"{qid} 0 {pid} {grade}\n" for qid in sorted(qrels) for pid, grade in sorted(qrels[qid].items()))
    write_text(path, "".join(lines))


def read_qrels(path: Path) -> Qrels:
    """Read TREC judgements as {qid: {pid: grade}}."""
    qrels: Qrels = {}
    for number, line in enumerate(_lines(path), 1):
        fields = line.split()
        if len(fields) != 4 or not fields[3].lstrip("-").isdigit():
            raise UserError(f"{path}:{number}: expected 'qid 0 pid grade', got {line!r}")
        qrels.setdefault(fields[0], {})[fields[2]] = int(fields[3])
    return qrels


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
    """Read what `write_candidates` wrote."""
    return [
        Candidates(
            Query(row["qid"], row["query"]),
            tuple(Passage(entry["pid"], entry["text"], entry["title"]) for entry in row["passages"]),
            tuple(float(entry["score"]) for entry in row["passages"]),
        )
        for row in read_jsonl(path)
    ]


def write_passages(path: Path, passages: Iterable[Passage]) -> None:
    """Write passages as JSON lines {pid, title, text}."""
    write_jsonl(path, ({"pid": row.pid, "title": row.title, "text": row.text} for row in passages))


def read_passages(path: Path) -> dict[str, Passage]:
    """Read what `write_passages` wrote, by id; a passage that comes twice is a `UserError`."""
    passages: dict[str, Passage] = {}
    for number, row in read_numbered_jsonl(path):
        if row["pid"] in passages:
            raise UserError(f"{path}:{number}: passage {row['pid']!r} comes twice")
        passages[row["pid"]] = Passage(row["pid"], row["text"], row["title"])
    return passages


def write_run(path: Path, rankings: Iterable[Ranking], tag: str) -> None:
    """Write a TREC run. Each passage comes once; scores are made strictly decreasing in float32 and in print.

    A score that does not fall below the one before it is lowered to the next float32 below.
    """
    import numpy as np

    lines: list[str] = []
    for ranking in rankings:
        if len(set(ranking.pids)) != len(ranking.pids):
            raise ValueError(f"query {ranking.qid}: a passage is ranked twice")
        last = np.float32(np.inf)
        for rank, (pid, score) in enumerate(zip(ranking.pids, ranking.scores, strict=True), 1):
            if not math.isfinite(score):
                raise ValueError(f"query {ranking.qid}, passage {pid}: score {score} is not finite")
            value = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
            last = value
            lines.append(f"{ranking.qid} Q0 {pid} {rank} {float(value):.9g} {tag}\n")
    write_text(path, "".join(lines))


def read_run(path: Path) -> list[Ranking]:
    """Read a TREC run, each query's passages by falling score (ties by rank), queries in file order."""
    rows: dict[str, list[tuple[float, int, str]]] = {}
    for number, line in enumerate(_lines(path), 1):
        fields = line.split()
        try:
            qid, _, pid, rank, score, _ = fields
            rows.setdefault(qid, []).append((-float(score), int(rank), pid))
        except ValueError:
            raise UserError(f"{path}:{number}: expected 'qid Q0 pid rank score tag', got {line!r}") from None
    rankings = []
    for qid, entries in rows.items():
        entries.sort()
        pids = tuple(pid for _, _, pid in entries)
        if len(set(pids)) != len(pids):
            raise UserError(f"{path}: query {qid} ranks a passage twice")
        rankings.append(Ranking(qid, pids, tuple(-score for score, _, _ in entries)))
    return rankings


def write_costs(path: Path, costs: Iterable[Cost]) -> None:
    """Write per-query costs as JSON lines."""
    write_jsonl(path, (asdict(cost) for cost in costs))


def read_costs(path: Path) -> list[Cost]:
    """Read what `write_costs` wrote."""
    return [Cost(**row) for row in read_jsonl(path)]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_digest(parts: Sequence[str]) -> str:
    """SHA-256 of several texts, each closed by a zero byte, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as lines:
            yield from (line for line in (raw.strip() for raw in lines) if line)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
