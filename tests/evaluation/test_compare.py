import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.evaluation import compare

DIFFERENCES = np.array([0.3, -0.1, 0.25, 0.4, 0.0, 0.15, -0.05, 0.2])


def test_holm_by_hand():
    # 4 tests: .005·4 = .02, .01·3 = .03, .03·2 = .06, .04·1 = .04, which may not fall below the one before it.
    assert compare.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert compare.holm([0.5, 0.4]) == pytest.approx([0.8, 0.8])
    assert compare.holm([0.6, 0.9]) == [1.0, 1.0]
    assert compare.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni(ps):
    for raw, adjusted in zip(ps, compare.holm(ps), strict=True):
        assert raw <= adjusted <= min(1.0, len(ps) * raw)


def test_exact_randomisation_test_by_enumeration():
    signs = np.array(list(itertools.product((1, -1), repeat=len(DIFFERENCES))))
    means = (signs * np.abs(DIFFERENCES)).mean(axis=1)
    upper = np.mean(means >= DIFFERENCES.mean() - 1e-12)
    assert compare.randomisation_test(DIFFERENCES, seed=0) == pytest.approx(2 * upper)
    assert compare.randomisation_test(-DIFFERENCES, seed=0) == pytest.approx(2 * upper)


def test_randomisation_test_agrees_with_scipys_paired_form_and_is_seeded():
    rng = np.random.default_rng(5)
    ours, theirs = rng.random(60), rng.random(60) + 0.1
    paired = stats.permutation_test(
        (ours, theirs),
        lambda x, y: np.mean(x) - np.mean(y),
        permutation_type="samples",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    )
    first = compare.randomisation_test(ours - theirs, seed=3, resamples=4000)
    assert first == compare.randomisation_test(ours - theirs, seed=3, resamples=4000)
    assert first == pytest.approx(paired.pvalue, abs=0.02)


def test_t_test_and_effect_size_against_scipy():
    baseline = np.linspace(0.1, 0.8, 8)
    expected = stats.ttest_rel(baseline + DIFFERENCES, baseline)
    assert compare.t_test(DIFFERENCES) == pytest.approx(expected.pvalue)
    assert compare.effect_size(DIFFERENCES) == pytest.approx(expected.statistic / np.sqrt(8))


@pytest.mark.parametrize(("differences", "p", "size"), [(np.zeros(5), 1.0, 0.0), (np.array([0.2]), 1.0, np.nan)])
def test_without_evidence_nothing_is_significant(differences, p, size):
    assert compare.t_test(differences) == p
    assert compare.randomisation_test(differences, seed=0) == p
    assert compare.effect_size(differences) == pytest.approx(size, nan_ok=True)


def values(systems, collection="c", measure="nDCG@10", variant="base"):
    return pd.DataFrame(
        [
            (collection, "m", variant, system, f"q{number}", measure, float(score), 1)
            for system, scores in systems.items()
            for number, score in enumerate(scores)
        ],
        columns=frames.VALUES,
    )


BASE = np.array([0.1, 0.5, 0.2, 0.0, 0.9, 0.3, 0.4, 0.6])
SYSTEMS = {
    "bm25": BASE,
    "listwise-attention-all": BASE + DIFFERENCES,
    "setwise-generation": np.zeros(8),
    "same-likelihood": BASE,
    "listwise-attention-selected-oracle": BASE + 0.5,
    "ceiling": np.ones(8),
}


def against(table, family=frames.AGAINST_BASELINE):
    return table[table["family"] == family].reset_index(drop=True)


def test_every_family_names_itself_and_is_corrected_by_itself():
    systems = {
        "bm25": BASE,
        "listwise-attention-selected-peak": BASE + DIFFERENCES / 2,
        "listwise-attention-L1-2": BASE - DIFFERENCES / 3,
        "listwise-attention-all": BASE + DIFFERENCES,
        "listwise-attention-selected-oracle": BASE + 0.5,
        "listwise-generation": BASE + 0.1,
        "setwise-attention-selected-peak": BASE,
        "setwise-likelihood": BASE + DIFFERENCES**2,
        "pairwise-generation": BASE,
        "ceiling": np.ones(8),
    }
    table = compare.compare(values(systems), ["bm25"], seed=1, resamples=99)
    pairs = {
        name: list(zip(part["baseline"], part["system"], strict=True))
        for name, part in table.groupby("family", sort=False)
    }
    assert pairs.keys() == {"baseline", "mechanisms", "windows"} and len(pairs["baseline"]) == 7
    assert pairs["mechanisms"] == [
        ("setwise-likelihood", "setwise-attention-selected-peak"),
        ("listwise-generation", "listwise-attention-all"),
    ]
    assert pairs["windows"] == [
        ("listwise-attention-all", "listwise-attention-selected-peak"),
        ("listwise-attention-all", "listwise-attention-L1-2"),
    ]
    assert {name: set(part["tests"]) for name, part in table.groupby("family")} == {
        "baseline": {7},
        "mechanisms": {2},
        "windows": {2},
    }
    windows = against(table, frames.OF_WINDOWS)
    assert list(windows["p_t_holm"]) == pytest.approx(compare.holm(list(windows["p_t"])))
    shift = -DIFFERENCES / 2
    assert windows["p_t"].iloc[0] == pytest.approx(stats.ttest_1samp(shift, 0).pvalue)


