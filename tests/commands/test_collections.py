from __future__ import annotations

import json
from pathlib import Path

import ir_measures
import pytest
from support.collections import write_beir

from layerrank.__main__ import main
from layerrank.core import files

CRANFIELD = Path(__file__).parents[3] / "shared" / "collections" / "cranfield"


def study(folder: Path, entry: dict, *, depth: int, threads: int = 1, words: int = 100, policy: str = "error") -> Path:
    """Run the first stage by its commands, as the rules do; returns the folder."""
    about, index, run, passages = (
        str(folder / name) for name in ("collection", "index", "run.txt", "passages.jsonl.gz")
    )
    described = ["--entry", json.dumps(entry)]
    steps = [
        [
            "prepare-collection",
            "--name",
            "tiny",
            *described,
            "--seed",
            "42",
            "--query-limit",
            "None",
            "--output",
            about,
        ],
        ["build-index", "--collection", about, "--threads", str(threads), "--output", index],
        ["retrieve", "--collection", about, "--index", index, "--k1", "0.9", "--b", "0.4", "--depth", str(depth)],
        ["check-first-stage", "--run", run, "--qrels", f"{about}/qrels.txt", *described, "--k1", "0.9", "--b", "0.4"],
        ["make-candidates", "--topics", f"{about}/topics.jsonl", "--run", run, "--passages", passages, "--seed", "42"],
    ]
    steps[0] += ["--cache", str(folder / "cache")]
    steps[1] += ["--cache", str(folder / "cache")]
    steps[2] += ["--threads", str(threads), "--output", run, "--passages", passages]
    steps[3] += ["--depth", str(depth), "--policy", policy, "--output", str(folder / "check.json")]
    steps[4] += [
        "--depth",
        "2",
        "--words",
        str(words),
        "--order",
        "first-stage",
        "--titles",
        "true",
        "--query-limit",
        "2",
    ]
    steps[4] += ["--qrels", f"{about}/qrels.txt", "--output-qrels", str(folder / "cut.txt")]
    steps[4] += ["--output", str(folder / "candidates.jsonl.gz")]
    for step in steps:
        assert main(step) == 0, step
    return folder


def test_the_first_stage_from_its_commands_twice_gives_the_same_bytes(tmp_path):
    data = write_beir(tmp_path / "data")
    expected = {"measures": {"nDCG@10": 1.0}, "k1": 0.9, "b": 0.4, "queries": 3}
    entry = {"source": "beir", "path": str(data), "expected": expected}
    one = study(tmp_path / "one", entry, depth=10, threads=1, words=2)
    two = study(tmp_path / "two", entry, depth=10, threads=2, words=2)
    for name in (
        "run.txt",
        "passages.jsonl.gz",
        "candidates.jsonl.gz",
        "cut.txt",
        "check.json",
        "collection/collection.json",
    ):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert files.read_json(one / "check.json")["status"] == "as expected"
    rows = files.read_candidates(one / "candidates.jsonl.gz")
    assert len(rows) == 2
    assert set(files.read_qrels(one / "cut.txt")) == {row.query.qid for row in rows}
    assert all(len(row) <= 2 and len(passage.text.split(" ")) <= 2 for row in rows for passage in row.passages)


def test_a_wrong_entry_is_one_line_and_exit_code_two(tmp_path, capsys):
    arguments = [
        "prepare-collection",
        "--name",
        "tiny",
        "--cache",
        "c",
        "--seed",
        "1",
        "--output",
        str(tmp_path / "out"),
    ]
    for entry, complaint in (
        ("{", "layerrank prepare-collection: --entry: not valid JSON"),
        (
            '{"source": "beir", "path": "/nowhere"}',
            "layerrank prepare-collection: collection path '/nowhere': no such folder",
        ),
    ):
        assert main([*arguments, "--entry", entry]) == 2
        told = capsys.readouterr().err.strip().splitlines()
        assert len(told) == 1
        assert told[0].startswith(complaint)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not CRANFIELD.is_dir(), reason="../shared is not there")
@pytest.mark.parametrize(("same_ids", "figure"), [("exclude", 0.4939), ("keep", 0.4942)])
def test_cranfield_s_figure_stays_what_it_was(tmp_path, same_ids, figure):
    """Measured once with these commands; queries and documents are numbered independently there."""
    expected = {"measures": {"nDCG@10": figure}, "k1": 0.9, "b": 0.4, "queries": 225, "tolerance": 0.00005}
    entry = {"source": "beir", "path": str(CRANFIELD), "same_ids": same_ids, "expected": expected}
    folder = study(tmp_path, entry, depth=20, threads=2)
    assert files.read_json(folder / "check.json")["status"] == "as expected"
    qrels = ir_measures.read_trec_qrels(str(folder / "collection" / "qrels.txt"))
    run = ir_measures.read_trec_run(str(folder / "run.txt"))
    assert ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10] == pytest.approx(
        figure, abs=5e-5
    )
