from __future__ import annotations

import logging

import pytest

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Ranking
from layerrank.first_stage.check import check
from layerrank.first_stage.settings import Bm25

SETTINGS = Bm25(k1=0.9, b=0.4, depth=20)


@pytest.fixture
def run(tmp_path):
    """Two judged queries: the first has its relevant passage second, the second finds nothing."""
    files.write_run(tmp_path / "run.txt", [Ranking("q1", ("x", "a"), (2.0, 1.0))], "bm25")
    files.write_qrels(tmp_path / "qrels.txt", {"q1": {"a": 1, "x": 0}, "q2": {"b": 2}})
    return tmp_path / "run.txt", tmp_path / "qrels.txt"


def entry(measures: dict[str, float], **more) -> dict:
    return {"expected": {"measures": measures, "k1": 0.9, "b": 0.4, **more}}


def test_means_are_over_all_judged_queries(run):
    outcome = check(*run, entry({"nDCG@10": 0.3155, "RR@10": 0.25, "R@20": 0.5}), SETTINGS, "error")
    assert outcome["status"] == "as expected"
    assert outcome["found"] == {"nDCG@10": 0.315465, "RR@10": 0.25, "R@20": 0.5}


def test_a_deviation_is_an_error_or_a_warning(run, caplog):
    wrong = entry({"nDCG@10": 0.4, "RR@10": 0.25})
    with pytest.raises(UserError, match=r"nDCG@10 is 0\.3155, not 0\.4000 \(config key first_stage\.check"):
        check(*run, wrong, SETTINGS, "error")
    with caplog.at_level(logging.WARNING):
        assert check(*run, wrong, SETTINGS, "warn")["status"] == "deviates"
    assert "deviates from the catalogue's expected figures" in caplog.text
    assert check(*run, wrong, SETTINGS, "off") == {"status": "off", "reason": "by policy"}


def test_the_tolerance_is_the_entry_s(run):
    assert check(*run, entry({"nDCG@10": 0.4}, tolerance=0.1), SETTINGS, "error")["status"] == "as expected"


def test_binary_measures_take_the_relevance_level(run):
    level = {**entry({"RR@10": 0.0, "nDCG@10": 0.3155}), "relevance_level": 2}
    assert check(*run, level, SETTINGS, "error")["status"] == "as expected"


@pytest.mark.parametrize(
    ("settings", "more", "reason"),
    [
        (Bm25(1.2, 0.4, 20), {}, "k1 is 1.2, expected figures are for 0.9"),
        (Bm25(0.9, 0.75, 20), {}, "b is 0.75"),
        (Bm25(0.9, 0.4, 5), {}, "depth 5 is less"),
        (SETTINGS, {"queries": 50}, "2 queries, expected figures are for 50"),
    ],
)
def test_what_cannot_be_compared_is_not(run, settings, more, reason):
    outcome = check(*run, entry({"nDCG@10": 0.9}, **more), settings, "error")
    assert outcome["status"] == "not compared"
    assert reason in outcome["reason"]


def test_measures_beyond_the_depth_are_left_out(run):
    outcome = check(*run, entry({"nDCG@10": 0.3155, "R@100": 0.9}), SETTINGS, "error")
    assert set(outcome["expected"]) == {"nDCG@10"}


def test_no_figures_no_check(run):
    assert check(*run, {"source": "beir"}, SETTINGS, "error")["status"] == "off"


def test_an_unknown_policy_is_named(run):
    with pytest.raises(UserError, match="check is 'maybe'; allowed are error, warn, off"):
        check(*run, {}, SETTINGS, "maybe")
