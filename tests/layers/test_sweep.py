"""The vectorised sweep against a loop over windows that scores, ranks and asks ir_measures."""

import ir_measures
import numpy as np
import pytest
from support.signals import random_signal
from support.stores import write_store

from layerrank.attention.scores import STRATEGIES, all_windows, passage_scores
from layerrank.layers import signals
from layerrank.layers.profile import layer_profile
from layerrank.layers.sweep import judged_values, sweep

LAYERS = 5


@pytest.fixture
def stored():
    random = np.random.default_rng(5)
    return [
        random_signal(f"q{i}", random.integers(1, 12, size=random.integers(1, 9)), LAYERS, seed=i) for i in range(11)
    ]


@pytest.fixture
def qrels(stored):
    random = np.random.default_rng(6)
    judged = {signal.qid: {pid: int(random.integers(0, 4)) for pid in signal.pids} for signal in stored[:-1]}
    for grades in judged.values():
        grades["elsewhere"] = 2
    return judged | {"without-signal": {"d": 1}, "none-relevant": {"d": 0}}


def brute_force(stored, qrels, measure, strategy):
    measure = ir_measures.parse_measure(measure)
    values = np.zeros((len(qrels), len(all_windows(LAYERS))))
    for column, window in enumerate(all_windows(LAYERS)):
        run = {}
        for signal in stored:
            scores = passage_scores(signal, window, strategy)
            order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
            run[signal.qid] = {signal.pids[i]: float(-rank) for rank, i in enumerate(order)}
        found = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], qrels, run)}
        values[:, column] = [found[qid] for qid in qrels]
    return values


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("measure", ["nDCG@10", "nDCG@3", "AP(rel=2)", "Rprec"])
def test_equals_brute_force(tmp_path, stored, qrels, measure, strategy):
    shards = [write_store(tmp_path / "0.arrow", stored[::2]), write_store(tmp_path / "1.arrow", stored[1::2])]
    found = sweep(shards, qrels, measure, strategy)
    assert found.qids == tuple(qrels) and found.stored == len(qrels) - 2
    expected = brute_force(stored, qrels, measure, strategy)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    np.testing.assert_allclose(found.means(), expected.mean(axis=0), atol=1e-6)
    assert found.values[list(qrels).index("without-signal")].max() == 0


def test_processes_give_the_same(tmp_path, stored, qrels, monkeypatch):
    path = write_store(tmp_path / "s.arrow", stored)
    monkeypatch.setattr(signals, "SERIAL_WORK", 0.0)
    monkeypatch.setattr(signals, "BLOCK", 4)
    alone, together = (sweep([path], qrels, "nDCG@10", "NA_only", workers=workers) for workers in (1, 2))
    assert np.array_equal(alone.values, together.values)


def test_a_profile_is_the_diagonal_of_the_sweep(tmp_path, stored, qrels):
    path = write_store(tmp_path / "s.arrow", stored)
    profile = layer_profile([path], qrels, ["nDCG@10", "RR"], "masked_NA_calibration", resamples=50)
    swept, _ = judged_values([path], qrels, all_windows(LAYERS), ["nDCG@10", "RR"], "masked_NA_calibration")
    single = [i for i, window in enumerate(all_windows(LAYERS)) if window.width == 1]
    for row, measure in enumerate(["nDCG@10", "RR"]):
        part = profile[profile["measure"] == measure]
        np.testing.assert_allclose(part["mean"], swept[row].mean(axis=0)[single], atol=1e-12)
        assert part["layer"].tolist() == [0, 1, 2, 3, 4]
        assert part["relative_depth"].tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert (part["queries"] == len(qrels)).all()
        assert ((part["low"] <= part["mean"]) & (part["mean"] <= part["high"])).all()
        assert (part["low"] < part["high"]).all()
