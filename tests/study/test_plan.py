import json
import math
from pathlib import Path

import pytest

from layerrank.core.errors import UserError
from layerrank.study import plan
from layerrank.study.config import Study
from layerrank.study.load import load_study
from layerrank.study.plan import Gpu, Job

PAPER = plan.BASE / "config/paper.yaml"
ONE = Gpu(tflops=1.0, bandwidth=1.0, utilisation=1.0)


@pytest.fixture(scope="module")
def paper() -> Study:
    return load_study(plan.merged_config([PAPER]), plan.BASE)


def test_a_dry_run_is_read_by_rule_and_wildcards():
    text = """Building DAG of jobs...
rule retrieve:
    output: a
    jobid: 3
    wildcards: collection=dl19
    resources: tmpdir=/tmp
[Mon]
rule rerank_online:
    wildcards: collection=dl19, model=qwen3-0.6b, variant=base, system=setwise-attention-selected-peak
localrule all:
    input: a
    jobid: 0
"""
    assert plan.parse_dry_run(text) == [
        Job("retrieve", {"collection": "dl19"}),
        Job(
            "rerank_online",
            {
                "collection": "dl19",
                "model": "qwen3-0.6b",
                "variant": "base",
                "system": "setwise-attention-selected-peak",
            },
        ),
        Job("all"),
    ]


@pytest.mark.parametrize(
    ("framework", "settings", "n", "groups"),
    [
        ("pointwise", {}, 7, {1: 7}),
        ("listwise", {"size": "whole"}, 100, {100: 1}),
        ("listwise", {"size": 20, "step": 10}, 100, {20: 9}),
        ("pairwise", {"sort": "allpair"}, 5, {2: 20}),
    ],
)
def test_groups_are_counted_by_running_the_framework(framework, settings, n, groups):
    assert dict(plan.comparisons(framework, json.dumps(settings), n)) == groups


@pytest.mark.parametrize(("children", "about"), [(2, 140), (3, 82), (9, 31)])
def test_setwise_heapsort_takes_as_many_comparisons_as_published(children, about):
    counted = sum(number for _, number in plan.comparisons("setwise", json.dumps({"c": children, "k": 10}), 100))
    assert counted == pytest.approx(about, rel=0.05)


def test_the_hours_of_an_extraction_follow_the_formula(paper):
    job = Job("extract_attention", {"collection": "dl19", "model": "qwen3-8b", "variant": "base", "shards": "1"})
    tokens = 100 * (1.4 * 56 + 10) + 100
    operations = 43 * (2 * 8.19e9 * tokens + 2 * 36 * 4096 * tokens**2)
    loading = 60 + 2 * 8.19e9 / 1e9
    assert plan.gpu_seconds(paper, job, ONE) == pytest.approx(loading + operations / 1e12)


def test_shards_split_the_queries(paper):
    wildcards = {"collection": "nq", "model": "qwen3-8b", "variant": "base"}
    whole, part = (
        plan.gpu_seconds(paper, Job("extract_attention", wildcards | {"shards": shards}), ONE) for shards in ("1", "10")
    )
    loading = 60 + 2 * 8.19
    assert (part - loading) * 10 == pytest.approx(whole - loading)


def test_the_limit_of_queries_counts(paper):
    assert plan.judged_queries(paper, "nq", "base") == 1000
    assert plan.judged_queries(paper, "dl20", "base") == 54


def test_generation_pays_for_what_it_writes_and_a_window_for_its_layers(paper):
    def seconds(system):
        names = {"collection": "dl19", "model": "qwen3-8b", "variant": "base", "system": system}
        return plan.gpu_seconds(paper, Job("rerank_online", names))

    assert seconds("setwise-generation") > seconds("setwise-likelihood")
    assert seconds("setwise-attention-selected-peak") < seconds("setwise-attention-all")


@pytest.mark.parametrize(("framework", "anew"), [("pointwise", 0.0), ("setwise", plan.READ_ANEW)])
def test_a_cells_windows_share_a_job_that_starts_once_and_reads_once_what_does_not_follow_from_scores(
    paper, framework, anew
):
    names = {"collection": "dl19", "model": "qwen3-8b", "variant": "base"}
    windows = paper.config["systems"]["windows"]
    cell = f"{framework}-attention"

    def seconds(rule, **one):
        return plan.gpu_seconds(paper, Job(rule, names | one))

    start = 60 + 2 * 8.19
    deepest, *others = sorted(
        (seconds("rerank_online", system=f"{cell}-{window}") - start for window in windows), reverse=True
    )
    assert len(others) == len(windows) - 1 > 0
    together = seconds("rerank_windows", cell=cell)
    assert together == pytest.approx(start + deepest + anew * sum(others))
    (line,) = plan.estimate(paper, [Job("rerank_windows", names | {"cell": cell})], by="system")
    assert (line.name, line.jobs) == (f"{cell}-{'+'.join(windows)}", 1)
    assert line.gpu_hours == pytest.approx(together / 3600)


@pytest.mark.parametrize(
    ("window", "share"), [(None, 1), ("all", 1), ("L10-13", 0.5), ("L20-99", 1), ("selected-peak", 0.6)]
)
def test_a_window_needs_the_layers_up_to_its_end(window, share):
    assert math.isclose(plan.layer_share(window, 28), share)


def test_every_model_with_gpus_has_a_size_to_reckon_with():
    import yaml

    catalogue = yaml.safe_load((plan.BASE / "config/models.yaml").read_text())
    assert [name for name, entry in catalogue.items() if entry.get("gpus") and "size" not in entry] == []


def test_lines_sum_up_by_rule_and_say_what_is_unknown(paper):
    names = {"collection": "dl19", "model": "qwen3-8b", "variant": "base", "shards": "1"}
    unsized = Study(
        paper.config,
        paper.collections,
        paper.models | {"new": {key: value for key, value in paper.models["qwen3-8b"].items() if key != "size"}},
    )
    jobs = [
        Job("extract_attention", names),
        Job("extract_attention", names | {"model": "new"}),
        Job("evaluate"),
        Job("all"),
    ]
    lines = plan.estimate(unsized, jobs)
    assert [(line.name, line.jobs, line.unknown) for line in lines] == [
        ("extract_attention", 2, 1),
        ("all", 1, 0),
        ("evaluate", 1, 0),
    ]
    assert lines[1].gpu_hours is None
    text = plan.table(lines)
    assert "without an estimate: 1 jobs" in text
    assert text.splitlines()[-2].split()[:2] == ["total", "4"]


def test_several_gpus_count_each():
    config = plan.merged_config([PAPER])
    config["models"] = ["llama-3.3-70b-instruct"]
    study = load_study(config, plan.BASE)
    job = Job("extract_attention", {"collection": "dl19", "model": "llama-3.3-70b-instruct", "variant": "base"})
    seconds = plan.gpu_seconds(study, job)
    assert plan.estimate(study, [job])[0].gpu_hours == pytest.approx(4 * seconds / 3600)


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        plan.merged_config([Path("nowhere.yaml")])


def test_collections_that_a_model_can_hardly_hold_are_named():
    study = plan.read_study([plan.BASE / "config/paper.yaml"])
    assert plan.beyond_context(study) == {}
    study.config["passages"]["shorter"] = {}
    found = plan.beyond_context(study)
    assert found["qwen3-4b"] == ["trec-news", "robust04", "webis-touche2020"]
    assert "nfcorpus" in found["mistral-7b-instruct-v0.2"]
    assert "llama-3.1-8b-instruct" not in found
