"""Scores of heads against plain re-implementations by their formulas, and what cross-validation may see."""

from __future__ import annotations

import dataclasses
import itertools
import math

import ir_measures
import numpy as np
import pytest
from scipy.stats import spearmanr
from support.figures import selection_of
from support.signals import in_order, random_signal
from support.stores import write_store

from layerrank.attention import store as store_module
from layerrank.core.errors import UserError
from layerrank.core.windows import Chosen, LayerWindow
from layerrank.layers import heads
from layerrank.layers.head_rules import parse_head_rule, scoring
from layerrank.layers.selection import folds_of

LAYERS, HEADS = 4, 3


@pytest.fixture
def signals():
    return [random_signal(f"q{i}", lengths=(4, 1, 6, 3, 5), layers=LAYERS, heads=HEADS, seed=i) for i in range(7)]


@pytest.fixture
def paths(tmp_path, signals):
    return [write_store(tmp_path / "base.arrow", signals)]


@pytest.fixture
def qrels(signals):
    grades = [(2, 0, 1), (0, 3), (1, 1, 1, 1, 1), (0, 0), (None, 2, 0), (1,), (0, 0, 0, 2)]
    return {
        signal.qid: {pid: grade for pid, grade in zip(signal.pids, own, strict=False) if grade is not None}
        | {"elsewhere": 1}
        for signal, own in zip(signals, grades, strict=True)
    }


def rule(name, **settings):
    return parse_head_rule({"rule": name, **settings})


def scores(paths, qrels, name, **settings):
    return heads.head_values(paths, qrels, rule(name, **settings))


def each(signals):
    return itertools.product(enumerate(signals), range(LAYERS), range(HEADS))


@pytest.mark.parametrize("tau", [0.1, 0.001])
@pytest.mark.parametrize("judged", [False, True])
def test_core(paths, signals, qrels, tau, judged):
    """The probability of a positive against the negatives, by the formula, one head at a time."""
    found = scores(paths, qrels, "core", tau=tau, judged=judged)
    for (row, signal), layer, head in each(signals):
        s = [float(signal.sums["query"][layer, head, p]) for p in range(5)]
        grade = [qrels[signal.qid].get(pid) for pid in signal.pids]
        positives = [p for p in range(5) if grade[p]]
        negatives = [p for p in range(5) if not grade[p] and (grade[p] is not None or not judged)]
        value = found.values[row, layer, head]
        if not positives or not negatives:
            assert math.isnan(value)
            continue
        expected = []
        for p in positives:
            largest = max(s[n] for n in [p, *negatives])
            powers = [math.exp((s[n] - largest) / tau) for n in [p, *negatives]]
            expected.append(powers[0] / sum(powers))
        assert value == pytest.approx(np.mean(expected), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "settings", "of_head"),
    [
        ("qr-ndcg", {}, lambda signal: signal.masked),
        ("measure", {"measure": "RR", "strategy": "query_last"}, lambda signal: signal.sums["query"]),
        ("measure", {"strategy": "NA_calibration"}, lambda signal: signal.sums["query"] - signal.sums["na"]),
        ("oracle", {"measure": "AP"}, lambda signal: signal.masked),
    ],
)
def test_measures_of_single_heads(paths, signals, qrels, name, settings, of_head):
    """ir-measures itself, on a run of each head."""
    found = scores(paths, qrels, name, **settings)
    measure = ir_measures.parse_measure(settings.get("measure", "nDCG@10"))
    for (row, signal), layer, head in each(signals):
        run = {signal.qid: {pid: float(of_head(signal)[layer, head, p]) for p, pid in enumerate(signal.pids)}}
        (metric,) = ir_measures.iter_calc([measure], {signal.qid: qrels[signal.qid]}, run)
        assert found.values[row, layer, head] == pytest.approx(metric.value, abs=1e-6)


def test_mass_on_the_relevant_passages(paths, signals, qrels):
    found = scores(paths, qrels, "qr-mass", relevant=2)
    for (row, signal), layer, head in each(signals):
        gold = [p for p, pid in enumerate(signal.pids) if qrels[signal.qid].get(pid, 0) >= 2]
        value = found.values[row, layer, head]
        if gold:
            assert value == pytest.approx(sum(float(signal.masked[layer, head, p]) for p in gold), abs=1e-6)
        else:
            assert math.isnan(value)


def test_agreement_with_other_layers(paths, signals):
    found = scores(paths, {}, "label-free")
    for (row, signal), layer, head in each(signals):
        ranks = np.array([[spearman_ranks(signal.masked[i, h]) for h in range(HEADS)] for i in range(LAYERS)])
        others = np.delete(ranks, layer, axis=0).reshape(-1, 5).sum(axis=0)
        own = ranks[layer, head] - ranks[layer, head].mean()
        centred = others - others.mean()
        expected = own @ centred / (np.linalg.norm(own) * np.linalg.norm(centred))
        assert found.values[row, layer, head] == pytest.approx(expected, abs=1e-6)
    assert spearmanr(ranks[0, 0], ranks[0, 0]).statistic == pytest.approx(1)


