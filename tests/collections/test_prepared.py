from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.collections import QRELS, QUERIES, write_beir, write_bright, write_lines

from layerrank.collections import prepared
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.sampling import natural_order, sample


def prepare(tmp_path: Path, entry: dict, limit: int | None = None, seed: int = 42, output: str = "out"):
    prepared.prepare("tiny", entry, tmp_path / "cache", tmp_path / output, limit, seed)
    return prepared.load(tmp_path / output)


def beir_entry(folder: Path, **more) -> dict:
    return {"source": "beir", "path": str(folder), **more}


def test_only_judged_queries_are_kept(tmp_path):
    collection = prepare(tmp_path, beir_entry(write_beir(tmp_path / "data")))
    assert [query.qid for query in collection.queries] == ["q1", "q2", "q3"]
    assert collection.qrels == {"q1": {"d1": 2, "d3": 0}, "q2": {"d4": 1}, "q3": {"d3": 1, "d4": -1}}
    statistics = collection.description["statistics"]
    assert statistics == {
        "documents": 5,
        "judged_queries": 3,
        "judged_without_topic": 0,
        "queries": 3,
        "queries_with_own_id": 0,
        "queries_without_relevant": 0,
        "judgements": 5,
        "judgements_without_text": 0,
        "judged_documents_without_text": 0,
        "relevant": 3,
        "negative_grades": 1,
        "excluded": 0,
    }


def test_the_relevance_level_counts_relevant_judgements(tmp_path):
    collection = prepare(tmp_path, beir_entry(write_beir(tmp_path / "data"), relevance_level=2))
    assert collection.description["statistics"]["relevant"] == 1
    assert collection.description["relevance_level"] == 2


def test_a_sample_does_not_depend_on_the_order_of_the_file(tmp_path):
    forward = prepare(tmp_path, beir_entry(write_beir(tmp_path / "a")), limit=2, output="out_a")
    write_beir(tmp_path / "b", queries=QUERIES[::-1], qrels=QRELS[::-1])
    backward = prepare(tmp_path, beir_entry(tmp_path / "b"), limit=2, output="out_b")
    assert forward.queries == backward.queries
    assert len(forward.queries) == 2
    assert set(forward.qrels) == {query.qid for query in forward.queries}
    assert forward.description["sampled"] is True
    assert (tmp_path / "out_a" / "topics.jsonl").read_bytes() == (tmp_path / "out_b" / "topics.jsonl").read_bytes()


@given(st.lists(st.text(min_size=1), unique=True), st.integers(0, 9), st.integers(0, 99), st.randoms())
def test_sampling_is_stable_and_grows(qids, limit, seed, random):
    drawn = sample(qids, limit, seed)
    mixed = list(qids)
    random.shuffle(mixed)
    assert drawn == sample(mixed, limit, seed)
    assert len(drawn) == min(limit, len(qids))
    assert set(drawn) <= set(sample(qids, limit + 1, seed))
    assert drawn == sorted(drawn, key=natural_order)


def test_seeds_draw_different_samples():
    qids = [str(n) for n in range(100)]
    assert sample(qids, 10, 1) != sample(qids, 10, 2)


def test_natural_order_counts():
    assert sorted(["q10", "q2", "10", "9", "q"], key=natural_order) == ["9", "10", "q", "q2", "q10"]


def test_results_do_not_change_when_the_checkout_moves(tmp_path, monkeypatch):
    written = []
    for place in ("here", "there"):
        write_beir(tmp_path / place / "data")
        monkeypatch.chdir(tmp_path / place)
        prepared.prepare("tiny", beir_entry(Path("data")), Path("cache"), Path("out"), None, 42)
        written.append({path.name: path.read_bytes() for path in sorted(Path("out").iterdir())})
    assert written[0] == written[1]
    assert set(written[0]) == {"collection.json", "excluded.jsonl.gz", "qrels.txt", "topics.jsonl"}


