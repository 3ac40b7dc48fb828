from __future__ import annotations

import itertools
import logging
import math
import os
from collections import Counter
from pathlib import Path

import pytest
from support.collections import write_beir, write_bright

from layerrank.collections import prepared
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Passage
from layerrank.first_stage import bm25 as retrieve

# Words that Porter's stemmer and the stop list leave alone.
DOCUMENTS = {
    "d1": "kiwi kiwi lemon",
    "d2": "kiwi mango",
    "d3": "lemon lemon mango plum plum plum",
    "d4": "plum",
    "d5": "mango lemon kiwi plum fig fig fig fig",
}


def idf(term: str, documents=DOCUMENTS) -> float:
    df = sum(term in text.split() for text in documents.values())
    return math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))


def saturation(tf: int, length: int, k1: float, b: float, documents=DOCUMENTS) -> float:
    average = sum(len(text.split()) for text in documents.values()) / len(documents)
    return tf / (tf + k1 * (1 - b + b * length / average))


def bm25(query: str, pid: str, k1: float, b: float, query_side: bool = False, documents=DOCUMENTS) -> float:
    """Lucene's BM25; a repeated query term counts as often as it stands, or with its own BM25 weight."""
    words = documents[pid].split()
    asked = query.split()
    total = 0.0
    for term, count in Counter(asked).items():
        weight = idf(term, documents) * saturation(count, len(asked), k1, b, documents) if query_side else count
        if term in words:
            total += weight * idf(term, documents) * saturation(words.count(term), len(words), k1, b, documents)
    return total


def indexed(tmp_path: Path, entry: dict) -> prepared.Collection:
    prepared.prepare("tiny", entry, tmp_path / "cache", tmp_path / "collection", None, 42)
    collection = prepared.load(tmp_path / "collection")
    retrieve.build_index(collection, tmp_path / "cache", 2, tmp_path / "index")
    return collection


def fruit(tmp_path: Path, queries: dict[str, str], **more) -> prepared.Collection:
    """The five documents, with each query judged once."""
    write_beir(
        tmp_path / "data",
        [(pid, "", text) for pid, text in DOCUMENTS.items()],
        list(queries.items()),
        [(qid, "d1", 1) for qid in queries],
    )
    return indexed(tmp_path, {"source": "beir", "path": str(tmp_path / "data"), **more})


QUERIES = {"q1": "kiwi", "q2": "lemon plum", "q3": "fig mango kiwi lemon", "q4": "kiwi kiwi lemon"}


@pytest.mark.parametrize("query_side", [False, True])
@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.2, 0.75), (0.5, 0.0), (2.0, 1.0)])
def test_scores_are_those_computed_by_hand(tmp_path, k1, b, query_side):
    more = {"first_stage": "bm25-query-side"} if query_side else {}
    collection = fruit(tmp_path, QUERIES, **more)
    rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(k1, b, 10))
    assert [ranking.qid for ranking in rankings] == list(QUERIES)
    for ranking in rankings:
        query = QUERIES[ranking.qid]
        expected = {pid: bm25(query, pid, k1, b, query_side) for pid in DOCUMENTS}
        expected = {pid: score for pid, score in expected.items() if score > 0}
        assert list(ranking.pids) == sorted(expected, key=lambda pid: -expected[pid])
        for pid, score in zip(ranking.pids, ranking.scores, strict=True):
            assert score == pytest.approx(expected[pid], abs=6e-5)  # pyserini rounds to four digits


def test_one_score_written_out_by_hand(tmp_path):
    collection = fruit(tmp_path, {"q1": "fig"})
    rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(0.9, 0.4, 10))
    # N = 5, df = 1: idf = ln(1 + 4.5/1.5) = ln 4. tf = 4, dl = 8, avgdl = 20/5 = 4: 4 / (4 + 0.9·(0.6 + 0.4·2)).
    assert rankings[0].pids == ("d5",)
    assert rankings[0].scores[0] == pytest.approx(math.log(4) * 4 / 5.26, abs=6e-5)