def spearman_ranks(values):
    return np.argsort(np.argsort(-values, kind="stable"))


def test_cross_validation_by_brute_force(paths, signals, qrels):
    chosen = rule("measure", top=3, folds=3, seed=7, strategy="query_last")
    own = heads.head_values(paths, qrels, chosen)
    found = heads.choose_heads("mine", chosen, "c", own)
    fold = folds_of(own.qids, 3, 7)
    for row, qid in enumerate(own.qids):
        others = [i for i, other in enumerate(own.qids) if fold[other] != fold[qid]]
        means = {
            (layer, head): np.mean([own.values[i, layer, head] for i in others], dtype=np.float64)
            for layer in range(LAYERS)
            for head in range(HEADS)
        }
        expected = sorted(means, key=lambda head: (-means[head], head))[:3]
        assert found.of([qid])[qid] == tuple(expected), row
    assert (found.chosen_by, found.upper_bound, found.folds) == ("cross-validation", False, 3)


def test_a_set_never_depends_on_the_query_that_it_ranks(paths, signals, qrels):
    chosen = rule("qr-ndcg", top=2, folds=3)
    before = heads.choose_heads("mine", chosen, "c", heads.head_values(paths, qrels, chosen))
    for qid in qrels:
        turned = {**qrels, qid: {pid: 3 - grade for pid, grade in qrels[qid].items()}}
        after = heads.choose_heads("mine", chosen, "c", heads.head_values(paths, turned, chosen))
        assert after.of([qid]) == before.of([qid])


def test_other_collections_windows_and_bounds(paths, qrels):
    own = scores(paths, qrels, "measure")
    others = rule("measure", chosen_on="others", top=2, window="1-2")
    found = heads.choose_heads("away", others, "c", own, {"c": own, "d": own})
    assert found.collections == ("d",) and {layer for layer, _ in found.default} <= {1, 2}
    assert found.default == heads.best_heads(own.mean(), {"top": 2, "window": "1-2"})
    oracle = heads.choose_heads("oracle", rule("oracle", top=1), "c", own)
    assert oracle.upper_bound and oracle.chosen_by == "test queries"
    with pytest.raises(UserError, match="no collection other than c"):
        heads.choose_heads("away", others, "c", own, {"c": own})
    with pytest.raises(UserError, match="top is 20, but L0-3 has 12 heads"):
        heads.best_heads(own.mean(), {"top": 20})


@pytest.mark.parametrize("name", ["measure", "label-free"])
def test_heads_within_the_window_of_each_query_by_brute_force(paths, qrels, name):
    """Folds of windows and folds of heads differ: a set for each pair of them, and none from a query's own fold."""
    settings = {} if name == "label-free" else {"folds": 3, "seed": 7}
    chosen = rule(name, top=2, window="selected-best", **settings)
    own = heads.head_values(paths, qrels, chosen)
    windows = [(0, 1), (2, 3), (1, 1), (0, 1), (2, 2), (3, 3), (0, 3)]
    selection = selection_of("best", windows, queries=1, layers=LAYERS)
    entries = [Chosen(entry.window, (qid,), 0.0, "c") for entry, qid in zip(selection.windows, own.qids, strict=True)]
    within = dataclasses.replace(selection, windows=tuple(entries), default=LayerWindow(1, 2))
    found = heads.choose_heads("mine", chosen, "c", own, within=within)
    fold = folds_of(own.qids, 3, 7)
    for qid, (start, end) in zip(own.qids, windows, strict=True):
        rows = [i for i, other in enumerate(own.qids) if name == "label-free" or fold[other] != fold[qid]]
        means = {
            (layer, head): np.mean([own.values[i, layer, head] for i in rows], dtype=np.float64)
            for layer in range(start, end + 1)
            for head in range(HEADS)
        }
        assert found.of([qid])[qid] == tuple(sorted(means, key=lambda head: (-means[head], head))[:2])
    assert sorted(qid for each in found.sets for qid in each.qids) == sorted(own.qids)
    assert {layer for layer, _ in found.default} <= {1, 2}


@pytest.mark.parametrize(
    ("window", "given", "line"),
    [
        ("selected-best", None, "window is 'selected-best', the file of selected windows: none"),
        ("selected-best", "peak", "window is 'selected-best', the file of selected windows: those of 'peak'"),
        ("1-2", "best", "window is '1-2', the file of selected windows: those of 'best'"),
    ],
)
def test_windows_of_another_rule(paths, qrels, window, given, line):
    chosen = rule("measure", top=1, window=window)
    own = heads.head_values(paths, qrels, chosen)
    within = given and selection_of(given, [(0, 1)], layers=LAYERS)
    with pytest.raises(UserError, match=line):
        heads.choose_heads("mine", chosen, "c", own, within=within)


