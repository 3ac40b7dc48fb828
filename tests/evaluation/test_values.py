import math

import numpy as np
import pandas as pd
import pytest

from layerrank.__main__ import main
from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query, Ranking
from layerrank.core.systems import CONTROLS
from layerrank.evaluation import values as evaluate

QRELS = {"q1": {"a": 2, "b": 1, "x": 3, "c": -2}, "q2": {"z": 1}, "q3": {"d": 1}, "007": {"e": 1}}


def row(qid, pids, scores=None):
    return Candidates(
        Query(qid, f"text of {qid}"),
        tuple(Passage(pid, f"text of {pid}") for pid in pids),
        tuple(scores or range(len(pids), 0, -1)),
    )


CANDIDATES = [row("q1", "cabu"), row("q2", "mn"), row("q3", ""), row("007", "fe")]


def value(values, system, qid, measure="nDCG@10"):
    found = values.query("system == @system and qid == @qid and measure == @measure")["value"]
    assert len(found) == 1
    return found.item()


def dcg(*gains):
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def test_values_by_hand():
    runs = {"listwise-attention-all": [Ranking.from_order("q1", "abcu"), Ranking.from_order("007", "ef")]}
    values = evaluate.evaluate(QRELS, CANDIDATES, runs, ["nDCG@10", "RR@10"])
    best = dcg(3, 2, 1)
    assert value(values, "bm25", "q1") == pytest.approx(dcg(0, 2, 1) / best)
    assert value(values, "listwise-attention-all", "q1") == pytest.approx(dcg(2, 1) / best)
    assert value(values, "ceiling", "q1") == pytest.approx(dcg(2, 1) / best)
    assert value(values, "bm25", "007", "RR@10") == 0.5
    assert value(values, "listwise-attention-all", "007", "RR@10") == 1.0


def test_every_judged_query_counts_for_every_system():
    runs = {"s-one": [Ranking.from_order("q1", "abcu")]}
    values = evaluate.evaluate(QRELS, CANDIDATES, runs, ["nDCG@10", "Judged@10"])
    assert set(values["system"]) == {"bm25", "s-one", *CONTROLS, "ceiling"}
    for _, group in values.groupby(["system", "measure"]):
        assert sorted(group["qid"]) == sorted(QRELS)
    assert value(values, "s-one", "007") == value(values, "s-one", "q3") == value(values, "ceiling", "q3") == 0.0
    reachable = values.drop_duplicates("qid").set_index("qid")["has_relevant_candidate"]
    assert reachable.to_dict() == {"q1": 1, "q2": 0, "q3": 0, "007": 1}


def test_negative_grade_is_judged_and_not_relevant():
    values = evaluate.evaluate({"q1": {"c": -2, "a": 1}}, [row("q1", "ca")], {}, ["nDCG@10", "Judged@2", "P@1", "AP"])
    assert value(values, "bm25", "q1", "Judged@2") == 1.0
    assert value(values, "bm25", "q1", "P@1") == 0.0
    assert value(values, "bm25", "q1") == pytest.approx(1 / math.log2(3))
    only_negative = evaluate.evaluate({"q1": {"c": -1}}, [row("q1", "c")], {}, ["nDCG@10"])
    assert set(only_negative["has_relevant_candidate"]) == {0}


def test_relevance_level_concerns_binary_measures_and_relevant_candidates_only():
    names = ["nDCG@10", "RR@10", "RR(rel=3)@10"]
    plain = evaluate.evaluate(QRELS, CANDIDATES, {}, names)
    strict = evaluate.evaluate(QRELS, CANDIDATES, {}, names, relevance_level=2)
    assert list(strict["measure"].unique()) == names
    assert value(strict, "bm25", "q1", "nDCG@10") == value(plain, "bm25", "q1", "nDCG@10")
    assert value(strict, "bm25", "q1", "RR@10") == 0.5 and value(strict, "bm25", "007", "RR@10") == 0.0
    assert value(plain, "bm25", "007", "RR@10") == 0.5
    assert value(strict, "bm25", "q1", "RR(rel=3)@10") == 0.0
    assert set(strict.query("has_relevant_candidate == 1")["qid"]) == {"q1"}


def test_first_stage_goes_by_its_scores_and_not_by_the_input_order():
    shuffled = row("q1", "buca", scores=[2.0, 1.0, 4.0, 3.0])
    assert evaluate.first_stage(shuffled).pids == tuple("cabu")


def test_query_without_candidates_counts_and_query_without_judgements_does_not():
    values = evaluate.evaluate(QRELS, [*CANDIDATES[:2], row("unjudged", "a")], {}, ["nDCG@10"])
    assert set(values["qid"]) == set(QRELS)
    assert value(values, "bm25", "007") == value(values, "ceiling", "007") == 0.0


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({"s": [Ranking.from_order("q1", "abz")]}, "query q1 ranks z"),
        ({"s": [Ranking.from_order("q9", "a")]}, "query q9 is not among"),
        ({"bm25": []}, "reserved"),
        ({"ceiling": []}, "reserved"),
    ],
)
def test_wrong_runs_are_refused(runs, words):
    with pytest.raises(UserError, match=words):
        evaluate.evaluate(QRELS, CANDIDATES, runs, ["nDCG@10"])


