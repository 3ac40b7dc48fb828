"""The sweep over orders against loops over queries, orders and windows; place calibration and what it must not see."""

import numpy as np
import pandas as pd
import pytest
from support.signals import in_order, random_signal
from support.stores import write_store

from layerrank.attention.scores import MASKED, all_windows, passage_scores, standardised
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow
from layerrank.layers import calibration, orders, place, signals
from layerrank.layers.sweep import sweep

LAYERS = 3
NAMES = ("base", "reversed", "shuffle-1", "shuffle-2")
SHUFFLED = NAMES[2:]


@pytest.fixture
def stored():
    """Signals of each query in each order, which are no permutations of each other: {name: [signal]}."""
    random = np.random.default_rng(5)
    lengths = [random.integers(1, 6, size=random.integers(2, 9)) for _ in range(10)]
    found = {}
    for number, name in enumerate(NAMES):
        drawn = [random_signal(f"q{i}", own, LAYERS, seed=100 * number + i) for i, own in enumerate(lengths)]
        moved = [in_order(one, random.permutation(len(one.pids))) for one in drawn]
        found[name] = drawn if name == "base" else moved
    return found


@pytest.fixture
def paths(tmp_path, stored):
    """Stores in two shards, the second order's queries in another file order."""
    found = {}
    for name, own in stored.items():
        own = own[::-1] if name == "reversed" else own
        found[name] = [write_store(tmp_path / f"{name}-{i}.arrow", own[i::2]) for i in range(2)]
    return found


@pytest.fixture
def qrels(stored):
    random = np.random.default_rng(6)
    judged = {one.qid: {pid: int(random.integers(0, 3)) for pid in one.pids} for one in stored["base"][1:]}
    return judged | {"without-signal": {"d": 1}}


@pytest.mark.parametrize("strategy", [MASKED, "query_last"])
def test_equals_loops(paths, stored, qrels, strategy):
    found = orders.sweep_orders(paths, SHUFFLED, qrels, "nDCG@10", strategy)
    assert found.qids == tuple(qrels) and found.stored == len(qrels) - 1
    assert found.orders == NAMES and found.shuffled == SHUFFLED
    for order, name in enumerate(NAMES):
        expected = sweep(paths[name], qrels, "nDCG@10", strategy)
        np.testing.assert_array_equal(found.values[order], expected.values)
    by_name = {name: {one.qid: one for one in own} for name, own in stored.items()}
    for row, qid in enumerate(list(qrels)[:-1]):
        pids = sorted(by_name["base"][qid].pids)
        own = [by_name[name][qid] for name in NAMES]
        places = np.array([[one.pids.index(pid) for pid in pids] for one in own])
        for column, window in enumerate(all_windows(LAYERS)):
            scores = np.array([passage_scores(one, window, strategy) for one in own])
            scores = np.take_along_axis(scores, places, axis=1)[:, None]
            passage, at_place = place.shares(scores[2:], places[2:])
            tau, first = place.stability(scores, places)
            for name, value in (("passage", passage), ("place", at_place), ("tau", tau), ("first", first)):
                np.testing.assert_allclose(getattr(found, name)[row, column], value[0], rtol=1e-5, atol=1e-6)
    assert np.isnan(found.passage[-1]).all() and (found.values[:, -1] == 0).all()


def test_processes_give_the_same(paths, qrels, monkeypatch):
    monkeypatch.setattr(signals, "SERIAL_WORK", 0.0)
    monkeypatch.setattr(signals, "BLOCK", 3)
    one, two = (orders.sweep_orders(paths, SHUFFLED, qrels, "RR", MASKED, workers=workers) for workers in (1, 2))
    for name in ("passage", "place", "tau", "first", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_read_what_was_written(tmp_path, paths, qrels):
    found = orders.sweep_orders(paths, SHUFFLED, qrels, "nDCG@10", MASKED)
    orders.write_order_sweep(tmp_path / "o.arrow", found)
    again = orders.read_order_sweep(tmp_path / "o.arrow")
    for name in ("passage", "place", "tau", "first", "values"):
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))
    for name in ("qids", "orders", "shuffled", "measure", "strategy", "layers", "stored"):
        assert getattr(found, name) == getattr(again, name)
    orders.write_order_sweep(tmp_path / "p.arrow", found)
    assert (tmp_path / "o.arrow").read_bytes() == (tmp_path / "p.arrow").read_bytes()
    with pytest.raises(UserError, match="no such file"):
        orders.read_order_sweep(tmp_path / "none.arrow")
    with pytest.raises(UserError, match="not orders"):
        orders.read_order_sweep(paths["base"][0])


def test_table(tmp_path, paths, qrels):
    found = orders.sweep_orders(paths, SHUFFLED, qrels, "nDCG@10", MASKED)
    table = orders.orders_table(found, resamples=100)
    frames.write_frame(tmp_path / "t.tsv", frames.in_cell(table, frames.ORDERS, "c", "m"))
    assert list(frames.read_frame(tmp_path / "t.tsv", frames.ORDERS)) == list(frames.ORDERS)
    assert list(zip(table["start"], table["end"], strict=True)) == [(w.start, w.end) for w in all_windows(LAYERS)]
    by_order = found.values.astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(table["value"], by_order.mean(axis=0))
    np.testing.assert_allclose(table["base"], by_order[0])
    np.testing.assert_allclose(table["spread"], pd.DataFrame(by_order).std(), rtol=1e-6)
    np.testing.assert_allclose(table["passage"] + table["place"] + table["rest"], 1)
    np.testing.assert_allclose(table["tau"], found.tau[:-1].astype(np.float64).mean(axis=0))
    for name in ("passage", "place", "tau", "first", "value"):
        assert (table[f"{name}_low"] <= table[name]).all() and (table[name] <= table[f"{name}_high"]).all()
    assert (table["queries"] == 9).all() and (table["orders"] == 4).all() and (table["shuffles"] == 2).all()


