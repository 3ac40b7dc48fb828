"""Controls and audit on a case small enough to do by hand."""

import numpy as np
import pytest

from layerrank.core import files, frames
from layerrank.core.records import Candidates, Passage, Query, Ranking
from layerrank.core.systems import CONTROLS, parse_system
from layerrank.evaluation import audit, compare, controls, sensitivity, values

ROW = Candidates(Query("q1", "?"), tuple(Passage(pid, "text") for pid in "abcd"), (4.0, 3.0, 2.0, 1.0))
QRELS = {"q1": {"a": 0, "b": 1, "d": 1}}
MEASURES = ["P@2", "RR"]


def evaluated(row=ROW, **runs):
    table = values.evaluate(QRELS, [row], runs, MEASURES, seed=1)
    return table.set_index(["system", "measure"])["value"]


def test_controls_by_hand():
    found = evaluated()
    # The candidates in input order: a, b, c, d.
    for name in ("constant", "place", "bm25"):
        assert (found[name, "P@2"], found[name, "RR"]) == (0.5, 0.5)
    # Two of four are relevant: each rank has one with probability 1/2; the first one stands at rank 1 with
    # probability 1/2, at rank 2 with 1/3, at rank 3 with 1/6.
    assert found["random", "P@2"] == pytest.approx(0.5, abs=0.02)
    assert found["random", "RR"] == pytest.approx(1 / 2 + 1 / 6 + 1 / 18, abs=0.02)


def test_controls_follow_the_order_of_the_prompt_and_the_first_stage_does_not():
    turned = Candidates(ROW.query, ROW.passages[::-1], ROW.scores[::-1])
    found = evaluated(turned)
    assert found["constant", "RR"] == found["place", "RR"] == 1.0 and found["bm25", "RR"] == 0.5


def test_random_orders_depend_on_seed_and_query_alone():
    first = controls.random_values(["RR"], QRELS, {"q1": ROW}, 1, seed=3)
    more = controls.random_values(["RR"], {"q0": {"x": 1}, **QRELS}, {"q1": ROW}, 1, seed=3)
    assert more["RR"]["q1"] == first["RR"]["q1"] and more["RR"]["q0"] == 0.0
    assert controls.random_values(["RR"], QRELS, {"q1": ROW}, 1, seed=4) != first


def test_shuffles_stay_within_their_groups():
    drawn = controls.shuffles(np.array([0, 1, 1, 2]), "q", 1, 200)
    assert {tuple(order) for order in drawn.tolist()} == {(0, 1, 2, 3), (0, 2, 1, 3)}


def test_controls_are_measured_and_not_tested():
    rows = [
        ("c", "m", variant, system, f"q{number}", "RR", 0.5 + 0.01 * number, 1)
        for variant in ("base", "short")
        for system in ("bm25", "listwise-attention-all", *CONTROLS)
        for number in range(4)
    ]
    table = frames.pd.DataFrame(rows, columns=list(frames.VALUES))
    assert set(compare.compare(table, ["bm25"], seed=1, resamples=50)["system"]) == {"listwise-attention-all"}
    assert not set(sensitivity.sensitivity(table, seed=1, resamples=50)["system"]) & set(CONTROLS)
    assert all(parse_system(name).aside and not parse_system(name).upper_bound for name in CONTROLS)


def test_audit_by_hand(tmp_path):
    # c, then a and b with one score between them, then d; written and read as every run is.
    files.write_run(tmp_path / "run.txt", [Ranking("q1", tuple("cabd"), (2.0, 1.0, 1.0, 0.5))], "x-y")
    runs = {"x-y": files.read_run(tmp_path / "run.txt")}
    table = audit.audit(QRELS, [ROW], runs, ["P@2", "RR"], seed=1).set_index(["system", "measure"])
    own = table.loc[("x-y", "P@2")]
    assert own["tied_pairs"] == pytest.approx(1 / 6)
    assert own["value"] == 0.0 and own["tied_value"] == pytest.approx(0.25, abs=0.02)  # b is second half of the time
    assert own["judged"] == 0.5  # a is judged, c is not
    assert own["condensed"] == 0.5  # a, b
    assert table.loc[("x-y", "RR"), "tied_value"] == pytest.approx((1 / 2 + 1 / 3) / 2, abs=0.02)
    assert np.isnan(table.loc[("x-y", "RR"), "judged"])
    assert table.loc[("bm25", "P@2"), "tied_pairs"] == 0 and table.loc[("bm25", "RR"), "condensed"] == 0.5


@pytest.mark.parametrize(
    ("scores", "groups"),
    [
        ((3.0, 2.0, 1.0), [0, 1, 2]),
        ((1.0, 1.0, 1.0), [0, 0, 0]),
        ((0.0, -1e-45, -3e-45, -1.0), [0, 0, 0, 1]),
        ((), []),
        ((5.0,), [0]),
    ],
)
def test_ties_are_equal_scores_or_one_step_below(scores, groups):
    assert audit.tie_groups(scores).tolist() == groups


def test_a_query_without_candidates_counts_as_an_empty_ranking():
    table = audit.audit({**QRELS, "q2": {"z": 1}}, [ROW], {}, ["RR"], seed=1)
    assert table["value"].tolist() == [0.25] and table["queries"].tolist() == [2]


@pytest.mark.parametrize(("queries", "draws"), [(2, 100), (5, 100), (8, 100), (30, 400)])
def test_the_smallest_p_is_that_of_equal_signs(queries, draws):
    found = compare.randomisation_test(np.full(queries, 0.1) + np.arange(queries) * 0.01, seed=1, resamples=draws)
    assert found == pytest.approx(compare.smallest_p(queries, draws))