def test_unknown_measure_and_unjudged_queries_are_refused():
    with pytest.raises(UserError, match="nDGC"):
        evaluate.evaluate(QRELS, CANDIDATES, {}, ["nDGC@10"])
    with pytest.raises(UserError, match="judged"):
        evaluate.evaluate({}, CANDIDATES, {}, ["nDCG@10"])


def test_means_give_both_denominators_and_the_ceiling():
    values = pd.DataFrame(
        [
            ("c", "m", "base", system, qid, "nDCG@10", score, reachable)
            for system, scores in {"bm25": (0.5, 0.0, 0.0, 0.1), "ceiling": (1.0, 0.0, 0.0, 0.6)}.items()
            for qid, score, reachable in zip("abcd", scores, (1, 0, 0, 1), strict=True)
        ],
        columns=frames.VALUES,
    )
    means = evaluate.aggregate(values, seed=1, resamples=500)
    first = means.iloc[0]
    assert first["mean"] == pytest.approx(0.15) and first["queries"] == 4
    assert first["mean_with_relevant_candidate"] == pytest.approx(0.3)
    assert first["queries_with_relevant_candidate"] == 2
    assert first["ceiling"] == pytest.approx(0.4)
    assert 0.0 <= first["low"] <= 0.15 <= first["high"] <= 0.5
    pd.testing.assert_frame_equal(means, evaluate.aggregate(values, seed=1, resamples=500))


def test_no_query_with_a_relevant_candidate_leaves_that_mean_empty():
    values = evaluate.evaluate({"q2": {"z": 1}, "q3": {"d": 1}}, CANDIDATES, {}, ["nDCG@10"])
    means = evaluate.aggregate(frames.in_cell(values, frames.VALUES, "c", "m"), seed=1, resamples=100)
    assert set(means["mean"]) == {0.0}
    assert np.isnan(means["mean_with_relevant_candidate"]).all()
    assert set(means["queries_with_relevant_candidate"]) == {0}


def test_command_line_keeps_names_and_bytes(tmp_path):
    files.write_qrels(tmp_path / "qrels.txt", QRELS | {"NA": {"a": 1}})
    files.write_candidates(tmp_path / "c.jsonl.gz", [*CANDIDATES, row("NA", "ba")])
    files.write_run(tmp_path / "run.txt", [Ranking.from_order("NA", "ab")], "s-one")
    command = ["evaluate", "--collection", "1984", "--model", "m", "--measures", "nDCG@10", "RR@10"]
    command += ["--qrels", f"{tmp_path}/qrels.txt", "--candidates", f"{tmp_path}/c.jsonl.gz"]
    for name in ("one.tsv", "two.tsv"):
        assert main([*command, "--runs", f"s-one={tmp_path}/run.txt", "--output", f"{tmp_path}/{name}"]) == 0
    assert (tmp_path / "one.tsv").read_bytes() == (tmp_path / "two.tsv").read_bytes()
    values = frames.read_values([tmp_path / "one.tsv"])
    assert set(values["qid"]) == {*QRELS, "NA"} and set(values["collection"]) == {"1984"}
    assert value(values, "s-one", "NA") == 1.0
    aggregate = ["aggregate", "--evaluations", f"{tmp_path}/one.tsv", "--output", f"{tmp_path}/means.tsv"]
    assert main([*aggregate, "--resamples", "100"]) == 0
    means = frames.read_means([tmp_path / "means.tsv"])
    assert list(means["system"].unique()) == ["bm25", "s-one", *CONTROLS, "ceiling"]
    assert main([*aggregate, "--evaluations", f"{tmp_path}/one.tsv", f"{tmp_path}/two.tsv"]) == 2


def test_run_that_ranks_a_stranger_ends_in_one_line(tmp_path, capsys):
    files.write_qrels(tmp_path / "qrels.txt", QRELS)
    files.write_candidates(tmp_path / "c.jsonl.gz", CANDIDATES)
    files.write_run(tmp_path / "run.txt", [Ranking.from_order("q1", ["nowhere"])], "s")
    command = ["evaluate", "--collection", "c", "--model", "m", "--measures", "nDCG@10"]
    command += ["--qrels", f"{tmp_path}/qrels.txt", "--candidates", f"{tmp_path}/c.jsonl.gz"]
    assert main([*command, "--runs", f"s={tmp_path}/run.txt", "--output", f"{tmp_path}/out.tsv"]) == 2
    assert "query q1 ranks nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out.tsv").exists()


def test_tables_that_are_none_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        frames.read_means([tmp_path / "absent.tsv"])
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(UserError, match=r"empty\.tsv"):
        frames.read_means([tmp_path / "empty.tsv"])
    (tmp_path / "other.tsv").write_text("system\tvalue\nbm25\t1\n")
    with pytest.raises(UserError, match="lacks the column collection"):
        frames.read_means([tmp_path / "other.tsv"])