def test_refusals(tmp_path, paths, stored, qrels):
    with pytest.raises(UserError, match="at least two"):
        orders.sweep_orders({"base": paths["base"]}, (), qrels, "nDCG@10", MASKED)
    with pytest.raises(UserError, match="no judged query"):
        orders.sweep_orders(paths, SHUFFLED, {"other": {"d": 1}}, "nDCG@10", MASKED)
    others = write_store(tmp_path / "x.arrow", [random_signal("q1", (2, 3), LAYERS)])
    with pytest.raises(UserError, match=r"x\.arrow: query q1: order 'x'"):
        orders.sweep_orders({**paths, "x": [others]}, (), qrels, "nDCG@10", MASKED)
    deeper = write_store(tmp_path / "y.arrow", [random_signal("q1", (2, 3), LAYERS + 1)])
    with pytest.raises(UserError, match="different layers"):
        orders.sweep_orders({**paths, "y": [deeper]}, (), qrels, "nDCG@10", MASKED)


WINDOWS = [LayerWindow(0, 1), LayerWindow(2, 2)]


def of_equal_depth(tmp_path, changed=None):
    """Two shuffles of nine queries of five passages; scores of `changed` are others."""
    random, found = np.random.default_rng(9), {}
    for number, name in enumerate(SHUFFLED):
        drawn = []
        for i in range(9):
            seed = 50 * number + i + (1000 if f"q{i}" == changed else 0)
            drawn.append(in_order(random_signal(f"q{i}", (2, 4, 3, 5, 2), LAYERS, seed=seed), random.permutation(5)))
        found[name] = [write_store(tmp_path / f"{changed}-{name}.arrow", drawn)], drawn
    return {name: own for name, (own, _) in found.items()}, [drawn for _, drawn in found.values()]


def test_place_means_by_hand(tmp_path):
    stores, drawn = of_equal_depth(tmp_path)
    found = calibration.place_means(stores, WINDOWS, MASKED, folds=3)
    assert sorted(found.folds) == [f"q{i}" for i in range(9)] and set(found.folds.values()) == {0, 1, 2}
    for fold in range(4):
        for row, window in enumerate(WINDOWS):
            learnt = [
                standardised(passage_scores(one, window, MASKED))  # a signal's passages stand in input order
                for shuffle in drawn
                for one in shuffle
                if found.folds[one.qid] != fold
            ]
            np.testing.assert_allclose(found.means[fold, row], np.mean(learnt, axis=0))


def test_calibration_never_sees_the_query_it_corrects(tmp_path):
    scores = np.random.default_rng(1).normal(size=(2, 5))
    plain = calibration.place_means(of_equal_depth(tmp_path)[0], WINDOWS, MASKED, folds=9)
    other = calibration.place_means(of_equal_depth(tmp_path, "q4")[0], WINDOWS, MASKED, folds=9)
    np.testing.assert_allclose(plain.calibrated("q4", scores), other.calibrated("q4", scores), atol=1e-12)
    for qid in ("q3", "a query of no fold"):
        assert np.abs(plain.calibrated(qid, scores) - other.calibrated(qid, scores)).max() > 0.01


def test_calibration_takes_out_a_place_effect():
    random = np.random.default_rng(3)
    effect = standardised(np.arange(20.0))
    relevance = random.normal(size=20)
    means = calibration.PlaceMeans({}, (LayerWindow(0, 0),), effect[None, None] * 0.9)
    biased = standardised(relevance + 9 * effect)[None]
    left = means.calibrated("q", biased)
    assert np.corrcoef(left[0], relevance)[0, 1] > np.corrcoef(biased[0], relevance)[0, 1]
    np.testing.assert_allclose(left, standardised(biased) - 0.9 * effect)


def test_unequal_depths_meet_at_relative_places(tmp_path):
    means = calibration.PlaceMeans({}, (LayerWindow(0, 0),), np.array([[[0.0, 1.0, 2.0, 3.0, 4.0]]]))
    scores = np.array([[1.0, -1.0, 0.0]])
    np.testing.assert_allclose(standardised(scores) - means.calibrated("q", scores), [[0.0, 2.0, 4.0]])
    two = np.array([[1.0, -1.0]])
    np.testing.assert_allclose(means.calibrated("q", two), [[1.0, -5.0]])
    one = np.array([[7.0]])
    np.testing.assert_allclose(means.calibrated("q", one), [[0.0]])
    shorter = [in_order(random_signal(f"s{i}", (1, 2, 3), LAYERS, seed=i), [2, 0, 1]) for i in range(3)]
    longer = [random_signal("l", (1, 2, 3, 2, 1), LAYERS, seed=9)]
    store = write_store(tmp_path / "s.arrow", [*shorter, *longer])
    found = calibration.place_means({"one": [store]}, WINDOWS, MASKED, folds=4)
    fold = found.folds["l"]
    learnt = [standardised(passage_scores(one, WINDOWS[1], MASKED)) for one in shorter]
    np.testing.assert_allclose(found.means[fold, 1, [0, 2, 4]], np.mean(learnt, axis=0))
    between = (found.means[fold, 1, [0, 2]] + found.means[fold, 1, [2, 4]]) / 2  # no list had these places
    np.testing.assert_allclose(found.means[fold, 1, [1, 3]], between)
    with pytest.raises(UserError, match="other queries"):
        calibration.place_means({"one": [write_store(tmp_path / "l.arrow", longer)]}, WINDOWS, MASKED)