def test_one_query_side_score_written_out_by_hand(tmp_path):
    collection = fruit(tmp_path, {"q1": "fig fig plum"}, first_stage="bm25-query-side")
    rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(0.9, 0.4, 10))
    # |q| = 3, avgdl = 4: norm = 0.9·(0.6 + 0.4·0.75) = 0.81. fig: idf ln 4, weight ln 4 · 2/2.81. plum: df = 3,
    # idf = ln(1 + 2.5/3.5) = ln(12/7), weight ln(12/7) · 1/1.81. d4 = "plum": dl = 1, norm 0.9·(0.6 + 0.1) = 0.63.
    score = dict(zip(rankings[0].pids, rankings[0].scores, strict=True))
    plum = math.log(12 / 7)
    assert score["d4"] == pytest.approx(plum / 1.81 * plum / 1.63, abs=6e-5)
    fig = math.log(4) * 2 / 2.81 * math.log(4) * 4 / 5.26
    assert score["d5"] == pytest.approx(fig + plum / 1.81 * plum * 1 / 2.26, abs=6e-5)


def test_titles_are_searched_and_texts_come_back_as_they_were(tmp_path):
    long = 'kiwi\n\n  é ünïcode "quoted" \\ 漢字 😀 ' + "word " * 400
    corpus = [("a", "plum tart", long), ("b", "", "\nkiwi"), ("c", "only a title", "")]
    write_beir(tmp_path / "data", corpus, [("q1", "plum"), ("q2", "kiwi"), ("q3", "title")], [("q1", "a", 1)])
    (tmp_path / "data" / "qrels" / "test.tsv").write_text("q1\ta\t1\nq2\ta\t1\nq3\tc\t1\n")
    collection = indexed(tmp_path, {"source": "beir", "path": str(tmp_path / "data")})
    rankings, passages, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=5))
    assert {ranking.qid: set(ranking.pids) for ranking in rankings} == {"q1": {"a"}, "q2": {"a", "b"}, "q3": {"c"}}
    assert passages == [Passage("a", long, "plum tart"), Passage("b", "\nkiwi", ""), Passage("c", "", "only a title")]


def test_ties_are_broken_by_id_and_cut_the_same_for_any_threads(tmp_path):
    pids = [f"p{n:02d}" for n in range(30)]
    write_beir(tmp_path / "data", [(pid, "", "kiwi plum") for pid in pids[::-1]], [("q1", "kiwi")], [("q1", "p00", 1)])
    collection = indexed(tmp_path, {"source": "beir", "path": str(tmp_path / "data")})
    for threads in (1, 2):
        settings = retrieve.Bm25(depth=7, threads=threads)
        rankings, passages, _ = retrieve.retrieve(collection, tmp_path / "index", settings)
        assert rankings[0].pids == tuple(pids[:7])
        files.write_run(tmp_path / f"{threads}.txt", rankings, "bm25")
        files.write_passages(tmp_path / f"{threads}.jsonl.gz", passages)
    assert (tmp_path / "1.txt").read_bytes() == (tmp_path / "2.txt").read_bytes()
    assert (tmp_path / "1.jsonl.gz").read_bytes() == (tmp_path / "2.jsonl.gz").read_bytes()
    scores = files.read_run(tmp_path / "1.txt")[0].scores
    assert all(high > low for high, low in itertools.pairwise(scores))


def test_excluded_ids_go_before_the_cut(tmp_path):
    folder = write_bright(tmp_path / "data")
    collection = indexed(tmp_path, {"source": "bright", "path": str(folder), "domain": "biology"})
    rankings, passages, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=2))
    found = {ranking.qid: ranking.pids for ranking in rankings}
    assert not {"insects/moth_1.txt", "insects/moth_5.txt"} & set(found["0"])
    assert len(found["0"]) == 2
    assert {passage.title for passage in passages} == {""}


def test_the_search_goes_deeper_until_enough_are_left(tmp_path):
    texts = [f"kiwi {'plum ' * n}".strip() for n in range(60)]
    corpus = [(f"p{n:02d}", "", text) for n, text in enumerate(texts)]
    write_beir(tmp_path / "data", corpus, [("q1", "kiwi")], [("q1", "p59", 1)])
    collection = indexed(tmp_path, {"source": "beir", "path": str(tmp_path / "data")})
    everything, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=100))
    order = everything[0].pids
    assert len(order) == 60
    excluded = {"q1": frozenset(order[:50])}
    strict = prepared.Collection(
        collection.name, collection.entry, collection.queries, collection.qrels, excluded, collection.description
    )
    rankings, _, _ = retrieve.retrieve(strict, tmp_path / "index", retrieve.Bm25(depth=4))
    assert rankings[0].pids == order[50:54]
    rankings, _, _ = retrieve.retrieve(strict, tmp_path / "index", retrieve.Bm25(depth=40))
    assert rankings[0].pids == order[50:]


