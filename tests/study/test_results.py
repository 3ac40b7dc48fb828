"""Results of another study are not taken for this one's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import studies

from layerrank.collections import prepared
from layerrank.core.errors import UserError
from layerrank.study.load import load_study
from layerrank.study.results import check_results, recorded

MODEL = "smollm2-135m-instruct"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A study whose collection is prepared, and the folder of its results."""
    studies.write_collection(tmp_path / "collection")
    monkeypatch.chdir(tmp_path)
    config = {
        "collections": ["tiny"],
        "models": [MODEL],
        "define": {"collections": {"tiny": {"source": "beir", "path": "collection"}}},
    }
    study = load_study(config, studies.CHECKOUT)
    folder = tmp_path / "results/tiny/collection"
    folder.mkdir(parents=True)
    prepared.prepare("tiny", study.collections["tiny"], tmp_path / "cache", folder, None, 42)
    return config, tmp_path / "results"


def test_ones_own_results_are_taken(made):
    config, results = made
    check_results(load_study(config, studies.CHECKOUT), results)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"define": {"collections": {"tiny": {"path": "other"}}}}, "path 'collection'; this one's is 'other'"),
        ({"define": {"collections": {"tiny": {"titles": False}}}}, "titles True; this one's is False"),
        ({"queries": {"limit": 3}}, "query_limit None; this one's is 3"),
    ],
)
def test_those_of_another_study_are_refused_where_snakemake_has_no_record(made, change, words):
    config, results = made
    other = load_study(studies.lay(config, change), studies.CHECKOUT)
    with pytest.raises(UserError, match=words) as caught:
        check_results(other, results)
    assert str(results / "tiny/collection/collection.json") in str(caught.value)
    assert "config key results" in str(caught.value)


def test_snakemake_has_a_record_of_what_it_made(tmp_path):
    target = Path("results") / ("long" * 60) / "made.txt"
    (tmp_path / "Snakefile").write_text(f"rule:\n    output: {str(target)!r}\n    shell: 'touch {{output}}'\n")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert recorded(target)
        assert not recorded(target.with_name("other.txt"))
    finally:
        os.chdir(here)


def test_a_missing_input_is_refused_whatever_lies_in_the_results(made):
    config, results = made
    config["define"]["collections"]["tiny"]["path"] = "colection"
    config["results"] = str(results)
    Path("study.yaml").write_text(yaml.safe_dump(config))
    done = studies.snakemake(Path.cwd(), "--dry-run", check=False)
    said = done.stdout + done.stderr
    assert done.returncode
    assert "collections entry tiny: collection path 'colection': no such folder" in said
    assert "Traceback" not in said
