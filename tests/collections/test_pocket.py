"""Consistency of the bundled collection workflow/collections/pocket."""

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest

POCKET = Path(__file__).resolve().parents[2] / "workflow" / "collections" / "pocket"


def _jsonl(name):
    with (POCKET / name).open(encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


@pytest.fixture(scope="module")
def corpus():
    return _jsonl("corpus.jsonl")


@pytest.fixture(scope="module")
def queries():
    return _jsonl("queries.jsonl")


@pytest.fixture(scope="module")
def qrels():
    """The judgements as a list of (query id, passage id, score)."""
    with (POCKET / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle, delimiter="\t"))
    assert rows[0] == ["query-id", "corpus-id", "score"]
    return [(query, passage, int(score)) for query, passage, score in rows[1:]]


def test_counts(corpus, queries):
    assert len(corpus) >= 250
    assert len(queries) >= 40


def test_fields(corpus, queries):
    for passage in corpus:
        assert set(passage) == {"_id", "title", "text"}
        assert all(value == value.strip() and value for value in passage.values())
    for query in queries:
        assert set(query) == {"_id", "text"}
        assert query["text"].strip()


def test_passage_lengths(corpus):
    for passage in corpus:
        assert 40 <= len(passage["text"].split()) <= 110, passage["_id"]
        assert 2 <= len(passage["title"].split()) <= 6, passage["_id"]


def test_unique(corpus, queries):
    for values in (
        [passage["_id"] for passage in corpus],
        [passage["title"] for passage in corpus],
        [passage["text"] for passage in corpus],
        [query["_id"] for query in queries],
        [query["text"] for query in queries],
    ):
        assert len(values) == len(set(values))


def test_judged_ids_exist_once(corpus, queries, qrels):
    passage_ids = {passage["_id"] for passage in corpus}
    query_ids = {query["_id"] for query in queries}
    pairs = [(query, passage) for query, passage, _ in qrels]
    assert len(pairs) == len(set(pairs))
    assert {query for query, _ in pairs} == query_ids
    assert {passage for _, passage in pairs} <= passage_ids


def test_grades(qrels):
    by_query = defaultdict(list)
    for query, _, score in qrels:
        by_query[query].append(score)
    for query, scores in by_query.items():
        assert set(scores) <= {0, 1, 2, 3}, query
        assert max(scores) >= 2, query
        assert 0 in scores, query
        assert 6 <= len(scores) <= 10, query


def test_file_sizes():
    for path in POCKET.rglob("*"):
        if path.is_file():
            assert path.stat().st_size < 2**20, path.name
