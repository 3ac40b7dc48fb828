"""Verdicts on synthetic curves with noise, each kind told right at 200 queries; the published curve; the fits."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.signals import random_signal
from support.stores import write_store

from layerrank.__main__ import main
from layerrank.attention.scores import MASKED, passage_scores
from layerrank.core import frames
from layerrank.core.windows import LayerWindow
from layerrank.layers import curves, shape

DEPTH = np.linspace(0, 1, 28)


def step(centre, width):
    return 1 / (1 + np.exp(-(DEPTH - centre) / width))


def bump(centre, width):
    return np.exp(-0.5 * ((DEPTH - centre) / width) ** 2)


CURVES = {
    "bell": 0.1 + 0.3 * bump(0.45, 0.15),
    "peak with partial fall": np.where(DEPTH < 0.45, 0.1 + 0.3 * bump(0.45, 0.15), 0.25 + 0.15 * bump(0.45, 0.15)),
    "rise to a plateau": 0.1 + 0.3 * step(0.35, 0.05),
    "rise": 0.1 + 0.3 * DEPTH,
    "fall": 0.4 - 0.3 * DEPTH,
    "flat": np.full(28, 0.3),
}


def values_of(curve, seed, queries=200, noise=0.2):
    """Values float64[Q, L] with what queries and what neighbouring layers have in common (correlation one half)."""
    random = np.random.default_rng(seed)
    layers = np.empty((queries, len(curve)))
    layers[:, 0] = random.normal(size=queries)
    for layer in range(1, len(curve)):
        layers[:, layer] = 0.5 * layers[:, layer - 1] + np.sqrt(0.75) * random.normal(size=queries)
    return curve + 0.15 * random.normal(size=(queries, 1)) + noise * layers


def verdict_of(values, seed=42):
    """The verdict, with the fits only where it may rest on one."""
    found = shape.held_out(values, seed=seed, resamples=400)
    verdict, _, _ = shape.verdict(found, len(values), 1.0)
    return str(shape.shape_of(values, "m", seed=seed, resamples=400)["verdict"]) if verdict == "bell" else verdict


@pytest.mark.parametrize("kind", CURVES)
def test_each_kind_is_told_right_in_95_of_100_samples_of_200_queries(kind):
    found = [verdict_of(values_of(CURVES[kind], seed)) for seed in range(100)]
    assert found.count(kind) >= 95, found


OTHERS = {
    "a bump at the last layers": (0.1 + 0.3 * bump(1, 0.3), {"rise"}),
    "a drop": (0.4 - 0.3 * step(0.5, 0.05), {"fall"}),
    "a valley": (0.4 - 0.3 * bump(0.5, 0.1), {"other"}),
    "two peaks": (0.1 + 0.3 * (bump(0.2, 0.06) + bump(0.8, 0.06)), {"other"}),
    "a wide bell": (0.1 + 0.3 * bump(0.45, 0.25), {"bell", "peak with partial fall"}),
    "one layer above the others": (np.where(np.arange(28) == 12, 0.4, 0.2), {"bell", "other"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_curves(name):
    curve, allowed = OTHERS[name]
    found = [verdict_of(values_of(curve, seed)) in allowed for seed in range(12)]
    assert sum(found) >= 11


def test_noise_alone_is_no_shape():
    found = [verdict_of(values_of(CURVES["flat"], seed, queries=30)) for seed in range(60)]
    assert sum(one in ("flat", "none shown") for one in found) >= 54


PUBLISHED = [
    *(0, 0, 0.03759, 0, 0.01297, 0.01460, 0.08500, 0, 0.06332, 0.16172, 0.09105, 0.26830, 0.19415, 0.21668, 0.30023),
    *(0.12841, 0.19015, 0.17615, 0.16125, 0.15287, 0.11452, 0.21056, 0.10973, 0.13659, 0.12324, 0.15543, 0.15987),
    0.11582,
]
"""nDCG@10 by layer of Qwen3-0.6B on BRIGHT theoremqa-theorems, 14 queries: the published output file."""


def like_the_published(seed, queries, spread):
    """Values between 0 and 1 with the published means, from nearly all or nothing to alike for all queries."""
    mean, random = np.array(PUBLISHED), np.random.default_rng(seed)
    drawn = random.beta(np.maximum(mean * spread, 1e-6), (1 - mean) * spread, size=(queries, 28))
    return drawn * np.divide(mean, drawn.mean(axis=0), out=np.zeros(28), where=drawn.mean(axis=0) > 0)


@pytest.mark.parametrize("spread", [0.5, 2, 8, 50])
@pytest.mark.parametrize("queries", [14, 60, 200])
def test_the_published_curve_is_no_rise(queries, spread):
    found = [verdict_of(like_the_published(seed, queries, spread)) for seed in range(25)]
    assert set(found) <= {"peak with partial fall", "none shown", "bell"}
    if queries == 200:
        assert set(found) == {"peak with partial fall"}


def test_the_published_peak_and_what_it_loses():
    row = shape.shape_of(like_the_published(1, 200, 8), "nDCG@10")
    assert row["best_layer"] == 14 and 11 <= row["best_low"] <= row["best_high"] <= 14
    assert row["lost_last"] == pytest.approx(0.55, abs=0.03) and row["lost_first"] == 1
    assert row["r2_asymmetric"] > row["r2_monotone"]


def test_differences_on_halves_by_hand():
    # One layer is better for every query by the same amount: every half chooses it.
    values = np.tile(np.linspace(0, 0.3, 10)[:, None], (1, 12)) + np.where(np.arange(12) == 5, 0.2, 0.0)
    values[:, 0] -= 0.1
    found = shape.held_out(values, resamples=50)
    assert shape.ends_of(12) == 2
    assert (found.first.mean, found.last.mean) == (pytest.approx(0.25), pytest.approx(0.2))
    assert (found.lost_first.mean, found.lost_last.mean) == (pytest.approx(1), pytest.approx(0.8))
    assert found.first.low == pytest.approx(0.25) and found.best == shape.Interval(5, 5, 5)


def test_the_gain_of_a_chosen_layer_is_not_flattered():
    means = [shape.held_out(values_of(CURVES["flat"], seed, 40), resamples=10).first.mean for seed in range(200)]
    assert abs(np.mean(means)) < 4 * np.std(means) / np.sqrt(len(means)) < 0.01


def test_what_is_not_shown_names_the_queries_that_would_show_it():
    wanting = values_of(CURVES["bell"], 3, queries=14, noise=0.9)
    row = shape.shape_of(wanting, "m")
    assert row["verdict"] == "none shown" and row["queries_needed"] > 14
    assert f"about {row['queries_needed']:,.0f} queries" in row["reason"]
    assert np.isnan(shape.shape_of(values_of(CURVES["bell"], 3), "m")["queries_needed"])


@pytest.mark.parametrize("queries", [1, 2, 3])
def test_few_queries_show_nothing(queries):
    row = shape.shape_of(values_of(CURVES["bell"], 1, queries=queries), "m", resamples=50)
    assert row["verdict"] in ("none shown", "other") if queries < 3 else row["verdict"]
    assert set(row) == set(frames.own_columns(frames.SHAPE))


def test_zeros_and_short_models():
    assert shape.shape_of(np.zeros((5, 30)), "m")["verdict"] == "flat"
    short = shape.shape_of(values_of(np.array([0.1, 0.5, 0.1, 0.1]), 1), "m")
    assert short["verdict"] in ("bell", "peak with partial fall") and np.isnan(short["r2_asymmetric"])
    assert "no shape" in shape.shape_of(np.ones((5, 2)), "m")["reason"]


def test_an_exact_bell_is_fitted_exactly():
    weight = np.ones(28)
    fit = curves.fit_curve(DEPTH, 0.1 + 0.3 * bump(0.45, 0.15), weight, curves.bump, falls=False)
    assert fit.parameters == pytest.approx((0.1, 0.3, 0.45, 0.15)) and fit.r2 == pytest.approx(1)


def test_an_asymmetric_bump_is_fitted_exactly():
    curve = np.where(DEPTH < 0.4, 0.1 + 0.3 * bump(0.4, 0.1), 0.25 + 0.15 * bump(0.4, 0.2))
    fit = curves.fit_asymmetric(DEPTH, curve, np.ones(28))
    assert fit.parameters == pytest.approx((0.1, 0.25, 0.4, 0.4, 0.1, 0.2), abs=2e-3) and fit.r2 > 0.9999
    symmetric = curves.fit_curve(DEPTH, curve, np.ones(28), curves.bump, falls=False)
    assert fit.aicc < symmetric.aicc and symmetric.r2 < 0.95


def test_a_fit_is_near_its_parameters_by_its_errors():
    mean = values_of(CURVES["bell"], 1).mean(axis=0)
    fit = curves.fit_curve(DEPTH, mean, np.ones(28), curves.bump, falls=False)
    for place, true in ((2, 0.45), (3, 0.15)):
        assert abs(fit.parameters[place] - true) < 4 * fit.errors[place] < 0.1


def test_the_fit_weighs_layers_by_their_error():
    mean = np.full(20, 0.5)
    mean[3] = 5.0
    doubting = curves.weights(np.where(np.arange(20) == 3, 1e4, 0.02))
    assert curves.fit_flat(mean, np.ones(20)).parameters[0] == pytest.approx(0.725)
    assert curves.fit_flat(mean, doubting).parameters[0] == pytest.approx(0.5)
    assert (curves.weights(np.zeros(20)) == 1).all() and (curves.weights(np.full(20, np.nan)) == 1).all()
    outlier = 0.1 + 0.3 * bump(0.45, 0.15)
    outlier[27] = 3.0
    weight = np.where(DEPTH == 1, 1e-9, 1)
    for fit, centre in (
        (curves.fit_curve(DEPTH, outlier, weight, curves.bump, falls=False), 2),
        (curves.fit_asymmetric(DEPTH, outlier, weight), 3),
    ):
        assert fit.parameters[centre] == pytest.approx(0.45, abs=0.01)


def test_aicc_by_hand():
    fit = curves.fit_flat(np.array([0.0, 1.0] * 5), np.ones(10))
    assert fit.aicc == pytest.approx(10 * np.log(0.25) + 4 + 12 / 7)
    assert fit.r2 == pytest.approx(0)


def test_neighbours_by_scipy_and_the_one_candidate_query_left_out(tmp_path):
    signals = [random_signal(f"q{i}", lengths, seed=i) for i, lengths in enumerate([(3, 4, 2, 6), (5,), (1, 1, 2)])]
    table = shape.neighbour_agreement([write_store(tmp_path / "s.arrow", signals)], "NA_only", resamples=50)
    assert table["layer"].tolist() == [0, 1, 2] and table["relative_depth"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert (table["queries"] == 2).all()
    for layer in range(3):
        expected = [
            stats.kendalltau(*(passage_scores(signal, LayerWindow(i, i), "NA_only") for i in (layer, layer + 1)))[0]
            for signal in (signals[0], signals[2])
        ]
        assert table["mean"][layer] == pytest.approx(np.mean(expected))
        assert table["low"][layer] == pytest.approx(min(expected)) and table["high"][layer] == pytest.approx(
            max(expected)
        )
    alone = shape.neighbour_agreement([write_store(tmp_path / "t.arrow", signals[1:2])], "NA_only")
    assert len(alone) == 3 and (alone["queries"] == 0).all() and alone[["mean", "low", "high"]].isna().all(axis=None)


def test_command(tmp_path):
    signals = [random_signal(f"q{i}", (2, 3, 4), layers=12, seed=i) for i in range(6)]
    store = write_store(tmp_path / "s.arrow", signals)
    qrels = tmp_path / "q.txt"
    qrels.write_text("".join(f"q{i} 0 q{i}-d{i % 3} 1\n" for i in range(6)))
    arguments = ["layer-shape", "--collection", "c", "--model", "m"]
    arguments += ["--signal", str(store), "--qrels", str(qrels), "--measures", "nDCG@10", "RR"]
    arguments += ["--resamples", "50", "--output", str(tmp_path / "shape.tsv")]
    assert main([*arguments, "--neighbours", str(tmp_path / "n.tsv")]) == 0
    found = frames.read_frame(tmp_path / "shape.tsv", frames.SHAPE)
    assert found["measure"].tolist() == ["nDCG@10", "RR"] and (found["queries"] == 6).all()
    assert len(frames.read_frame(tmp_path / "n.tsv", frames.NEIGHBOURS)) == 11
    qrels_read = {f"q{i}": {f"q{i}-d{i % 3}": 1} for i in range(6)}
    expected = shape.layer_shapes([store], qrels_read, ["nDCG@10", "RR"], MASKED, resamples=50)
    pd.testing.assert_series_equal(found["rise"], expected["rise"], atol=1e-6)
