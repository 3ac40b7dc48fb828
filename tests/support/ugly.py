"""A small collection with a ready run, as bytes of its files, and what comes out of it up to the candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerrank.collections import prepared
from layerrank.core import files
from layerrank.first_stage import bm25, candidates

FILES: Mapping[str, bytes] = {
    "corpus.jsonl": b"""{"_id": "d1", "title": "one", "text": "apple banana"}
{"_id": "d2", "title": "", "text": "apple \\u00e9clair"}
{"_id": "d3", "title": "", "text": "cherry"}
{"_id": "d4", "title": "", "text": ""}
""",
    "queries.jsonl": b"""{"_id": "q1", "text": "apple"}
{"_id": "q2", "text": "cherry pie"}
""",
    "qrels.txt": b"""q1 0 d1 2
q1 0 d2 0
q2 0 d3 1
""",
    "run.txt": b"""q1 Q0 d2 1 2.5 bm25
q1 Q0 d1 2 1.5 bm25
q2 Q0 d3 1 7 bm25
q2 Q0 d1 2 -1e-1 bm25
""",
}
OUTCOME: Mapping[str, Any] = {
    "topics": {"q1": "apple", "q2": "cherry pie"},
    "qrels": {"q1": {"d1": 2, "d2": 0}, "q2": {"d3": 1}},
    "candidates": {"q1": [("d2", 2.5), ("d1", 1.5)], "q2": [("d3", 7.0), ("d1", -0.1)]},
    "texts": {"d1": "one\napple banana", "d2": "apple éclair", "d3": "cherry"},
}
"""What those files hold."""


def write_files(folder: Path, changes: Mapping[str, bytes | None] | None = None) -> Path:
    """Write `FILES` with changes: other bytes, None for no such file, a name that ends in / for a folder."""
    for name, content in {**FILES, **(changes or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)
    return folder


def entry_of(folder: Path, **more: Any) -> dict[str, Any]:
    """The catalogue entry of a folder with a run in it."""
    runs = sorted(folder.glob("run.*")) or [folder / "run.txt"]
    return {"source": "run", "run": str(runs[0]), "texts": {"source": "beir", "path": str(folder)}, **more}


def outcome(folder: Path, entry: Mapping[str, Any], depth: int = 10) -> dict[str, Any]:
    """Prepare, retrieve and make candidates: what each stage hands on."""
    work = folder / "work"
    prepared.prepare("tiny", entry, work / "cache", work / "collection", None, 42)
    collection = prepared.load(work / "collection")
    bm25.build_index(collection, work / "cache", 1, work / "index")
    rankings, passages, _ = bm25.retrieve(collection, work / "index", bm25.Bm25(depth=depth))
    files.write_run(work / "run.txt", rankings, "bm25")
    files.write_passages(work / "passages.jsonl.gz", passages)
    texts = files.read_passages(work / "passages.jsonl.gz")
    made = candidates.make_candidates(
        collection.queries, files.read_run(work / "run.txt"), texts, candidates.CandidateSettings(depth, 100)
    )
    files.write_candidates(work / "candidates.jsonl.gz", made)
    rows = files.read_candidates(work / "candidates.jsonl.gz")
    return {
        "topics": {query.qid: query.text for query in collection.queries},
        "qrels": collection.qrels,
        "candidates": {
            row.query.qid: [
                (passage.pid, round(score, 6)) for passage, score in zip(row.passages, row.scores, strict=True)
            ]
            for row in rows
        },
        "texts": {passage.pid: passage.content for row in rows for passage in row.passages},
    }


LISTS: list[dict[str, Any]] = [
    {
        "query": {"qid": qid, "text": OUTCOME["topics"][qid]},
        "candidates": [
            {"docid": pid, "score": score, "doc": {"contents": OUTCOME["texts"][pid]}} for pid, score in ranked
        ],
    }
    for qid, ranked in OUTCOME["candidates"].items()
]
"""The same candidates with their texts, as rank_llm keeps them; titles are in the texts."""


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
