from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ugly import FILES, write_files

from layerrank.core.errors import UserError
from layerrank.core.records import Passage, Query, Ranking
from layerrank.first_stage import candidates
from layerrank.first_stage.candidates import CandidateSettings, cut_words, make_candidates

QUERIES = [Query("q1", "one"), Query("q2", "two")]
RUN = [Ranking("q1", ("a", "b", "c"), (3.0, 2.0, 1.0)), Ranking("q2", ("c",), (9.0,))]
PASSAGES = {name: Passage(name, f"{name} one two three", f"title of {name}") for name in "abc"}


def test_cuts_depth_and_words_but_not_the_title():
    rows = make_candidates(QUERIES, RUN, PASSAGES, CandidateSettings(depth=2, words=2))
    assert [(row.query.qid, [passage.pid for passage in row.passages], row.scores) for row in rows] == [
        ("q1", ["a", "b"], (3.0, 2.0)),
        ("q2", ["c"], (9.0,)),
    ]
    assert rows[0].passages[0] == Passage("a", "a one", "title of a")


@pytest.mark.parametrize(
    ("text", "words", "cut"),
    [
        ("a b c", 2, "a b"),
        ("a b", 2, "a b"),
        ("a  b c", 2, "a "),
        (" a b", 2, " a"),
        ("a\nb c\td e", 2, "a\nb c\td"),
        ("", 2, ""),
        ("a ", 1, "a"),
    ],
)
def test_words_are_what_single_spaces_separate(text, words, cut):
    assert cut_words(text, words) == cut


@given(st.text(alphabet="ab \n\u00a0", max_size=40), st.integers(1, 8))
def test_a_cut_text_begins_the_text_and_cutting_again_changes_nothing(text, words):
    cut = cut_words(text, words)
    assert text.startswith(cut)
    assert cut_words(cut, words) == cut
    assert cut.count(" ") < words


def test_orders_keep_each_score_with_its_passage():
    for order in candidates.ORDERS:
        row = make_candidates(QUERIES, RUN, PASSAGES, CandidateSettings(3, 9, order, seed=5))[0]
        assert {passage.pid: score for passage, score in zip(row.passages, row.scores, strict=True)} == {
            "a": 3.0,
            "b": 2.0,
            "c": 1.0,
        }
    reverse = make_candidates(QUERIES, RUN, PASSAGES, CandidateSettings(2, 9, "reversed"))[0]
    assert [passage.pid for passage in reverse.passages] == ["b", "a"]


def test_the_shuffle_depends_on_the_seed_and_the_query_alone():
    pids = tuple(str(n) for n in range(20))
    passages = {pid: Passage(pid, "text") for pid in pids}
    scores = tuple(float(20 - n) for n in range(20))
    run = [Ranking(qid, pids, scores) for qid in ("q1", "q2")]

    def orders(queries, seed):
        rows = make_candidates(queries, run, passages, CandidateSettings(20, 9, "shuffled", seed))
        return {row.query.qid: [passage.pid for passage in row.passages] for row in rows}

    both = orders(QUERIES, 1)
    assert both == orders(QUERIES[::-1], 1)
    assert both["q1"] != both["q2"] != list(pids)
    assert both["q1"] != orders(QUERIES, 2)["q1"]
    assert sorted(both["q1"]) == sorted(pids)


def test_titles_can_be_left_out():
    row = make_candidates(QUERIES, RUN, PASSAGES, CandidateSettings(3, 9, titles=False))[0]
    assert {passage.title for passage in row.passages} == {""}


def test_a_query_without_candidates_is_left_out_and_told(caplog):
    with caplog.at_level(logging.INFO):
        rows = make_candidates([*QUERIES, Query("q3", "three")], RUN, PASSAGES, CandidateSettings(3, 2))
    assert [row.query.qid for row in rows] == ["q1", "q2"]
    assert "1 queries have no candidates and are left out, q3 first" in caplog.text
    assert "4 candidates, 4 cut to 2 words" in caplog.text


def test_a_passage_without_text_is_named():
    with pytest.raises(UserError, match="query 'q1': passage 'b' of the run has no text"):
        make_candidates(QUERIES, RUN, {"a": PASSAGES["a"]}, CandidateSettings(3, 2))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"depth": 0, "words": 1}, "depth is 0"),
        ({"depth": 1, "words": 0}, "words is 0"),
        (
            {"depth": 1, "words": 1, "order": "best"},
            "order 'best' is unknown; known are first-stage, reversed, shuffled",
        ),
    ],
)
def test_settings_out_of_range_are_named(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        CandidateSettings(**settings)


def test_a_run_with_its_texts(tmp_path, caplog):
    folder = write_files(tmp_path, {"run.txt": FILES["run.txt"] + b"q9 Q0 d1 1 1.0 x\n"})
    rows = candidates.candidates_of_run(
        folder / "run.txt", folder / "queries.jsonl", folder / "corpus.jsonl", depth=1, words=1
    )
    assert [(row.query.qid, row.passages, row.scores) for row in rows] == [
        ("q1", (Passage("d2", "apple"),), (2.5,)),
        ("q2", (Passage("d3", "cherry"),), (7.0,)),
    ]
    assert "1 queries of the run have no topic and are left out, q9 first" in caplog.text


@pytest.mark.parametrize(
    ("changes", "settings", "complaint"),
    [
        ({}, {"words": 0}, r"words is 0; it must be at least 1"),
        ({}, {"depth": 0}, r"depth is 0; it must be at least 1"),
        ({"run.txt": b""}, {}, r"run\.txt: no query is ranked"),
        ({"queries.jsonl": b'{"_id": "x", "text": "x"}\n'}, {}, r"none of its 2 queries is in .*queries\.jsonl, 'q1'"),
        ({"queries.jsonl": b'{"_id": "q1", "text": " "}\n'}, {}, r"the text of query 'q1' is blank"),
        ({"corpus.jsonl": b'{"_id": "d1", "text": "x"}\n'}, {}, r"query 'q1': passage 'd2' of the run has no text"),
        (
            {"corpus.jsonl": FILES["corpus.jsonl"] + b'{"_id": "d1", "text": "another"}\n'},
            {},
            r"corpus\.jsonl:5: document id 'd1' appears twice",
        ),
    ],
)
def test_a_run_with_its_texts_that_is_wrong_is_named(tmp_path, changes, settings, complaint):
    folder = write_files(tmp_path, changes)
    with pytest.raises(UserError, match=complaint):
        candidates.candidates_of_run(folder / "run.txt", folder / "queries.jsonl", folder / "corpus.jsonl", **settings)


def test_samples_of_queries():
    queries = [Query(f"q{n}", "text") for n in range(20)]
    drawn = candidates.sample_queries(queries, 5, 3)
    assert drawn == candidates.sample_queries(queries[::-1], 5, 3)
    assert len(drawn) == 5
    assert candidates.sample_queries(queries, None, 3) == queries
    with pytest.raises(UserError, match="query limit 0"):
        candidates.sample_queries(queries, 0, 3)