def test_scores_of_another_rule_or_model(paths, qrels):
    chosen = rule("measure", top=1, chosen_on=["d"])
    own = heads.head_values(paths, qrels, chosen)
    with pytest.raises(UserError, match="the scores of d are of a model with other layers or heads"):
        away = heads.HeadValues(own.qids, own.values[:, :2], own.rule)
        heads.choose_heads("mine", chosen, "c", own, {"d": away})
    with pytest.raises(UserError, match="the scores of c are by"):
        heads.choose_heads("mine", rule("measure", measure="RR"), "c", own)


def test_scores_over_orders_are_their_mean_on_the_queries_that_run_in_all(tmp_path, paths, signals, qrels):
    shuffles = [np.random.default_rng(seed).permutation(5) for seed in range(2)]
    orders = {"base": paths} | {
        f"order-{k}": [write_store(tmp_path / f"{k}.arrow", [in_order(s, own) for s in noisy(signals[1:], k)])]
        for k, own in enumerate(shuffles)
    }
    alone = [scores(own, qrels, "measure") for own in orders.values()]
    chosen = rule("measure", orders="all", folds=3)
    found = heads.head_values(paths, qrels, chosen, orders=orders)
    assert found.qids == alone[0].qids and np.isnan(found.values[0]).all()
    expected = np.mean([alone[0].values[1:], alone[1].values, alone[2].values], axis=0, dtype=np.float64)
    np.testing.assert_allclose(found.values[1:], expected, atol=1e-6)
    assert np.abs(found.values[1:] - alone[0].values[1:]).max() > 0.01
    everyone = heads.choose_heads("mine", chosen, "c", found)
    assert {qid for each in everyone.sets for qid in each.qids} == set(found.qids)
    with pytest.raises(UserError, match="orders is 'all', and there are no further orders"):
        heads.head_values(paths, qrels, chosen)


def noisy(signals, seed):
    random = np.random.default_rng(seed)
    return [dataclasses.replace(s, masked=s.masked + random.normal(size=s.masked.shape).astype("f4")) for s in signals]


def test_rules_that_score_alike_share_their_scores():
    assert scoring(rule("core", top=4)) == scoring(rule("core", top=16, chosen_on="others", window="1-2"))
    assert scoring(rule("oracle")) == scoring(rule("measure")) != scoring(rule("measure", orders="all"))
    assert scoring(rule("core")) != scoring(rule("core", tau=0.001))


def test_ties_go_to_the_lower_layer_then_head():
    means = np.array([[0.5, 0.7], [0.7, 0.5]])
    assert heads.best_heads(means, {"top": 4}) == ((0, 1), (1, 0), (0, 0), (1, 1))


def test_scores_come_back_from_the_disk(tmp_path, paths, qrels):
    own = scores(paths, qrels, "core")
    heads.write_head_values(tmp_path / "core.arrow", own)
    back = heads.read_head_values(tmp_path / "core.arrow")
    assert back.qids == own.qids and back.rule == own.rule
    np.testing.assert_array_equal(back.values, own.values)
    with pytest.raises(UserError, match="no head scores of layerrank"):
        heads.read_head_values(paths[0])


def test_an_old_store_has_the_linear_rules_alone(tmp_path, signals, qrels, monkeypatch):
    monkeypatch.setattr(store_module, "FORMAT", 1)
    old = [write_store(tmp_path / "old.arrow", signals)]
    assert scores(old, qrels, "core").values.shape == (7, LAYERS, HEADS)
    assert scores(old, qrels, "measure", strategy="query_last").values.shape == (7, LAYERS, HEADS)
    for name, settings in (("qr-ndcg", {}), ("measure", {}), ("qr-mass", {}), ("label-free", {})):
        with pytest.raises(UserError, match="needs each head's masked sums"):
            scores(old, qrels, name, **settings)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"rule": "best"}, "head rule 'best': one of core"),
        ({}, "head rule None: one of core"),
        ({"rule": "core", "tau": 0}, "tau: 0 is less than or equal to the minimum"),
        ({"rule": "core", "tau": float("nan"), "top": 0}, "top: 0 is less than the minimum"),
        ({"rule": "core", "strategy": "masked"}, "no key 'strategy'; its keys"),
        ({"rule": "measure", "strategy": "sum"}, "'sum' is not one of"),
        ({"rule": "measure", "measure": "nDGC"}, "nDGC"),
        ({"rule": "label-free", "chosen_on": "folds"}, "no key 'chosen_on'"),
        ({"rule": "core", "folds": 1}, "folds: 1 is less than the minimum of 2"),
    ],
)
def test_settings_are_checked(given, line):
    with pytest.raises(UserError, match=line):
        parse_head_rule(given)