def test_comparison_counts_means_and_family():
    table = against(compare.compare(values(SYSTEMS), ["bm25"], seed=1, resamples=999)).set_index("system")
    assert list(table.index) == ["listwise-attention-all", "setwise-generation", "same-likelihood"]
    better = table.loc["listwise-attention-all"]
    assert (better["wins"], better["ties"], better["losses"]) == (5, 1, 2)
    assert better["difference"] == pytest.approx(DIFFERENCES.mean())
    assert better["low"] < better["difference"] < better["high"]
    assert better["p_t"] == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).pvalue)
    nothing = table.loc["setwise-generation"]
    assert (nothing["wins"], nothing["ties"], nothing["losses"]) == (0, 1, 7)
    assert nothing["mean"] == 0.0 and nothing["difference"] == pytest.approx(-BASE.mean())
    same = table.loc["same-likelihood"]
    assert (same["wins"], same["ties"], same["losses"]) == (0, 8, 0)
    assert same["p_randomisation"] == same["p_t_holm"] == 1.0 and same["effect_size"] == 0.0
    assert set(table["tests"]) == {3}
    assert list(table["p_t_holm"]) == pytest.approx(compare.holm(list(table["p_t"])))


def test_families_do_not_reach_over_collections_or_measures():
    one = values({"bm25": BASE, "a-b": BASE + DIFFERENCES})
    two = values({"bm25": BASE, "a-b": BASE + DIFFERENCES}, collection="d")
    three = values({"bm25": BASE, "a-b": BASE + DIFFERENCES}, measure="RR@10")
    alone = compare.compare(one, ["bm25"], seed=1, resamples=999)
    together = compare.compare(pd.concat([one, two, three]), ["bm25"], seed=1, resamples=999)
    assert len(together) == 3
    assert set(together["p_t_holm"]) == set(alone["p_t_holm"]) and set(together["tests"]) == {1}


def test_two_baselines_share_a_family_and_no_pair_is_tested_twice():
    table = against(compare.compare(values(SYSTEMS), ["bm25", "listwise-attention-all"], seed=1, resamples=99))
    pairs = set(zip(table["baseline"], table["system"], strict=True))
    assert ("bm25", "listwise-attention-all") in pairs and ("listwise-attention-all", "bm25") not in pairs
    assert set(table["tests"]) == {5} and len(table) == 5


def test_order_of_systems_does_not_change_a_result():
    turned = dict(reversed(SYSTEMS.items()))
    key = ["family", "system"]
    first = compare.compare(values(SYSTEMS), ["bm25"], seed=1, resamples=99).set_index(key)
    second = compare.compare(values(turned), ["bm25"], seed=1, resamples=99).set_index(key).loc[first.index]
    pd.testing.assert_frame_equal(first, second)


def test_unknown_baseline_and_unequal_queries_are_refused():
    with pytest.raises(UserError, match="known: bm25"):
        compare.compare(values(SYSTEMS), ["bm26"], seed=1)
    uneven = values(SYSTEMS).drop(index=0)
    with pytest.raises(UserError, match="bm25 lacks queries"):
        compare.compare(uneven, ["bm25"], seed=1)


def test_few_resamples_do_not_cap_a_large_family():
    rng = np.random.default_rng(2)
    many = {"bm25": np.zeros(40)} | {f"s{number}-generation": rng.random(40) for number in range(30)}
    table = compare.compare(values(many), ["bm25"], seed=1, resamples=100)
    assert set(table["tests"]) == {30}
    assert (table["p_randomisation_holm"] < 0.01).all()
