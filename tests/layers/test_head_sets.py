"""Numbers of heads, agreement, transfer and maps of heads, each against a plain count of its own."""

import dataclasses
import itertools

import ir_measures
import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from support.signals import in_order, random_signal
from support.stores import write_store

from layerrank.core.errors import UserError
from layerrank.core.heads import ChosenHeads
from layerrank.core.windows import LayerWindow
from layerrank.layers import head_sets, heads
from layerrank.layers.head_map import head_map
from layerrank.layers.head_rules import head_strategy, parse_head_rule

LAYERS, HEADS, PASSAGES = 3, 2, 5
RULE = parse_head_rule({"rule": "measure", "strategy": "NA_calibration", "top": 2, "folds": 3, "seed": 1})


def signals(name, number=6, seed=0):
    lengths = (4, 1, 6, 3, 5)
    return [random_signal(f"{name}{i}", lengths, LAYERS, HEADS, seed=seed + i) for i in range(number)]


def judged(own, seed=0):
    random = np.random.default_rng(seed)
    return {s.qid: {pid: int(grade) for pid, grade in zip(s.pids, random.integers(0, 3, 5), strict=True)} for s in own}


def values_by_hand(signal, judgements, chosen, measure="nDCG@10"):
    """ir-measures itself, on the sums of q − n over the heads."""
    scores = [
        sum(float(signal.sums["query"][at][p]) - float(signal.sums["na"][at][p]) for at in chosen)
        for p in range(PASSAGES)
    ]
    run = {signal.qid: dict(zip(signal.pids, scores, strict=True))}
    (found,) = ir_measures.iter_calc([ir_measures.parse_measure(measure)], {signal.qid: judgements}, run)
    return found.value


@pytest.fixture
def place(tmp_path):
    own = signals("q")
    paths, qrels = [write_store(tmp_path / "base.arrow", own)], judged(own)
    return own, paths, qrels


def ranked(paths, qrels, collection="c", rule=RULE, every=True):
    return heads.choose_heads("mine", rule, collection, heads.head_values(paths, qrels, rule), every=every)


def test_every_head_is_ranked_and_the_chosen_ones_come_first(place):
    _, paths, qrels = place
    every, chosen = ranked(paths, qrels), ranked(paths, qrels, every=False)
    for all_of_them, own in zip(every.sets, chosen.sets, strict=True):
        assert sorted(all_of_them.heads) == list(itertools.product(range(LAYERS), range(HEADS)))
        assert all_of_them.heads[:2] == own.heads and all_of_them.qids == own.qids


def test_each_number_of_heads_by_brute_force(place):
    """Each query by the best heads of its fold; one without a signal counts as an empty ranking."""
    own, paths, qrels = place
    every = ranked(paths, qrels)
    qrels = {**qrels, "none": {"x": 1}}
    table = head_sets.head_counts(paths, qrels, [every], "nDCG@10", "masked_NA_calibration", resamples=10)
    assert list(table["heads"]) == [1, 2, 4, 6] and set(table["strategy"]) == {"NA_calibration"}
    assert set(table["top"]) == {2} and set(table["queries"]) == {7}
    for row in table.to_dict("records"):
        sets = every.of(qrels)
        expected = [values_by_hand(s, qrels[s.qid], sets[s.qid][: row["heads"]]) for s in own]
        assert row["mean"] == pytest.approx(sum(expected) / 7, abs=1e-6)
        assert row["low"] <= row["mean"] <= row["high"]


def test_a_window_has_no_more_heads_than_it_has(place):
    _, paths, qrels = place
    rule = dataclasses.replace(RULE, settings={**RULE.settings, "window": "1"})
    table = head_sets.head_counts(
        paths, qrels, [ranked(paths, qrels, rule=rule), ranked(paths, qrels)], "RR", "query_last", resamples=10
    )
    assert list(table["heads"]) == [1, 2, 1, 2, 4, 6]


def test_agreement_by_hand(place):
    _, paths, qrels = place
    one = ranked(paths, qrels)
    order = list(itertools.product(range(LAYERS), range(HEADS)))
    sets = ChosenHeads(tuple(order), ("a",), ""), ChosenHeads(tuple(order[::-1]), ("b",), "")
    first = dataclasses.replace(one, sets=sets, default=tuple(order))
    second = dataclasses.replace(first, collection="d", default=(order[1], order[2], order[0], *order[3:]))
    smaller = dataclasses.replace(first, layers=3, heads=2, collection="c")
    found = head_sets.agreement({("c", "m"): [first], ("d", "m"): [second], ("c", "n"): [smaller]})
    rows = {(row["kind"], row["within"], row["one"], row["other"]): row for row in found.to_dict("records")}
    assert set(rows) == {
        ("folds", "m on c", "2 sets", ""),
        ("folds", "m on d", "2 sets", ""),
        ("folds", "n on c", "2 sets", ""),
        ("collections", "m", "c", "d"),
        ("models", "c", "m", "n"),
    }
    folds = rows["folds", "m on c", "2 sets", ""]
    assert (folds["overlap"], folds["correlation"], folds["heads"]) == (0.0, -1.0, 2)
    assert folds["chance"] == pytest.approx(2 / 6)
    pair = rows["collections", "m", "c", "d"]
    assert pair["overlap"] == 0.5
    assert pair["correlation"] == pytest.approx(spearmanr([0, 1, 2, 3, 4, 5], [2, 0, 1, 3, 4, 5]).statistic)
    same = rows["models", "c", "m", "n"]
    assert (same["overlap"], same["correlation"]) == (1.0, pytest.approx(1.0))