@pytest.mark.parametrize(("same_ids", "found"), [("exclude", ("d2", "d5")), ("keep", ("d1", "d2", "d5"))])
def test_a_document_that_is_the_query_is_no_candidate(tmp_path, same_ids, found):
    collection = fruit(tmp_path, {"d1": "kiwi"}, same_ids=same_ids)
    rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=3))
    assert rankings[0].pids == found


OWN = {"d1": "kiwi", "d2": "kiwi", "d4": "plum", "d5": "fig"}


def test_more_than_a_few_documents_of_the_queries_own_ids_need_a_choice(tmp_path, caplog):
    write_beir(
        tmp_path / "data",
        [(pid, "", text) for pid, text in DOCUMENTS.items()],
        list(OWN.items()),
        [(qid, "d3", 1) for qid in OWN],
    )
    entry = {"source": "beir", "path": str(tmp_path / "data")}
    collection = indexed(tmp_path, entry)
    with pytest.raises(UserError, match=r"4 queries find a document of their own id, 'd1' first: say same_ids: keep"):
        retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=3))
    found = {}
    for choice in ("exclude", "keep"):
        collection = indexed(tmp_path, entry | {"same_ids": choice})
        rankings, _, counts = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=3))
        found[choice] = {ranking.qid: ranking.pids for ranking in rankings}, counts["own_ids_excluded"]
    assert found["exclude"] == ({"d1": ("d2", "d5"), "d2": ("d1", "d5"), "d4": ("d3", "d5")}, 4)
    assert found["keep"][0]["d1"] == ("d1", "d2", "d5") and found["keep"][0]["d5"] == ("d5",)
    assert found["keep"][1] == 0


def test_a_few_of_them_are_left_out_and_counted(tmp_path, caplog):
    collection = fruit(tmp_path, {"d2": "kiwi"})
    with caplog.at_level(logging.INFO):
        rankings, _, counts = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=3))
    assert rankings[0].pids == ("d1", "d5")
    assert counts == {"queries": 1, "without_candidates": 0, "own_ids_excluded": 1}
    assert "1 queries find a document of their own id, which is no candidate, d2 first" in caplog.text


def test_the_folder_stands_as_title_only_when_asked_for(tmp_path):
    folder = write_bright(tmp_path / "data")
    entry = {"source": "bright", "path": str(folder), "domain": "biology", "titles": "slug"}
    collection = indexed(tmp_path, entry)
    _, passages, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=2))
    assert {passage.title for passage in passages} == {"insects"}


def test_many_queries_and_very_long_ones_are_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(retrieve, "HELD", 8)
    long = " ".join(f"word{n}" for n in range(70_000))
    queries = {f"q{n}": "kiwi" for n in range(5)} | {"long": f"{long} kiwi"}
    collection = fruit(tmp_path, queries)
    rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=2, threads=2))
    assert {ranking.pids for ranking in rankings} == {("d1", "d2")}
    assert len(rankings) == 6


def test_a_query_that_finds_nothing_has_no_ranking(tmp_path, caplog):
    collection = fruit(tmp_path, {"q1": "kiwi", "q2": "the of and"})
    with caplog.at_level(logging.WARNING):
        rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=3))
    assert [ranking.qid for ranking in rankings] == ["q1"]
    assert "1 queries find no passage: q2" in caplog.text


def test_a_corpus_without_a_word_is_indexed_all_the_same(tmp_path):
    write_beir(tmp_path / "data", [("d1", "", ""), ("d2", "", "kiwi")], [("q1", "kiwi")], [("q1", "d1", 1)])
    collection = indexed(tmp_path, {"source": "beir", "path": str(tmp_path / "data")})
    rankings, _, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=3))
    assert rankings[0].pids == ("d2",)
    assert files.read_json(tmp_path / "index" / "index.json") == {"kind": "lucene", "documents": 2}


