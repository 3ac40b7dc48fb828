"""The ways into the workflow: the root's Snakefile, workflow/Snakefile, a module of another workflow, odd folders."""

import os
import subprocess
import sys

import pytest
import yaml
from support import studies, warm
from support.studies import CHECKOUT

from layerrank.study import plan

SMALL = {"collections": ["pocket"], "models": ["smollm2-135m-instruct"], "first_stage": {"depth": 10}}
ODD = """ e's;u$HOME "l`t`s & |*?[x]!\\ ü#"""


def dry_run(folder, *arguments):
    """What Snakemake prints of a dry run in a folder."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--nolock", *map(str, arguments)]
    environment = os.environ | warm.environment()
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs(folder, *arguments):
    found = plan.parse_dry_run(dry_run(folder, *arguments))
    return sorted((job.rule, *sorted(job.wildcards.items())) for job in found)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A study of two lines, and the jobs that the root's Snakefile plans for it."""
    folder = tmp_path_factory.mktemp("small")
    config = folder / "mine.yaml"
    config.write_text(yaml.safe_dump(SMALL))
    return config, jobs(folder, "-s", CHECKOUT / "Snakefile", "--configfile", config)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """The jobs that the root's Snakefile plans where no study is named."""
    return jobs(tmp_path_factory.mktemp("embedded"), "-s", CHECKOUT / "Snakefile")


def test_both_entries_plan_the_embedded_study(tmp_path, embedded):
    assert len(embedded) > 100
    assert jobs(tmp_path, "-s", CHECKOUT / "workflow/Snakefile") == embedded


def test_a_study_rests_on_the_defaults_alone(small):
    assert not {rule for rule, *_ in small[1]} & {
        "select_window",
        "rerank_online",
        "rerank_windows",
        "measure_latency",
        "sensitivity",
    }
    assert {value for _, *names in small[1] for key, value in names if key == "variant"} == {"base"}


def test_a_study_that_wants_the_embedded_ones_parts_says_so(tmp_path, small, embedded):
    over = jobs(tmp_path, "-s", CHECKOUT / "Snakefile", "--configfile", CHECKOUT / "config/config.yaml", small[0])
    assert over == embedded


def test_a_setting_on_the_command_line_changes_the_embedded_study(tmp_path):
    text = dry_run(tmp_path, "-s", CHECKOUT / "Snakefile", "--config", "title=Mine", "results=elsewhere")
    assert "elsewhere/answers/mechanisms.html" in text


@pytest.mark.parametrize(
    ("prefix", "renamed", "folder"),
    [("", "", ""), ("", " as lr_*", ""), ("sub", "", "sub/"), ("sub", " as lr_*", "sub/")],
)
def test_a_module_of_another_workflow_plans_the_same(tmp_path, small, prefix, renamed, folder):
    lines = [
        "configfile: 'mine.yaml'",
        "module layerrank:",
        f"    snakefile: {str(CHECKOUT / 'workflow/Snakefile')!r}",
        "    config: config",
        *([f"    prefix: {prefix!r}"] if prefix else []),
        f"use rule * from layerrank{renamed}",
    ]
    (tmp_path / "Snakefile").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.yaml").write_text(small[0].read_text())
    assert [(rule.removeprefix("lr_"), *names) for rule, *names in jobs(tmp_path)] == small[1]
    assert f"output: {folder}results/tables/means.tsv" in dry_run(tmp_path)


def test_a_module_finds_the_collections_of_its_users_folder(tmp_path):
    studies.write_collection(tmp_path / "collection")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(studies.study_config(tmp_path)))
    (tmp_path / "Snakefile").write_text(
        f"configfile: 'mine.yaml'\nmodule layerrank:\n    snakefile: {str(CHECKOUT / 'workflow/Snakefile')!r}\n"
        "    config: config\n    prefix: 'sub'\nuse rule * from layerrank\n"
    )
    (tmp_path / "model").mkdir()
    assert "input: collection/corpus.jsonl" in dry_run(tmp_path, "sub/results/tiny/index")


def test_folders_may_be_named_as_one_likes(tmp_path):
    studies.write_collection(tmp_path / "collection")
    (tmp_path / "model").mkdir()
    results = f"results{ODD}"
    studies.write_config(tmp_path, {"results": results, "cache": f"cache{ODD}", "title": ODD})
    done = studies.snakemake(tmp_path, "--dry-run", "--printshellcmds")
    assert results in done.stdout + done.stderr
    studies.snakemake(tmp_path, "--until", "make_candidates")
    assert {path.name for path in tmp_path.iterdir()} <= {
        ".snakemake",
        "collection",
        "model",
        "study.yaml",
        results,
        f"cache{ODD}",
    }
    assert {path.name for path in (tmp_path / results / "tiny/candidates").iterdir()} == {
        f"{variant}.{ending}" for variant in ("base", "grid") for ending in ("jsonl.gz", "qrels.txt")
    }
