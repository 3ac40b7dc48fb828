"""Widths of intervals, queries for a width, and what a budget buys, on studies whose deviations are known."""

import math
import re
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import yaml

from layerrank.__main__ import main
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.evaluation.intervals import mean_interval
from layerrank.study import budget, plan
from layerrank.study.load import load_study
from layerrank.study.plan import Gpu, Job

SOURCE = {"source": "beir", "path": "nowhere", "instruction": "IE"}
MODEL = {"source": "folder", "path": "m", "family": "qwen", "gpus": 1}


def entry(queries):
    return {**SOURCE, "expected": {"k1": 0.9, "b": 0.4, "queries": queries, "measures": {"nDCG@10": 0.5}}}


@pytest.fixture
def study():
    """Three collections of 40, 400 and 4,000 queries, one model."""
    config = {
        "collections": ["small", "middle", "large"],
        "models": ["m"],
        "define": {
            "collections": {"small": entry(40), "middle": entry(400), "large": entry(4000)},
            "models": {"m": {**MODEL, "size": {"parameters": 1.0, "layers": 10, "width": 1000, "context": 10000}}},
        },
        "first_stage": {"depth": 10},
    }
    return load_study(config, plan.BASE)


JOBS = [
    Job("extract_attention", MappingProxyType({"collection": name, "model": "m", "variant": "base", "shards": "1"}))
    for name in ("small", "middle", "large")
]


def values(tmp_path, differences, collection="small"):
    """Values of two systems whose differences are those given, as `evaluate` writes them."""
    rows = [
        (collection, "m", "base", system, f"q{number}", "nDCG@10", 0.5 + share * difference, 1)
        for number, difference in enumerate(differences)
        for system, share in (("one", 1.0), ("other", 0.0))
    ]
    path = tmp_path / f"{collection}.tsv"
    pd.DataFrame(rows, columns=list(frames.VALUES)).to_csv(path, sep="\t", index=False)
    return path


def test_a_width_is_that_of_the_interval_over_as_many_queries(tmp_path):
    differences = np.random.default_rng(3).normal(0.05, 0.11, size=400)
    found = budget.measured_deviations([values(tmp_path, differences)], "nDCG@10")
    assert found["small"] == found[""] == pytest.approx(np.std(differences, ddof=1))
    interval = mean_interval(differences, resamples=5000)
    assert budget.half_width(found["small"], 400) == pytest.approx((interval.high - interval.low) / 2, rel=0.05)


def test_deviations_of_several_pairs_are_the_root_of_their_mean_square(tmp_path):
    one, other = [0.1, -0.1] * 5, [0.3, -0.3] * 5
    paths = [values(tmp_path, one, "small"), values(tmp_path, other, "middle")]
    found = budget.measured_deviations(paths, "nDCG@10")
    factor = math.sqrt(10 / 9)
    assert found["small"] == pytest.approx(0.1 * factor)
    assert found[""] == pytest.approx(math.sqrt((0.1**2 + 0.3**2) / 2) * factor)


def test_values_without_two_systems_are_refused(tmp_path):
    with pytest.raises(UserError, match="no values of AP of two systems"):
        budget.measured_deviations([values(tmp_path, [0.1, 0.2])], "AP")


@pytest.mark.parametrize("wanted", [0.5, 0.05, 0.0123, 0.004])
def test_the_queries_for_a_width_are_the_fewest(wanted):
    number = budget.queries_for(0.2, wanted)
    assert budget.half_width(0.2, number) <= wanted * (1 + 1e-6)
    assert number == 2 or budget.half_width(0.2, number - 1) > wanted


def test_the_hours_of_all_queries_are_those_of_the_plan(study):
    found = budget.shares(study, JOBS, {}, Gpu())
    hours = sum(line.gpu_hours for line in plan.estimate(study, JOBS, Gpu()))
    assert sum(share.gpu_hours for share in found) == pytest.approx(hours)
    assert [share.collection for share in found] == ["small", "middle", "large"]  # the widest interval first
    assert {share.collection: share.queries for share in found} == {"small": 40, "middle": 400, "large": 4000}


