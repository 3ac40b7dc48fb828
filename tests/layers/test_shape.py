import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.signals import random_signal
from support.stores import write_store

from layerrank.__main__ import main
from layerrank.attention.scores import passage_scores
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow
from layerrank.layers import shape as layers

ERROR = 0.02


def profile_of(mean, error=ERROR, measure="nDCG@10"):
    depth = np.linspace(0, 1, len(mean))
    return pd.DataFrame(
        {
            "measure": measure,
            "layer": range(len(mean)),
            "relative_depth": depth,
            "mean": mean,
            "low": mean - 2 * error,
            "high": mean + 2 * error,
            "queries": 50,
        }
    )


def noisy(curve, seed, count=30):
    return curve(np.linspace(0, 1, count)) + np.random.default_rng(seed).normal(0, ERROR, count)


SHAPES = {
    "bell": lambda x: 0.1 + 0.3 * np.exp(-0.5 * ((x - 0.45) / 0.15) ** 2),
    "rise": lambda x: 0.1 + 0.3 * x,
    "fall": lambda x: 0.4 - 0.3 * x,
    "plateau": lambda x: 0.1 + 0.3 / (1 + np.exp(-(x - 0.3) / 0.05)),
    "half a bell": lambda x: 0.1 + 0.3 * np.exp(-0.5 * ((x - 1) / 0.3) ** 2),
    "flat": lambda x: 0.3 + 0 * x,
    "valley": lambda x: 0.4 - 0.3 * np.exp(-0.5 * ((x - 0.5) / 0.1) ** 2),
    "two peaks": lambda x: (
        0.1 + 0.3 * (np.exp(-0.5 * ((x - 0.2) / 0.06) ** 2) + np.exp(-0.5 * ((x - 0.8) / 0.06) ** 2))
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("bell", "bell"),
        ("rise", "monotone"),
        ("fall", "monotone"),
        ("plateau", "monotone"),
        ("half a bell", "monotone"),
        ("flat", "flat"),
        ("valley", "other"),
        ("two peaks", "other"),
    ],
)
def test_verdicts(name, verdict, seed):
    found = layers.shape_of(profile_of(noisy(SHAPES[name], seed)))
    assert found["verdict"] == verdict, found["reason"]
    assert found["weight_bell"] + found["weight_monotone"] + found["weight_flat"] == pytest.approx(1)
    assert (found["p_flat"] < layers.DIFFERENT) == (name != "flat")


def test_a_bell_is_found_where_it_is():
    found = layers.shape_of(profile_of(noisy(SHAPES["bell"], 1)))
    assert found["centre"] == pytest.approx(0.45, abs=4 * found["centre_error"])
    assert found["width"] == pytest.approx(0.15, abs=4 * found["width_error"])
    assert 0 < found["centre_error"] < 0.03 and 0 < found["width_error"] < 0.03
    assert found["centre_layer"] == pytest.approx(29 * found["centre"])
    assert found["width_layers"] == pytest.approx(29 * found["width"])
    assert found["floor"] == pytest.approx(0.1, abs=0.03) and found["height"] == pytest.approx(0.3, abs=0.03)


def test_an_exact_bell_is_fitted_exactly():
    found = layers.shape_of(profile_of(SHAPES["bell"](np.linspace(0, 1, 30))))
    assert [found[key] for key in ("floor", "height", "centre", "width")] == pytest.approx([0.1, 0.3, 0.45, 0.15])
    assert found["r2_bell"] == pytest.approx(1) and found["verdict"] == "bell"


def test_the_fit_weighs_layers_by_their_error():
    depth, mean = np.linspace(0, 1, 20), np.full(20, 0.5)
    mean[3] = 5.0
    trusting, doubting = np.ones(20), np.ones(20)
    doubting[3] = 1e-9
    assert layers.fit_flat(mean, trusting).parameters[0] == pytest.approx(0.725)
    assert layers.fit_flat(mean, doubting).parameters[0] == pytest.approx(0.5)
    outlier = SHAPES["bell"](depth)
    outlier[19] = 3.0
    assert layers.fit_curve(depth, outlier, np.where(depth == 1, 1e-9, 1), layers.bump, falls=False).parameters[
        2
    ] == pytest.approx(0.45)


def test_aicc_by_hand():
    mean = np.array([0.0, 1.0] * 5)
    fit = layers.fit_flat(mean, np.ones(10))
    assert fit.aicc == pytest.approx(10 * np.log(0.25) + 4 + 12 / 7)
    assert fit.r2 == pytest.approx(0)


def test_a_bell_within_the_intervals_says_so():
    found = layers.shape_of(profile_of(noisy(SHAPES["bell"], 1), error=0.3))
    assert found["verdict"] == "bell" and "within the intervals" in found["reason"]


def test_constant_profiles_short_models_and_unknown_intervals():
    assert layers.shape_of(profile_of(np.zeros(30)))["verdict"] == "flat"
    short = layers.shape_of(profile_of(np.arange(7.0)))
    assert short["verdict"] == "other" and "too few" in short["reason"]
    unknown = layers.shape_of(profile_of(noisy(SHAPES["bell"], 1)).assign(low=np.nan, high=np.nan))
    assert unknown["verdict"] == "bell" and np.isnan(unknown["p_flat"])


def test_neighbours_by_scipy_and_the_one_candidate_query_left_out(tmp_path):
    signals = [random_signal(f"q{i}", lengths, seed=i) for i, lengths in enumerate([(3, 4, 2, 6), (5,), (1, 1, 2)])]
    table = layers.neighbour_agreement([write_store(tmp_path / "s.arrow", signals)], "NA_only", resamples=50)
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
    with pytest.raises(UserError, match="two candidates"):
        layers.neighbour_agreement([write_store(tmp_path / "t.arrow", signals[1:2])], "NA_only")


def test_command(tmp_path):
    profile = pd.concat([profile_of(noisy(SHAPES[name], 1), measure=name) for name in ("bell", "flat")])
    frames.write_frame(tmp_path / "p.tsv", profile)
    arguments = ["layer-shape", "--profile", str(tmp_path / "p.tsv"), "--output", str(tmp_path / "shape.tsv")]
    assert main(arguments) == 0
    shape = frames.read_frame(tmp_path / "shape.tsv", layers.SHAPE)
    assert shape[["measure", "verdict"]].to_numpy().tolist() == [["bell", "bell"], ["flat", "flat"]]
    store = write_store(tmp_path / "s.arrow", [random_signal("q", (2, 3, 4))])
    assert main([*arguments, "--signal", str(store), "--neighbours", str(tmp_path / "n.tsv")]) == 0
    assert len(frames.read_frame(tmp_path / "n.tsv", layers.NEIGHBOURS)) == 3
    assert main([*arguments, "--signal", str(store)]) == 2
