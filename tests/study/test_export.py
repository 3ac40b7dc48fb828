"""A folder to publish: what it holds, that it verifies, and that nothing that was changed in it does."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from layerrank.__main__ import main
from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Cost, Passage, Query, Ranking
from layerrank.evaluation import values
from layerrank.study import export as exporting
from layerrank.study import manifest
from layerrank.study.export import verify, verify_against
from layerrank.study.load import load_study
from layerrank.study.paths import paths_of

BASE = Path(__file__).parents[2]
MODEL = "smollm2-135m-instruct"
CONFIG = {
    "title": "Two queries",
    "collections": ["pocket"],
    "models": [MODEL],
    "evaluation": {"measures": ["nDCG@10", "RR@10"]},
    "systems": {
        "frameworks": {"pointwise": {}},
        "mechanisms": {"likelihood": {}},
        "trained": {"qwen3-reranker-0.6b": {"passage_tokens": 64}},
    },
}
RUNS = {
    "listwise-attention-all": "abc",
    "pointwise-likelihood": "bca",
    "trained-qwen3-reranker-0.6b": "cab",
}


def evaluated(qrels, rows, runs, study):
    measured = values.evaluate(qrels, rows, runs, study.config["evaluation"]["measures"], 1, 42)
    return values.aggregate(frames.in_cell(measured, frames.VALUES, "pocket", MODEL, "base"), 42, 100)


def write_results(folder, orders=RUNS):
    """Results of a study as its rules leave them, with made-up runs."""
    study = load_study(CONFIG, BASE)
    rows = [
        Candidates(Query(qid, "what"), tuple(Passage(pid, f"text {pid}") for pid in "abc"), (3.0, 2.0, 1.0))
        for qid in ("q1", "q2")
    ]
    qrels = {"q1": {"b": 2, "c": 1}, "q2": {"a": 1}}
    files.write_candidates(folder / "pocket/candidates/base.jsonl.gz", rows)
    files.write_qrels(folder / "pocket/candidates/base.qrels.txt", qrels)
    runs = {name: [Ranking.from_order(qid, order) for qid in ("q1", "q2")] for name, order in orders.items()}
    for name, rankings in runs.items():
        path = folder / "pocket" / MODEL / "runs" / "base" / f"{name}.txt"
        if name.startswith("trained-"):
            path = folder / "pocket/trained/base" / f"{name.removeprefix('trained-')}.txt"
        files.write_run(path, rankings, name)
        files.write_costs(path.with_suffix(".costs.jsonl"), [Cost("q1"), Cost("q2")])
    frames.write_frame(folder / "tables/means.tsv", evaluated(qrels, rows, runs, study))
    document = manifest.manifest(
        json.loads(paths_of(study, BASE, folder).report.settings),
        {"pocket": {"digests": {"corpus": "ab" * 32}, "statistics": {"queries": 2}}},
        {
            name: {"name": name, "source": "hub", "revision": "0" * 40, "digest": "cd" * 32}
            for name in (MODEL, "qwen3-reranker-0.6b")
        },
        [],
        [folder / "tables/means.tsv"],
        folder,
    )
    files.write_json(folder / "manifest.json", document)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("study") / "results")


@pytest.fixture(scope="module")
def published(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("public") / "folder"
    assert exporting.export(results, folder, ir_metadata=True) == 3
    return folder


@pytest.fixture
def folder(published, tmp_path):
    return shutil.copytree(published, tmp_path / "folder")


def test_it_holds_all_that_its_figures_need(published, results):
    assert sorted(path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()) == sorted(
        [
            *("README.md", "expected.json", "manifest.json", "study.yaml"),
            *("pocket/candidates/base.jsonl.gz", "pocket/candidates/base.qrels.txt"),
            *(f"pocket/{MODEL}/base/{name}.{end}" for name in list(RUNS)[:2] for end in ("txt", "costs.jsonl")),
            *(f"pocket/trained/base/{list(RUNS)[2]}.{end}" for end in ("txt", "costs.jsonl")),
        ]
    )
    page = (published / "README.md").read_text()
    assert "# Two queries" in page and "snakemake --cores 2 --configfile path/to/this/study.yaml" in page
    assert "| Pointwise, trained: qwen3-reranker-0.6b (`trained-qwen3-reranker-0.6b`) | " in page
    means = frames.read_means([results / "tables/means.tsv"])
    for row in means.itertuples():
        assert f"{row.mean:.6f}" in page


def test_its_study_is_the_one_that_was_run(published):
    told = yaml.safe_load((published / "study.yaml").read_text())
    study, first = load_study(told, BASE), load_study(CONFIG, BASE)
    for key in first.config.keys() - {"define"}:
        assert study.config[key] == first.config[key]
    assert (study.collections, study.models, study.trained) == (first.collections, first.models, first.trained)


def test_a_folder_verifies_by_itself_and_against_the_same_results(published, results, capsys):
    found = verify(published)
    assert found.figures == 2 * (len(RUNS) + 5) and found.difference <= 1e-6
    assert verify_against(published, results).difference == 0
    assert main(["verify", str(published)]) == 0
    assert "16 figures computed again from runs and judgements hold" in capsys.readouterr().out


def digest_again(folder, name):
    """What someone does who changes a file and its digest with it."""
    expected = files.read_object(folder / "expected.json")
    expected["files"][name] = files.file_digest(folder / name)
    files.write_json(folder / "expected.json", expected)


def digits(text):
    return [match.start() for match in re.finditer(r"\d", text)]


NAMES = [
    "README.md",
    "manifest.json",
    "study.yaml",
    "pocket/candidates/base.qrels.txt",
    f"pocket/{MODEL}/base/listwise-attention-all.txt",
    f"pocket/{MODEL}/base/listwise-attention-all.costs.jsonl",
    "pocket/trained/base/trained-qwen3-reranker-0.6b.txt",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_digit_does_not_verify(folder, name):
    text = (folder / name).read_text()
    place = digits(text)[len(digits(text)) // 2]
    (folder / name).write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
    with pytest.raises(UserError, match=re.escape(f"{folder / name}: not as it was exported")):
        verify(folder)


def test_no_digit_of_the_expected_figures_can_change(folder):
    path = folder / "expected.json"
    whole, page = files.read_object(path), (folder / "README.md").read_text()
    for place, row in enumerate(whole["figures"]):
        changed = json.loads(json.dumps(whole))
        changed["figures"][place][5] = row[5] - 0.00001 if row[5] > 0.5 else row[5] + 0.00001
        files.write_json(path, changed)
        files.write_text(folder / "README.md", page)
        with pytest.raises(UserError, match=r"README\.md: it states other figures"):
            verify(folder)
        files.write_text(folder / "README.md", exporting.readme(changed, files.read_object(folder / "manifest.json")))
        digest_again(folder, "README.md")
        with pytest.raises(
            UserError, match=rf"{re.escape(row[3])} on pocket .*: {re.escape(row[4])} is .*, expected .* within 1e-06"
        ):
            verify(folder)
    files.write_json(path, {**whole, "tolerance": 0.5})
    files.write_text(folder / "README.md", page)
    with pytest.raises(UserError, match=r"other figures, or another tolerance"):
        verify(folder)


def test_a_run_that_ranks_otherwise_does_not_verify_with_its_digest_renewed(folder):
    name = f"pocket/{MODEL}/base/pointwise-likelihood.txt"
    files.write_run(folder / name, [Ranking.from_order(qid, "abc") for qid in ("q1", "q2")], "x")
    digest_again(folder, name)
    with pytest.raises(UserError, match=r"pointwise-likelihood on pocket \(.*, base\): nDCG@10 is 0\.\d+, expected"):
        verify(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "pocket/candidates/base.jsonl.gz").unlink(), "no such file, but expected.json names"),
        (lambda folder: (folder / "expected.json").unlink(), "no exported folder: it lacks expected.json"),
        (lambda folder: (folder / "expected.json").write_text("[]"), "expected a JSON object"),
        (lambda folder: (folder / "expected.json").write_text('{"format": 9}'), "format 9: expected 1"),
        (lambda folder: (folder / "expected.json").write_text('{"format": 1}'), "tolerance must be a finite number"),
        (
            lambda folder: (folder / "expected.json").write_text('{"format": 1, "tolerance": 0}'),
            "key 'files' is missing or no object",
        ),
        (
            lambda folder: (folder / "expected.json").write_text('{"format": 1, "tolerance": 0, "files": {}}'),
            "key 'files' lacks manifest.json",
        ),
    ],
)
def test_what_is_no_whole_folder_is_said_in_one_line(folder, change, words, capsys):
    change(folder)
    assert main(["verify", str(folder)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_a_fresh_run_is_held_within_the_tolerance(published, results, tmp_path):
    fresh = shutil.copytree(results, tmp_path / "results")
    means = frames.read_means([fresh / "tables/means.tsv"])
    means.loc[means["system"] == "pointwise-likelihood", "mean"] += 0.0009
    frames.write_frame(fresh / "tables/means.tsv", means)
    found = verify_against(published, fresh)
    assert found.difference == pytest.approx(0.0009) and found.at[3] == "pointwise-likelihood"
    means.loc[means["system"] == "pointwise-likelihood", "mean"] += 0.0002
    frames.write_frame(fresh / "tables/means.tsv", means)
    with pytest.raises(UserError, match=r"pointwise-likelihood on pocket .*: nDCG@10 is .* within 0\.001"):
        verify_against(published, fresh)
    frames.write_frame(fresh / "tables/means.tsv", means[means["system"] != "pointwise-likelihood"])
    with pytest.raises(UserError, match=r"pointwise-likelihood .* is expected to be .*, and is not there"):
        verify_against(published, fresh)


def test_results_that_are_not_whole_are_refused(results, tmp_path, capsys):
    broken = shutil.copytree(results, tmp_path / "results")
    (broken / "pocket" / MODEL / "runs/base/pointwise-likelihood.costs.jsonl").unlink()
    assert main(["export", "--results", str(broken), "--output", str(tmp_path / "out")]) == 2
    assert "pointwise-likelihood.costs.jsonl: no such file: run the study to its end" in capsys.readouterr().err
    assert main(["export", "--results", str(results), "--output", str(tmp_path / "out")]) == 2
    assert "the folder is not empty: name a new one" in capsys.readouterr().err
    (broken / "manifest.json").write_text("{}")
    assert main(["export", "--results", str(broken), "--output", str(tmp_path / "other")]) == 2
    assert "no manifest of a study" in capsys.readouterr().err


def test_a_header_of_ir_metadata_says_what_the_manifest_knows_and_is_passed_over(published, results):
    path = published / "pocket/trained/base/trained-qwen3-reranker-0.6b.txt"
    text = path.read_text()
    header, _, run = text.partition("# ir_metadata.end\n")
    lines = header.splitlines()
    assert lines[0] == "# ir_metadata.start"
    told = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[1:]))
    assert told["tag"] == "trained-qwen3-reranker-0.6b"
    assert told["method"]["retrieval"] == [{"name": "bm25", "method": "BM25", "k1": 0.9, "b": 0.4}]
    (reranking,) = told["method"]["reranking"]
    assert reranking["method"] == {
        "framework": "pointwise",
        "mechanism": "likelihood",
        "prompt": "qwen3_reranker",
        "passage_tokens": 64,
    }
    assert reranking["model"]["name"] == "qwen3-reranker-0.6b"
    assert told["data"]["test collection"]["digests"] == {"corpus": "ab" * 32}
    assert told.keys() == {"tag", "platform", "implementation", "method", "data"}  # nobody's name, nothing not known
    source = results / "pocket/trained/base/qwen3-reranker-0.6b.txt"
    assert run == source.read_text() and files.read_run(path) == files.read_run(source)


def test_a_comment_elsewhere_is_no_header(tmp_path):
    (tmp_path / "run.txt").write_text("q1 Q0 d1 1 2.0 x\n# ir_metadata.start\n")
    with pytest.raises(UserError, match=r"run\.txt:2: expected 'qid Q0 pid rank score tag'"):
        files.read_run(tmp_path / "run.txt")