def test_a_budget_narrows_the_widest_interval(study):
    whole = sum(share.gpu_hours for share in budget.shares(study, JOBS, {}, Gpu()))
    found = {share.collection: share for share in budget.within(0.5 * whole, study, JOBS, {}, Gpu())}
    assert sum(share.gpu_hours for share in found.values()) <= 0.5 * whole
    assert found["small"].queries == 40  # it has no more
    assert found["middle"].queries == 400  # its interval is wider than that of the large one
    one_more = found["large"].queries + 1
    assert 400 < one_more - 1 < 4000
    each = found["large"].gpu_hours / found["large"].queries
    assert sum(share.gpu_hours for share in found.values()) + 2 * each > 0.5 * whole  # nothing is left over


def test_where_differences_vary_more_there_go_more_queries(study):
    deviations = {"middle": 0.1, "large": 0.3, "small": 0.01}
    whole = sum(share.gpu_hours for share in budget.shares(study, JOBS, deviations, Gpu()))
    found = {share.collection: share for share in budget.within(0.6 * whole, study, JOBS, deviations, Gpu())}
    assert found["small"].queries == budget.FEWEST
    assert found["large"].queries / found["middle"].queries == pytest.approx(9, rel=0.02)
    assert found["large"].half_width == pytest.approx(found["middle"].half_width, rel=0.02)


def test_a_large_budget_takes_all_and_a_small_one_is_refused(study):
    assert {share.queries for share in budget.within(1e9, study, JOBS, {}, Gpu())} == {40, 400, 4000}
    with pytest.raises(UserError, match=r"--budget: 0.001 hours, 10 queries of each collection take \d"):
        budget.within(0.001, study, JOBS, {}, Gpu())


def test_shards_and_a_variants_own_queries_count(study):
    def seconds(queries, **names):
        job = Job("extract_attention", {**JOBS[0].wildcards, **names})
        return plan.job_seconds(study, job).of(queries)

    start = seconds(0)
    assert seconds(40, shards="4") - start == pytest.approx((seconds(40) - start) / 4)
    assert seconds(41, shards="4") - start == pytest.approx(seconds(11) - start)


def test_lines_by_system_model_and_collection_have_the_same_sums(study):
    jobs = [*JOBS, Job("retrieve", {"collection": "small"}), Job("all")]
    lines = {by: plan.estimate(study, jobs, Gpu(), by) for by in plan.BY}
    sums = {
        by: (sum(line.jobs for line in found), sum(line.gpu_hours or 0 for line in found))
        for by, found in lines.items()
    }
    assert {jobs for jobs, _ in sums.values()} == {5}
    assert [hours for _, hours in sums.values()] == pytest.approx([sums["rule"][1]] * 4)
    assert [line.name for line in lines["collection"]] == ["large", "middle", "small", "(all)"]
    assert "100.0%" in plan.table(lines["collection"], "collection").splitlines()[-1]


def test_the_proposal_is_a_study_that_runs(study, tmp_path, monkeypatch, capsys):
    """The command writes a configuration whose plan fits the budget."""
    config = tmp_path / "study.yaml"
    names = {"collections": ["dl19", "scifact"], "models": ["qwen3-0.6b"], "queries": {"seed": 7}}
    config.write_text(yaml.safe_dump(names))
    jobs = [
        Job("extract_attention", {"collection": name, "model": "qwen3-0.6b", "variant": "base", "shards": "1"})
        for name in names["collections"]
    ]
    monkeypatch.setattr(plan, "dry_run", lambda *_, **__: jobs)
    proposed = tmp_path / "proposed.yaml"
    plain = ["plan", "--configfile"]
    assert main([*plain, str(config), "--budget", "0.07", "--write", str(proposed), "--half-width", "0.05"]) == 0
    written = yaml.safe_load(proposed.read_text())
    assert written["queries"]["seed"] == 7
    fewer = written["queries"]["fewer"]["scifact"]
    assert 43 < fewer < 300
    again = load_study(written, plan.BASE)
    assert plan.judged_queries(again, "scifact", "base") == fewer
    assert sum(line.gpu_hours for line in plan.estimate(again, jobs)) <= 0.07
    shown = capsys.readouterr().out
    assert re.search(rf"scifact +{fewer} +300 ", shown)
    assert "deviation from query to query: 0.200" in shown
    assert main([*plain, str(config), "--write", str(proposed)]) == 2


def test_a_collection_that_the_study_lacks_is_refused():
    config = {"collections": ["dl19"], "models": ["qwen3-0.6b"], "queries": {"fewer": {"nq": 10}}}
    with pytest.raises(UserError, match=r"queries\.fewer"):
        load_study(config, plan.BASE)
