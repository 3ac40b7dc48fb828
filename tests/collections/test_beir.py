from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from support.collections import CORPUS, QRELS, QUERIES, write_beir

from layerrank.collections import beir
from layerrank.core.errors import UserError
from layerrank.core.records import Passage

CRANFIELD = Path(__file__).parents[3] / "shared" / "collections" / "cranfield"


def read(folder: Path):
    return beir.SOURCE.read({"source": "beir", "path": str(folder)}, folder / "unused")


def test_reads_documents_queries_and_judgements(tmp_path):
    material = read(write_beir(tmp_path))
    assert material.documents == 5
    assert [query.qid for query in material.queries] == ["q1", "q2", "q3", "q4"]
    assert material.qrels == {"q1": {"d1": 2, "d3": 0}, "q2": {"d4": 1}, "q3": {"d3": 1, "d4": -1}}
    assert material.pids == {"d1", "d2", "d3", "d4", "d5"}
    assert set(beir.SOURCE.inputs({"path": str(tmp_path)})) == {"corpus", "topics", "qrels"}


def test_keeps_titles_and_documents_without_text(tmp_path):
    passages = {row.pid: row for row in beir.SOURCE.passages({"path": str(write_beir(tmp_path))}, tmp_path)}
    assert passages["d3"] == Passage("d3", "banana banana cherry durian", "durian")
    assert passages["d5"] == Passage("d5", "", "")


def test_reads_gzipped_files_alike(tmp_path):
    plain, packed = write_beir(tmp_path / "plain"), write_beir(tmp_path / "packed")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (packed / f"{name}.gz").write_bytes(gzip.compress((packed / name).read_bytes()))
        (packed / name).unlink()
    assert read(plain).qrels == read(packed).qrels
    assert read(plain).queries == read(packed).queries
    assert read(packed).documents == 5


def test_takes_numbers_as_ids_missing_titles_and_a_file_without_a_header(tmp_path):
    folder = write_beir(tmp_path)
    (folder / "corpus.jsonl").write_text(
        '{"_id": 7, "text": "seven"}\n\n{"_id": "8", "title": null, "text": "eight"}\n'
    )
    (folder / "qrels" / "test.tsv").write_text("q1\t7\t1\r\nq1\t8\t0\r\n")
    assert read(folder).qrels == {"q1": {"7": 1, "8": 0}}
    assert [row.title for row in beir.SOURCE.passages({"path": str(folder)}, folder)] == ["", ""]


def test_another_split_is_read(tmp_path):
    folder = write_beir(tmp_path)
    (folder / "qrels" / "dev.tsv").write_text("q2\td1\t3\n")
    assert beir.SOURCE.read({"path": str(folder), "split": "dev"}, folder).qrels == {"q2": {"d1": 3}}


def test_a_repeated_judgement_is_one_judgement(tmp_path):
    material = read(write_beir(tmp_path, qrels=[*QRELS, QRELS[0]]))
    assert material.qrels["q1"] == {"d1": 2, "d3": 0}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"corpus": [*CORPUS, CORPUS[0]]}, r"corpus\.jsonl:6: document id 'd1' appears twice"),
        ({"queries": [*QUERIES, QUERIES[1]]}, r"queries\.jsonl:5: query id 'q2' appears twice"),
        ({"qrels": [("q1", "d1", "1.5")]}, r"test\.tsv:2: grade '1\.5' is not a whole number"),
        ({"qrels": [("q1", "d1", 1), ("q1", "d1", 2)]}, r"test\.tsv:3: .*judges document 'd1' twice"),
        ({"qrels": [("q1", "d1\tx\ty", 1)]}, r"test\.tsv:2: expected three fields"),
        ({"qrels": [("q1", "d 1", 1)]}, r"test\.tsv:2: document id 'd 1' is empty or has white space"),
        ({"corpus": [("d 1", "", "text")]}, r"corpus\.jsonl:1: document id 'd 1' is empty or has white space"),
        ({"corpus": [("", "", "text")]}, r"corpus\.jsonl:1: document id '' is empty"),
        ({"corpus": [("d1", "", 3)]}, r"corpus\.jsonl:1: text must be a text, got 3"),
        ({"corpus": [("d1", ["x"], "text")]}, r"corpus\.jsonl:1: title must be a text"),
        ({"corpus": [(None, "", "text")]}, r"corpus\.jsonl:1: expected one of the fields _id, id, docid"),
        ({"corpus": [("d1", "", "half \ud800")]}, r"corpus\.jsonl:1: half a character"),
        ({"corpus": []}, r"corpus\.jsonl: the corpus is empty"),
        ({"queries": [("q1", None)]}, r"queries\.jsonl:1: expected one of the fields text, query, question"),
    ],
)
def test_names_what_is_wrong(tmp_path, change, complaint):
    with pytest.raises(UserError, match=complaint):
        read(write_beir(tmp_path, **change))


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_names_a_missing_file(tmp_path, name):
    folder = write_beir(tmp_path)
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{Path(name).name}: no such file"):
        read(folder)


def test_names_a_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"'.*nowhere': no such folder"):
        read(tmp_path / "nowhere")


def test_names_the_line_of_malformed_json(tmp_path):
    folder = write_beir(tmp_path)
    with (folder / "queries.jsonl").open("a") as stream:
        stream.write('{"_id": "q5", "text": \n')
    with pytest.raises(UserError, match=r"queries\.jsonl:5: not valid JSON"):
        read(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "qrels/test.tsv"])
def test_names_a_gzip_file_that_is_cut(tmp_path, name):
    folder = write_beir(tmp_path)
    (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes())[:-9])
    (folder / name).unlink()
    with pytest.raises(UserError, match="not a whole"):
        read(folder)


@pytest.mark.skipif(not CRANFIELD.is_dir(), reason="../shared is not there")
def test_cranfield_passes_whole_with_its_two_documents_without_text():
    material = read(CRANFIELD)
    assert material.documents == 1400
    assert len(material.qrels) == 225
    assert sum(map(len, material.qrels.values())) == 1837
    empty = [row.pid for row in beir.SOURCE.passages({"path": str(CRANFIELD)}, CRANFIELD) if not row.text]
    assert empty == ["471", "995"]