def test_a_file_that_was_replaced_under_an_older_time_stamp_is_noticed(tmp_path):
    collection = fruit(tmp_path, {"q1": "kiwi"})
    corpus = tmp_path / "data" / "corpus.jsonl"
    before = corpus.read_text()
    corpus.write_text(before.replace("kiwi mango", "kiwi melon"))
    os.utime(corpus, (1, 1))
    with pytest.raises(UserError, match=r"corpus\.jsonl: not the file that collection 'tiny' was prepared from"):
        retrieve.build_index(collection, tmp_path, 1, tmp_path / "index")
    corpus.write_text(before)
    retrieve.build_index(collection, tmp_path, 1, tmp_path / "index")


def test_what_a_killed_job_left_behind_is_cleaned(tmp_path):
    collection = fruit(tmp_path, {"q1": "kiwi"})
    (tmp_path / ".index.part" / "index").mkdir(parents=True)
    retrieve.build_index(collection, tmp_path, 1, tmp_path / "index")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collection", "data", "index"]


def test_an_index_that_is_gone_is_named(tmp_path):
    collection = fruit(tmp_path, {"q1": "kiwi"})
    files.write_json(tmp_path / "lost" / "index.json", {"kind": "prebuilt", "name": "x", "path": "cache/x"})
    with pytest.raises(UserError, match="cache/x: no such index; run build-index again"):
        retrieve.retrieve(collection, tmp_path / "lost", retrieve.Bm25())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"k1": -1}, "k1 is -1"),
        ({"b": 1.5}, "b is 1.5"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 3_000_000_000}, "depth is 3000000000; it must lie between 1 and 10000"),
        ({"k1": math.nan}, "k1 is nan"),
        ({"k1": math.inf}, "k1 is inf"),
        ({"b": math.nan}, "b is nan"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        retrieve.Bm25(**settings)


def write_run(path: Path, rows: list[tuple[str, str, int, float]]) -> None:
    path.write_text("".join(f"{qid} Q0 {pid} {rank} {score} mine\n" for qid, pid, rank, score in rows))


def test_a_ready_run_stands_in_place_of_retrieval(tmp_path):
    folder = write_beir(tmp_path / "data")
    rows = [
        ("q1", "d4", 1, 5.0),
        ("q1", "d3", 2, 5.0),
        ("q1", "d1", 3, 4.0),
        ("q2", "q2", 1, 9.0),
        ("q2", "d2", 2, 1.0),
    ]
    write_run(tmp_path / "run.txt", [*rows, ("q9", "d1", 1, 1.0)])
    entry = {"source": "run", "run": str(tmp_path / "run.txt"), "texts": {"source": "beir", "path": str(folder)}}
    collection = indexed(tmp_path, entry)
    rankings, passages, _ = retrieve.retrieve(collection, tmp_path / "index", retrieve.Bm25(depth=2))
    assert {ranking.qid: ranking.pids for ranking in rankings} == {"q1": ("d4", "d3"), "q2": ("d2",)}
    assert passages == [
        Passage("d2", "apple cherry"),
        Passage("d3", "banana banana cherry durian", "durian"),
        Passage("d4", "cherry"),
    ]
    assert set(collection.description["digests"]) == {"corpus", "topics", "qrels", "run"}
    assert next(Path(path).name for path in prepared.inputs("tiny", entry)) == "run.txt"


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([("q1", "d1", 1, 2.0), ("q1", "d1", 2, 1.0)], r"run\.txt:2: query 'q1' ranks passage 'd1' twice"),
        ([("q1", "d7", 1, 2.0)], r"passage 'd7' of the run is not among the texts"),
    ],
)
def test_a_ready_run_that_is_wrong_is_named(tmp_path, rows, complaint):
    folder = write_beir(tmp_path / "data")
    write_run(tmp_path / "run.txt", rows)
    entry = {"source": "run", "run": str(tmp_path / "run.txt"), "texts": {"source": "beir", "path": str(folder)}}
    with pytest.raises(UserError, match=complaint):
        retrieve.retrieve(indexed(tmp_path, entry), tmp_path / "index", retrieve.Bm25(depth=2))
