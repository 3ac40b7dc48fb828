"""The graph of the published grid, from a dry run: every cell once, indexes and signals shared where they can be."""

import collections

import pytest

from layerrank.study import plan
from layerrank.study.load import load_study
from layerrank.study.systems import systems

PAPER = plan.BASE / "config/paper.yaml"
MODELS = {"qwen3-0.6b", "qwen3-4b", "qwen3-8b", "llama-3.1-8b-instruct", "mistral-7b-instruct-v0.2"}
PUBLISHED = {"listwise-attention-all", "listwise-attention-L10-13", "listwise-attention-L18-21"} | {
    f"{framework}-{mechanism}"
    for framework in ("setwise", "listwise")
    for mechanism in ("generation", "likelihood", "attention-all")
}
LEFT_OUT = {f"{framework}-{how}" for framework in ("pointwise", "pairwise") for how in ("generation", "likelihood")}


@pytest.fixture(scope="module")
def study():
    return load_study(plan.merged_config([PAPER]), plan.BASE)


@pytest.fixture(scope="module")
def jobs():
    return plan.dry_run([PAPER], everything=True)


def of(jobs, rule):
    return [job.wildcards for job in jobs if job.rule == rule]


def test_the_grid_is_the_papers(study):
    assert set(study.models) == MODELS
    assert {"dl19", "dl20"} <= set(study.collections)
    assert len([name for name in study.collections if name.startswith("bright-")]) == 12
    assert set(systems(study, "base")) >= (PUBLISHED | LEFT_OUT)
    assert (study.config["first_stage"]["depth"], study.config["passages"]["words"]) == (100, 300)
    assert study.config["variants"] == {}


def test_every_cell_is_run_once(study, jobs):
    cells = collections.Counter(
        (names["collection"], names["model"], names["system"])
        for rule in ("rerank_cached", "rerank_online")
        for names in of(jobs, rule)
    )
    cells.update(
        (names["collection"], names["model"], f"{names['cell']}-{window}")
        for names in of(jobs, "rerank_windows")
        for window in study.config["systems"]["windows"]
    )
    wanted = {
        (collection, model, system)
        for collection in study.collections
        for model in study.models
        for system in systems(study, "base")
    }
    assert set(cells) == wanted
    assert set(cells.values()) == {1}


def test_one_index_a_collection_one_folder_a_model_one_signal_a_pair(study, jobs):
    assert sorted(names["collection"] for names in of(jobs, "build_index")) == sorted(study.collections)
    assert sorted(names["model"] for names in of(jobs, "fetch_model")) == sorted(study.models)
    shards = sum(entry.get("shards", 1) for entry in study.collections.values())
    assert len(of(jobs, "extract_attention")) == shards * len(study.models)


def test_whole_list_attention_needs_no_model(study, jobs):
    cached = {names["system"] for names in of(jobs, "rerank_cached")}
    assert {name for name in systems(study, "base") if name.startswith("listwise-attention-")} == cached


def test_every_gpu_job_has_an_estimate(study, jobs):
    lines = {line.name: line for line in plan.estimate(study, jobs)}
    assert {rule for rule, line in lines.items() if line.gpu_hours is not None} == {
        "extract_attention",
        "rerank_online",
        "rerank_windows",
        "measure_latency",
    }
    assert not any(line.unknown for line in lines.values())
    assert lines["rerank_online"].gpu_hours > lines["extract_attention"].gpu_hours > 0


def test_no_prompt_is_known_to_be_too_long(study):
    assert plan.beyond_context(study) == {}