def test_a_relative_path_is_sought_in_the_checkout_too(tmp_path, monkeypatch):
    write_beir(tmp_path / "checkout" / "data")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("LAYERRANK_BASE", str(tmp_path / "checkout"))
    prepared.prepare("tiny", beir_entry(Path("data")), Path("cache"), Path("out"), None, 42)
    assert json.loads(Path("out/collection.json").read_text())["entry"]["path"] == "data"


def test_what_schedules_or_describes_does_not_change_the_collection(tmp_path):
    folder = write_beir(tmp_path / "data")
    more = {
        "shards": 3,
        "label": "Tiny",
        "description": "d",
        "passage_words": 9,
        "expected": {"measures": {"nDCG@10": 0.5}},
    }
    prepare(tmp_path, beir_entry(folder), output="plain")
    prepare(tmp_path, beir_entry(folder, **more), output="more")
    assert (tmp_path / "plain" / "collection.json").read_bytes() == (tmp_path / "more" / "collection.json").read_bytes()
    assert prepared.identity("tiny", beir_entry(folder, **more)) == beir_entry(folder)
    assert prepared.inputs("tiny", beir_entry(folder)) == [
        str(folder / name) for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    ]


def test_own_id_is_forbidden_unless_ids_coincide_by_chance(tmp_path):
    folder = write_beir(tmp_path / "data")
    assert prepare(tmp_path, beir_entry(folder)).forbidden("q1") == {"q1"}
    assert prepare(tmp_path, beir_entry(folder, same_ids="keep")).forbidden("q1") == frozenset()


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("beir", r"collection 'tiny': expected a mapping of keys, got 'beir'"),
        ({"path": "x"}, r"collection 'tiny': key 'source' is missing"),
        (
            {"source": "bier", "path": "x"},
            r"source 'bier' is unknown; known are beir, bright, candidates, files, ir_datasets, pyserini, run",
        ),
        ({"source": "beir"}, r"key 'path' is missing"),
        ({"source": "beir", "path": "x", "tittles": True}, r"unknown key 'tittles'; source beir takes "),
        ({"source": "beir", "path": "x", "index": "y"}, r"unknown key 'index'"),
        ({"source": "beir", "path": "x", "instruction": "XX"}, r"instruction is 'XX'; allowed are IE, QA"),
        ({"source": "beir", "path": "x", "titles": "yes"}, r"titles is 'yes'; allowed are True, False, slug"),
        ({"source": "beir", "path": "x", "titles": 1}, r"titles is 1; allowed are"),
        ({"source": "beir", "path": "x", "same_ids": "drop"}, r"same_ids is 'drop'; allowed are exclude, keep"),
        ({"source": "beir", "path": "x", "first_stage": "tf"}, r"first_stage is 'tf'"),
        (
            {"source": "beir", "path": "x", "relevance_level": 0},
            r"relevance_level is 0; 0 is less than",
        ),
        ({"source": "run", "run": "x", "texts": {"source": "run"}}, r"texts of a run: source 'run' is unknown"),
        ({"source": "run", "run": "x", "texts": "beir"}, r"texts of a run: source 'none' is unknown"),
        ({"source": "run", "run": "x", "texts": {"source": "beir"}}, r"texts of a run: key 'path' is missing"),
        (
            {"source": "run", "run": "x", "texts": {"source": "beir", "path": "x", "titles": True}},
            r"texts of a run: unknown key 'titles'",
        ),
    ],
)
def test_names_the_key_that_is_wrong(tmp_path, entry, complaint):
    with pytest.raises(UserError, match=complaint):
        prepare(tmp_path, entry)
    assert not (tmp_path / "out").exists()


def test_no_judgements_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"collection 'tiny': no judgements"):
        prepare(tmp_path, beir_entry(write_beir(tmp_path / "data", qrels=[])))


def test_a_judged_query_without_text_is_an_error(tmp_path):
    folder = write_beir(tmp_path / "data", queries=[*QUERIES[:2], ("q3", " \n\t"), QUERIES[3]])
    with pytest.raises(UserError, match=r"the text of query 'q3' is blank"):
        prepare(tmp_path, beir_entry(folder))


