"""Candidates with texts, as rank_llm keeps them: what is written is read back, in every form of file."""

import gzip
import json

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerrank.core import files, lists
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query, Ranking

ROWS = [
    Candidates(Query("q1", "naïve wings"), (Passage("d1", "air\nflows", "Wing"), Passage("d2", "bread")), (2.0, 1.0)),
    Candidates(Query("2", "yeast"), (Passage("d2", "bread"),), (1.0,)),
]
RANKINGS = [Ranking("q1", ("d2", "d1"), (0.5, -0.25)), Ranking("2", ("d2",), (3.0,))]
READ = [
    Candidates(ROWS[0].query, (ROWS[0].passages[1], ROWS[0].passages[0]), (0.5, -0.25)),
    Candidates(ROWS[1].query, ROWS[1].passages, (3.0,)),
]
OPENED = {
    "": lambda path: path.read_bytes(),
    ".gz": lambda path: gzip.decompress(path.read_bytes()),
    ".zst": lambda path: pyarrow.input_stream(str(path), compression="zstd").read(),
}


@pytest.mark.parametrize("packed", OPENED)
@pytest.mark.parametrize("form", [".jsonl", ".json"])
def test_what_is_written_is_read_back_and_is_rank_llms(tmp_path, form, packed):
    path = tmp_path / f"lists{form}{packed}"
    lists.write_lists(path, ROWS, RANKINGS)
    first = path.read_bytes()
    assert list(lists.read_lists(path)) == READ
    lists.write_lists(path, ROWS, RANKINGS)
    assert path.read_bytes() == first
    text = OPENED[packed](path).decode()
    found = json.loads(text) if form == ".json" else [json.loads(line) for line in text.splitlines()]
    assert found[0] == {
        "query": {"qid": "q1", "text": "naïve wings"},
        "candidates": [
            {"docid": "d2", "score": 0.5, "doc": {"text": "bread"}},
            {"docid": "d1", "score": -0.25, "doc": {"title": "Wing", "text": "air\nflows"}},
        ],
    }


def test_one_object_over_several_lines_is_one_query(tmp_path):
    path = tmp_path / "one.json"
    path.write_text("\n" + json.dumps({"query": {"qid": 7, "text": "x"}, "candidates": []}, indent=2))
    assert list(lists.read_lists(path)) == [Candidates(Query("7", "x"), (), ())]
    path.write_text('{\n"query": 1')
    with pytest.raises(UserError, match=r"one\.json: not valid JSON"):
        list(lists.read_lists(path))


IDS = st.text("abcdefgh0123", min_size=1, max_size=4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    st.dictionaries(IDS, st.tuples(TEXTS, TEXTS, st.floats(-1e6, 1e6)), max_size=6),
    TEXTS,
)
def test_any_texts_and_scores_come_back_in_the_order_of_a_trec_run(tmp_path_factory, found, query):
    folder = tmp_path_factory.mktemp("lists")
    passages = tuple(Passage(pid, text, title) for pid, (text, title, _) in found.items())
    scores = tuple(sorted((score for *_, score in found.values()), reverse=True))
    row = Candidates(Query("q", query), passages, tuple(0.0 for _ in passages))
    ranking = Ranking("q", tuple(found), scores)
    lists.write_lists(folder / "lists.jsonl", [row], [ranking])
    files.write_run(folder / "run.txt", [ranking], "tag")
    (read,) = lists.read_lists(folder / "lists.jsonl")
    assert (read.query, read.passages) == (row.query, passages)
    ranked = files.read_run(folder / "run.txt") or [Ranking("q", (), ())]
    told = lists.ranking_of(read)
    assert told.pids == ranked[0].pids
    assert told.scores == pytest.approx(ranked[0].scores, rel=1e-8)