def test_agreement_between_dtypes_by_hand(place):
    """Of the best two, float32 and bfloat16 share one; float16 has the same two in another order."""
    _, paths, qrels = place
    one = dataclasses.replace(ranked(paths, qrels), chosen_by="none")
    order = list(itertools.product(range(LAYERS), range(HEADS)))
    a, b, c, *others = order
    by_dtype = {
        "float32": [dataclasses.replace(one, default=(a, b, c, *others))],
        "bfloat16": [dataclasses.replace(one, default=(b, c, a, *others))],
        "float16": [dataclasses.replace(one, default=(b, a, c, *others))],
    }
    found = head_sets.agreement({("c", "m"): by_dtype["float32"]}, {("c", "m"): by_dtype})
    rows = {(row["one"], row["other"]): row for row in found.to_dict("records")}
    assert list(rows) == [("float32", "bfloat16"), ("float32", "float16"), ("bfloat16", "float16")]
    assert set(found["kind"]) == {"dtypes"} and set(found["within"]) == {"m on c"} and set(found["heads"]) == {2}
    assert [row["overlap"] for row in rows.values()] == [0.5, 1.0, 0.5]
    # Spearman's rho of 6 ranks: 1 - 6 · Σd² / (6 · 35), with Σd² = 4 + 1 + 1, 1 + 1, 1 + 1.
    assert [row["correlation"] for row in rows.values()] == pytest.approx([1 - 36 / 210, 1 - 12 / 210, 1 - 12 / 210])
    assert set(found["chance"]) == {2 / 6}


def test_models_of_other_shapes_have_no_heads_in_common(place):
    _, paths, qrels = place
    one = ranked(paths, qrels)
    other = dataclasses.replace(one, layers=9)
    found = head_sets.agreement({("c", "m"): [one], ("c", "n"): [other]})
    assert set(found["kind"]) == {"folds"}


def test_transfer_by_brute_force(place, tmp_path):
    """On its own collection by each query's fold, elsewhere by the default set."""
    own, paths, qrels = place
    away = signals("p", 4, seed=50)
    other, others_qrels = [write_store(tmp_path / "other.arrow", away)], judged(away, 9)
    chosen = {
        "c": [ranked(paths, qrels, every=False)],
        "d": [ranked(other, others_qrels, "d", every=False)],
    }
    stores, both = {"c": paths, "d": other}, {"c": qrels, "d": others_qrels}
    found = head_sets.transfer_heads("m", stores, both, chosen, "nDCG@10", "NA_calibration", resamples=10)
    rows = {(row["source"], row["target"]): row for row in found.to_dict("records")}
    assert set(rows) == set(itertools.product("cd", "cd"))
    on = {"c": (own, qrels), "d": (away, others_qrels)}
    means = {}
    for (source, target), row in rows.items():
        listed, judgements = on[target]
        [selection] = chosen[source]
        sets = selection.of(judgements) if source == target else dict.fromkeys(judgements, selection.default)
        each = [values_by_hand(s, judgements[s.qid], sets[s.qid]) for s in listed]
        means[source, target] = np.mean(each)
        assert row["value"] == pytest.approx(means[source, target], abs=1e-6)
    for (source, target), row in rows.items():
        assert row["difference"] == pytest.approx(means[source, target] - means[target, target], abs=1e-6)
    shared = len(set(chosen["c"][0].default) & set(chosen["d"][0].default)) / 2
    assert rows["c", "d"]["overlap"] == rows["d", "c"]["overlap"] == shared
    assert rows["c", "c"]["difference"] == 0 and rows["c", "c"]["overlap"] == 1


def test_every_head_by_itself_and_its_stability(place, tmp_path):
    own, paths, qrels = place
    rng = np.random.default_rng(3)
    turned = [
        dataclasses.replace(
            in_order(s, order := rng.permutation(PASSAGES)),
            masked=s.masked[:, :, order] + rng.normal(size=s.masked.shape).astype("f4") * 0.3,
        )
        for s in own[1:]
    ]
    orders = {"base": paths, "order-1": [write_store(tmp_path / "turned.arrow", turned)]}
    table = head_map(paths, qrels, "nDCG@10", "masked_NA_calibration", orders=orders, resamples=10)
    assert list(zip(table["layer"], table["head"], strict=True)) == list(itertools.product(range(LAYERS), range(HEADS)))
    for row in table.to_dict("records"):
        layer, head = row["layer"], row["head"]
        taus = []
        for base, other in zip(own[1:], turned, strict=True):
            place_of = {pid: place for place, pid in enumerate(other.pids)}
            scores = [float(other.masked[layer, head, place_of[pid]]) for pid in base.pids]
            taus.append(kendalltau(base.masked[layer, head], scores).statistic)
        assert row["tau"] == pytest.approx(np.mean(taus), abs=1e-6)
        run = {s.qid: dict(zip(s.pids, map(float, s.masked[layer, head]), strict=True)) for s in own}
        expected = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
        assert row["mean"] == pytest.approx(expected, abs=1e-6)
    plain = head_map(paths, qrels, "nDCG@10", "masked_NA_calibration", resamples=10)
    assert plain["tau"].isna().all() and plain["mean"].equals(table["mean"]) and set(plain["orders"]) == {0}
    with pytest.raises(UserError, match="no judged query has a signal in all of them"):
        head_map(paths, {"q0": qrels["q0"]}, "nDCG@10", "masked_NA_calibration", orders=orders)


def test_strategies_of_single_heads():
    assert head_strategy("masked_NA_calibration") == "masked"
    assert head_strategy("masked_NA_calibration", linear=True) == head_strategy("NA_only") == "NA_calibration"
    assert head_strategy("query_last", linear=True) == "query_last"
    assert LayerWindow(0, 1).width == 2
