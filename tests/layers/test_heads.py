"""Scores of heads against plain re-implementations by their formulas, and what cross-validation may see."""

from __future__ import annotations

import itertools
import math

import ir_measures
import numpy as np
import pytest
from scipy.stats import spearmanr
from support.signals import random_signal
from support.stores import write_store

from layerrank.attention import store as store_module
from layerrank.core.errors import UserError
from layerrank.layers import heads
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
    return heads.parse_head_rule({"rule": name, **settings})


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
        heads.parse_head_rule(given)
