"""Small collections, made by tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CORPUS = (
    ("d1", "", "apple apple banana"),
    ("d2", "", "apple cherry"),
    ("d3", "durian", "banana banana cherry durian"),
    ("d4", "", "cherry"),
    ("d5", "", ""),
)
QUERIES = (("q1", "apple banana"), ("q2", "cherry"), ("q3", "durian"), ("q4", "nobody judged this"))
QRELS = (("q1", "d1", 2), ("q1", "d3", 0), ("q2", "d4", 1), ("q3", "d3", 1), ("q3", "d4", -1))


def write_beir(
    folder: Path,
    corpus: Iterable[tuple[str, str, str]] = CORPUS,
    queries: Iterable[tuple[str, str]] = QUERIES,
    qrels: Iterable[tuple[str, str, Any]] = QRELS,
) -> Path:
    """Write a folder in BEIR layout: (id, title, text), (id, text), (query id, document id, grade)."""
    write_lines(folder / "corpus.jsonl", ({"_id": pid, "title": title, "text": text} for pid, title, text in corpus))
    write_lines(folder / "queries.jsonl", ({"_id": qid, "text": text} for qid, text in queries))
    rows = "".join(f"{qid}\t{pid}\t{grade}\n" for qid, pid, grade in qrels)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows, encoding="utf-8")
    return folder


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_bright(folder: Path, domain: str = "biology") -> Path:
    """Write a domain of BRIGHT's shape: six documents, two queries, one of them with excluded ids."""
    texts = ("light moth lamp", "moth moth flame", "moth wing", "lamp oil", "flame heat", "moth")
    documents = [{"id": f"insects/moth_{n}.txt", "content": text} for n, text in enumerate(texts)]
    examples = [
        {
            "id": "0",
            "query": "why do moths fly to a flame\nmoth",
            "gold_ids": ["insects/moth_2.txt"],
            "excluded_ids": ["insects/moth_1.txt", "insects/moth_5.txt"],
        },
        {"id": "1", "query": "oil lamp", "gold_ids": ["insects/moth_3.txt"], "excluded_ids": ["N/A"]},
    ]
    write_lines(folder / "documents" / f"{domain}.jsonl", documents)
    write_lines(folder / "examples" / f"{domain}.jsonl", examples)
    return folder