def test_a_blank_query_that_nobody_judged_is_left_out(tmp_path):
    folder = write_beir(tmp_path / "data", queries=[*QUERIES, ("q5", "")])
    assert len(prepare(tmp_path, beir_entry(folder)).queries) == 3


def test_a_query_limit_must_be_positive(tmp_path):
    with pytest.raises(UserError, match="query limit 0"):
        prepare(tmp_path, beir_entry(write_beir(tmp_path / "data")), limit=0)


def test_slug_titles_warn_of_the_label_leak(tmp_path, caplog):
    folder = write_bright(tmp_path / "data")
    entry = {"source": "bright", "path": str(folder), "domain": "biology"}
    with caplog.at_level(logging.WARNING):
        prepare(tmp_path, entry)
        assert "label leak" not in caplog.text
        prepare(tmp_path, {**entry, "titles": "slug"})
    assert "label leak" in caplog.text


def test_excluded_ids_are_kept_for_the_chosen_queries(tmp_path):
    folder = write_bright(tmp_path / "data")
    collection = prepare(tmp_path, {"source": "bright", "path": str(folder), "domain": "biology"})
    assert collection.forbidden("0") == {"0", "insects/moth_1.txt", "insects/moth_5.txt"}
    assert collection.forbidden("1") == {"1"}
    assert collection.description["statistics"]["excluded"] == 2
    assert collection.qrels == {"0": {"insects/moth_2.txt": 1}, "1": {"insects/moth_3.txt": 1}}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"excluded_ids": ["insects/moth_2.txt"]}, r"'insects/moth_2\.txt' is both a gold and an excluded id"),
        ({"excluded_ids": None}, r"biology\.jsonl:1: excluded_ids must be a list, got None"),
        ({"query": 3}, r"biology\.jsonl:1: query must be a str, got 3"),
    ],
)
def test_names_what_is_wrong_with_bright_data(tmp_path, change, complaint):
    folder = write_bright(tmp_path / "data")
    examples = folder / "examples" / "biology.jsonl"
    rows = list(files.read_jsonl(examples))
    write_lines(examples, [rows[0] | change, rows[1]])
    with pytest.raises(UserError, match=complaint):
        prepare(tmp_path, {"source": "bright", "path": str(folder), "domain": "biology"})


def test_bright_parquet_files_read_alike(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = write_bright(tmp_path / "data")
    entry = {"source": "bright", "path": str(folder), "domain": "biology"}
    from_lines = prepare(tmp_path, entry)
    for kind in ("examples", "documents"):
        lines = folder / kind / "biology.jsonl"
        table = pyarrow.Table.from_pylist(list(files.read_jsonl(lines)))
        parquet.write_table(table, folder / kind / "biology-00000-of-00001.parquet")
        lines.unlink()
    from_parquet = prepare(tmp_path, entry)
    assert from_parquet.queries == from_lines.queries
    assert from_parquet.excluded == from_lines.excluded
    (folder / "examples" / "biology-00000-of-00001.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(UserError, match="not a Parquet file"):
        prepare(tmp_path, entry)


def test_digests_of_large_files_are_remembered_until_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "REMEMBERED", 1)
    path, cache = tmp_path / "file", tmp_path / "cache"
    path.write_text("one")
    first = files.remembered_digest(path, cache)
    assert first == files.file_digest(path)
    (record,) = (cache / "digests").iterdir()
    files.write_json(record, files.read_json(record) | {"digest": "remembered"})
    assert files.remembered_digest(path, cache) == "remembered"
    about = path.stat()
    path.write_text("two")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert files.remembered_digest(path, cache) == files.file_digest(path) != first
    record.write_text("damaged")
    assert files.remembered_digest(path, cache) == files.file_digest(path)
    assert files.remembered_digest(path, None) == files.file_digest(path)
