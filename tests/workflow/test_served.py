"""One study, one configuration: attention of a model at hand beside generation and likelihood of it, served."""

import json
import re
import shutil

import pytest
from support import studies
from support.llama import why_not
from support.served import served_study

from layerrank.core import files

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

FRAMEWORKS = ("pointwise", "pairwise", "setwise", "listwise")
CELLS = [f"{framework}-{mechanism}" for framework in FRAMEWORKS for mechanism in ("generation", "likelihood")]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    served_study(folder)
    return folder


def runs_of(folder, model):
    return {path.stem for path in (folder / f"results/tiny/{model}/runs/base").glob("*.txt")}


def test_what_a_served_model_lacks_is_not_planned(study):
    text = studies.snakemake(study, "--dry-run").stdout
    jobs = re.findall(r"^rule (\w+):|^localrule (\w+):|wildcards: (.*)$", text, flags=re.MULTILINE)
    rules = {}
    for rule, local, wildcards in jobs:
        if rule or local:
            name = rule or local
        elif "model=served" in wildcards:
            rules.setdefault(name, []).append(wildcards)
    assert {name: len(found) for name, found in rules.items()} == {
        "fetch_model": 1,
        "try_server": 1,
        "rerank_online": len(CELLS),
        "evaluate": 1,
        "summarise_costs": 1,
        "plot_pareto": 1,
    }
    assert not any("attention" in wildcards for wildcards in rules["rerank_online"])


def test_one_configuration_runs_attention_here_and_the_other_mechanisms_there(study):
    targets = ["results/tables/grid.html", "results/tables/effectiveness.base.html", "results/tables/costs.html"]
    studies.snakemake(study, *targets, "results/manifest.json")
    assert runs_of(study, "served") == set(CELLS)
    assert runs_of(study, "random") >= {*CELLS, "listwise-attention-all", "setwise-attention-all"}
    for cell in CELLS:
        here, there = (
            files.read_run(study / f"results/tiny/{model}/runs/base/{cell}.txt") for model in ("random", "served")
        )
        assert [ranking.pids for ranking in there] == [ranking.pids for ranking in here], cell
    table = (study / "results/tables/effectiveness.base.html").read_text()
    assert "served is served (completions): it has no attention cells, windows or layers." in table
    manifest = json.loads((study / "results/manifest.json").read_text())
    assert manifest["models"]["served"]["server"]["engine"] == "llama.cpp"
    assert "model.gguf" not in json.dumps(manifest["study"])
    assert not studies.planned(study, *targets)
    # Another address, or more at once, is nothing that a result depends on.
    moved = study / "study.yaml"
    moved.write_text(moved.read_text().replace("wait: 120", "wait: 121"))
    assert not studies.planned(study, *targets, "results/manifest.json")


def test_another_server_than_was_tried_ends_a_cell_with_one_line(study, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(study, folder, symlinks=True)
    trial = folder / "results/models/served.json"
    if not trial.exists():
        pytest.skip("the study has not run")
    trial.write_text(json.dumps({**json.loads(trial.read_text()), "version": "another"}))
    cell = "results/tiny/served/runs/base/pointwise-generation.txt"
    done = studies.snakemake(folder, cell, "--forcerun", "rerank_online", check=False)
    assert done.returncode
    log = (folder / "results/logs/tiny/served/rerank_online.base.pointwise-generation.log").read_text()
    assert "the trial was of llama.cpp another" in log
