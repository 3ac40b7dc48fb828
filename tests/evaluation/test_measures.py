import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerrank.core.errors import UserError
from layerrank.core.records import Ranking
from layerrank.evaluation import measures

QRELS = {"q1": {"a": 3, "b": 0, "c": 1, "unretrieved": 2}, "q2": {"a": 1}, "q3": {"x": 0}}


def test_ndcg_by_hand():
    values = measures.per_query(["nDCG@2"], QRELS, [Ranking.from_order("q1", ["c", "a", "b"])])
    gained = 1 / math.log2(2) + 3 / math.log2(3)
    ideal = 3 / math.log2(2) + 2 / math.log2(3)
    assert values["nDCG@2"]["q1"] == pytest.approx(gained / ideal)


def test_every_judged_query_counts_and_an_unjudged_one_does_not():
    values = measures.per_query(
        ["nDCG@10", "AP(rel=2)"], QRELS, [Ranking.from_order("q2", ["a"]), Ranking.from_order("unjudged", ["a"])]
    )
    assert values["nDCG@10"] == {"q1": 0.0, "q2": 1.0, "q3": 0.0}
    assert values["AP(rel=2)"] == {"q1": 0.0, "q2": 0.0, "q3": 0.0}
    assert measures.means(values)["nDCG@10"] == pytest.approx(1 / 3)


def test_an_empty_ranking_scores_zero():
    assert measures.per_query(["RR"], QRELS, [Ranking("q1", (), ())])["RR"]["q1"] == 0.0


def test_scores_do_not_matter_only_the_order_does():
    tied = Ranking("q2", ("z", "a"), (1.0, 1.0))
    assert measures.per_query(["RR"], QRELS, [tied])["RR"]["q2"] == 0.5


def test_topics_that_are_not_numbers_reach_every_provider():
    values = measures.per_query(
        ["Judged@2", "nDCG@2"], {"BEIR:q-1": {"d 1": 1}}, [Ranking.from_order("BEIR:q-1", ["d 1"])]
    )
    assert values["nDCG@2"] == {"BEIR:q-1": 1.0}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nDGC@10", "nDGC"),
        ("nDCG@", "invalid syntax"),
        ("nDCG(depth=3)@10", "depth"),
        ("P", "needs cutoff"),
        ("P@0", "cut-off"),
        ("RBP", "provider"),
    ],
)
def test_bad_measures_are_named_in_one_line(text, names):
    with pytest.raises(UserError, match="measure") as caught:
        measures.parse(text)
    assert text in str(caught.value) and names in str(caught.value) and "\n" not in str(caught.value)


def test_check_refuses_none_and_repeats():
    measures.check(["nDCG@10", "nDCG@20"])
    with pytest.raises(UserError, match="none is named"):
        measures.check([])
    with pytest.raises(UserError, match="same measure"):
        measures.check(["AP", "AP(rel=1)"])


def test_a_measure_without_a_value_for_a_query_is_refused():
    with pytest.raises(UserError, match="Accuracy"):
        measures.per_query(["Accuracy"], {"q": {"a": 0}}, [Ranking.from_order("q", ["a", "b"])])


VECTORISED = [
    "nDCG@3",
    "nDCG",
    "P@3",
    "P(rel=2)@10",
    "R@2",
    "R(rel=2)@5",
    "RR",
    "RR@2",
    "RR(rel=2)",
    "AP",
    "AP(rel=2)@3",
]
OTHERS = ["Success@1", "Success(rel=2)@4", "Rprec", "Bpref", "Judged@3", "AP(judged_only=True)", "nDCG(gains={1:5})@3"]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_orders_agree_with_ir_measures(data):
    count = data.draw(st.integers(1, 8))
    pids = [f"p{i}" for i in range(count)]
    grade = st.integers(-1, 3)
    judgements = data.draw(st.dictionaries(st.sampled_from([*pids, "u1", "u2", "u3"]), grade, min_size=1))
    orders = np.array([data.draw(st.permutations(range(count))) for _ in range(3)])
    if max(judgements.values()) < 0:  # trec_eval itself loops for ever on these
        judgements["u1"] = 0
    for text in VECTORISED + OTHERS:
        measure = ir_measures.parse_measure(text)
        expected = [
            next(
                iter(
                    measure.iter_calc({"1": judgements}, {"1": {pids[i]: -float(rank) for rank, i in enumerate(order)}})
                )
            ).value
            for order in orders
        ]
        np.testing.assert_allclose(
            measures.of_orders(text, judgements, pids, orders), expected, atol=1e-12, err_msg=text
        )


def test_negative_judgements_alone_end():
    orders = np.array([[0, 1]])
    for text in ["nDCG", "nDCG(gains={1:5})", "nDCG@5"]:
        assert measures.per_query([text], {"q": {"a": -1}}, [Ranking.from_order("q", ["a"])])[text] == {"q": 0.0}
        assert measures.of_orders(text, {"a": -2, "b": -1}, ["a", "b"], orders).tolist() == [0.0]


def test_orders_of_no_passages_score_zero():
    empty = np.empty((3, 0), dtype=np.int64)
    for text in ["nDCG@10", "P@5", "AP", "RR", "Success@1", "R@5", "Rprec"]:
        assert measures.of_orders(text, {"a": 1}, [], empty).tolist() == [0.0, 0.0, 0.0], text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nDCG@0", "the cut-off must lie between 1 and 1000000"),
        ("nDCG@99999999999999999999", "the cut-off must lie between 1 and 1000000"),
        ("P@2147483648", "the cut-off must lie between 1 and 1000000"),
        ("AP(rel=0)", "rel must lie between 1 and 1000"),
        ("AP(rel=99999999999)", "rel must lie between 1 and 1000"),
        ("IPrec@1.5", "the recall must lie between 0 and 1"),
    ],
)
def test_parameters_that_no_provider_takes_are_refused(text, words):
    with pytest.raises(UserError, match=words):
        measures.check([text])


def test_parameters_at_their_bounds_are_computed():
    texts = ["nDCG@1000000", "AP(rel=1000)", "IPrec@1.0", "IPrec@0.0"]
    values = measures.per_query(texts, QRELS, [Ranking.from_order("q2", ["a"])])
    assert {text: by_query["q2"] for text, by_query in values.items()} == dict(zip(texts, (1, 0, 1, 1), strict=True))
