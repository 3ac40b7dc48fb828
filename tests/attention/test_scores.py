"""Strategies, windows and order, against loops that follow semantics.md §2 word for word."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signals import random_signal

from layerrank.attention.scores import STRATEGIES, all_windows, check_strategy, passage_scores, rank, sweep_scores
from layerrank.attention.signal import Signal
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow


def masked_by_loop(signal: Signal, window: LayerWindow) -> list[float]:
    scores, begin = [], 0
    for length in signal.lengths.tolist():
        c = [
            sum(float(signal.signal[layer, token]) for layer in range(window.start, window.end + 1))
            for token in range(begin, begin + length)
        ]
        if length > 1:
            mean, deviation = statistics.fmean(c), statistics.stdev(c)
            c = [value for value in c if value > mean - 2 * deviation]
        scores.append(sum(c))
        begin += length
    return scores


def linear_by_loop(signal: Signal, window: LayerWindow, strategy: str, heads=None) -> list[float]:
    plus, minus = {
        "query_last": ("query", None),
        "NA_only": ("na", None),
        "attention_sorting": ("query_last", None),
        "NA_calibration": ("query", "na"),
        "NA_calibration_no_agg": ("query_last", "na_last"),
    }[strategy]
    scores = []
    for passage in range(len(signal.pids)):
        total = 0.0
        for layer in range(window.start, window.end + 1):
            for head in range(signal.heads):
                if heads is None or (layer, head) in heads:
                    total += float(signal.sums[plus][layer, head, passage])
                    total -= float(signal.sums[minus][layer, head, passage]) if minus else 0.0
        scores.append(total)
    return scores


def test_the_strategies():
    assert list(STRATEGIES) == [
        "masked_NA_calibration",
        "query_last",
        "NA_only",
        "attention_sorting",
        "NA_calibration",
        "NA_calibration_no_agg",
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), max_size=6), st.integers(1, 6), st.integers(0, 1000), st.sampled_from(list(STRATEGIES))
)
def test_sweep_is_brute_force_over_windows(lengths, layers, seed, strategy):
    signal = random_signal(lengths=lengths, layers=layers, seed=seed)
    swept = sweep_scores(signal, strategy)
    windows = all_windows(layers)
    assert swept.shape == (layers * (layers + 1) // 2, len(lengths))
    for window, row in zip(windows, swept, strict=True):
        by_loop = (
            masked_by_loop(signal, window)
            if strategy == "masked_NA_calibration"
            else linear_by_loop(signal, window, strategy)
        )
        np.testing.assert_allclose(row, by_loop, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(row, passage_scores(signal, window, strategy))


def test_windows_in_order():
    assert [(window.start, window.end) for window in all_windows(3)] == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]


def test_mask_drops_what_lies_two_deviations_below_the_mean():
    values = np.array([[1.0] * 9 + [-9.0]], dtype=np.float32)
    sums = {name: np.zeros((1, 1, 1), dtype=np.float32) for name in ("query", "na", "query_last", "na_last")}
    signal = Signal("q", ("d",), np.array([10], dtype=np.int32), values, sums, 10, 0.0)
    # mean 0, sample deviation sqrt(90 / 9) = 3.16: -9 lies below -6.32 and goes, nine ones stay
    assert passage_scores(signal, LayerWindow(0, 0)).tolist() == [9.0]


def test_single_token_is_kept():
    signal = random_signal(lengths=(1, 1), layers=2, seed=3)
    np.testing.assert_allclose(passage_scores(signal, LayerWindow(0, 1)), signal.signal.sum(axis=0), rtol=1e-6)


def test_layers_do_not_add_up_but_tokens_do():
    signal = random_signal(lengths=(40, 40, 40), layers=6, seed=5)
    layers = sum(passage_scores(signal, LayerWindow(layer, layer)) for layer in range(6))
    assert not np.allclose(layers, passage_scores(signal, LayerWindow(0, 5)))


def test_heads_of_linear_strategies():
    signal = random_signal(layers=4, heads=3)
    heads = [(0, 2), (2, 0), (2, 1)]
    window = LayerWindow(1, 3)  # (0, 2) lies outside
    for strategy in ("query_last", "NA_only", "attention_sorting", "NA_calibration_no_agg"):
        expected = linear_by_loop(signal, window, strategy, heads=set(heads))
        np.testing.assert_allclose(passage_scores(signal, window, strategy, heads), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda signal: passage_scores(signal, LayerWindow(0, 0), "mean"), "strategy 'mean': one of masked_NA"),
        (lambda signal: passage_scores(signal, LayerWindow(0, 4)), "layers 0 to 3"),
        (lambda signal: passage_scores(signal, LayerWindow(0, 1), heads=[(0, 0)]), "heads cannot be chosen"),
        (lambda signal: passage_scores(signal, LayerWindow(0, 1), "NA_only", heads=[(0, 3)]), "head 0-3"),
    ],
)
def test_user_errors(call, message):
    with pytest.raises(UserError, match=message):
        call(random_signal())


def test_rank_falls_and_ties_keep_input_order():
    assert rank(("a", "b", "c", "d"), [0.5, 0.7, 0.5, 0.7]).tolist() == [1, 3, 0, 2]
    assert rank((), []).tolist() == []
    with pytest.raises(ValueError, match="2 passages"):
        rank(("a", "b"), [1.0])


def test_no_passages():
    signal = random_signal(lengths=())
    for strategy in STRATEGIES:
        assert sweep_scores(signal, strategy).shape == (10, 0)


@pytest.mark.parametrize(
    ("strategy", "heads", "message"),
    [
        ("NA_only", [], "the set is empty"),
        ("NA_only", {"0": 1}, "expected a list"),
        ("NA_only", [[0, 1.5]], r"head \[0, 1.5\]: expected"),
        ("NA_only", [[0, 1.0]], r"head \[0, 1.0\]: expected"),
        ("NA_only", [[True, 1]], r"head \[True, 1\]: expected"),
        ("NA_only", [[0, 1, 2]], r"head \[0, 1, 2\]: expected"),
        ("NA_only", [3], "head 3: expected"),
        ("NA_only", [[4, 0]], "head 4-0: the model has layers 0 to 3"),
        ("NA_only", [[0, 3]], "head 0-3: the model has heads 0 to 2"),
        ("NA_only", [[-1, 0]], r"head \[-1, 0\]: expected"),
        ("NA_only", [[0, 1], "0-1"], "0-1 comes twice"),
        ("masked_NA_calibration", [[0, 1]], "cannot choose heads"),
        ("mean", None, "strategy: 'mean': expected one of masked_NA_calibration"),
        (["NA_only"], None, "expected one of"),
    ],
)
def test_settings_of_heads_that_mean_nothing_are_refused(strategy, heads, message):
    with pytest.raises(UserError, match=message):
        check_strategy(strategy, heads, layers=4, each=3, stored=True)


def test_settings_of_heads_become_pairs():
    assert check_strategy("NA_only", [[0, 2], "3-0"], layers=4, each=3) == ((0, 2), (3, 0))
    assert check_strategy("masked_NA_calibration", None, layers=4, each=3) is None


def test_heads_of_which_none_lies_in_the_window_are_refused_and_give_no_zeros():
    signal = random_signal(layers=4, heads=3)
    with pytest.raises(UserError, match="none of 0-1, 3-2 lies in window L1-2"):
        passage_scores(signal, LayerWindow(1, 2), "NA_only", [(0, 1), (3, 2)])
    assert passage_scores(signal, LayerWindow(1, 3), "NA_only", [(0, 1), (3, 2)]).any()
