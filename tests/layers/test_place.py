"""Shares against a dense two-way computation and on known mixtures; stability against scipy, pair by pair."""

import itertools

import numpy as np
import pytest
from scipy import stats

from layerrank.attention.scores import order_averaged, standardised
from layerrank.layers import place
from layerrank.layers.place import shares, stability


def mixture(random, orders, passages, by_passage, by_place, rest):
    """Scores float64[K, 1, N] and places of one query whose variance has these three parts."""
    places = np.stack([random.permutation(passages) for _ in range(orders)])
    passage, at_place = (standardised(random.normal(size=passages)) for _ in range(2))
    scores = np.sqrt(by_passage) * passage + np.sqrt(by_place) * at_place[places]
    return (scores + np.sqrt(rest) * random.normal(size=places.shape))[:, None], places


def incidence(places):
    """Dense dummies of passages and of places, a row an observation: two float64[K · N, N]."""
    orders, passages = places.shape
    return np.tile(np.eye(passages), (orders, 1)), np.eye(passages)[places.ravel()]


def explained(y, *factors):
    """Sum of squares of `y` that least squares on the factors' dummies explains."""
    design = np.hstack(factors)
    return float(np.sum((design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2))


def by_regression(scores, places):
    """Unbiased components by fitting both factors (Henderson's method III), with dense matrices and their traces."""
    y = standardised(scores[:, 0]).ravel()
    one, other = incidence(places)

    def equation(factor, rest):
        project = rest @ np.linalg.pinv(rest)
        adjusted = factor - project @ factor
        return explained(y, factor, rest) - explained(y, rest), np.sum(adjusted**2), np.linalg.matrix_rank(adjusted)

    orders, passages = places.shape
    left = y @ y - explained(y, one, other)
    free = orders * (passages - 1) - (np.linalg.matrix_rank(np.hstack([one, other])) - 1)
    noise = left / free
    parts = [(total - rank * noise) / size for total, size, rank in (equation(one, other), equation(other, one))]
    return np.array([*parts, noise])


def test_all_orders_of_four_passages_by_dense_least_squares():
    random = np.random.default_rng(3)
    table = random.normal(size=(4, 4))  # any score of each passage at each place
    places = np.array(list(itertools.permutations(range(4))))
    scores = np.stack([table[range(4), own] for own in places])[:, None]
    y = standardised(scores[:, 0]).ravel()
    one, other = incidence(places)
    share = np.array([explained(y, one), explained(y, other)]) / (y @ y)
    assert explained(y, one, other) / (y @ y) == pytest.approx(share.sum())  # all orders: the factors are orthogonal
    count = len(places)
    found = np.array(shares(scores, places))[:, 0]
    # Pairs of different orders; least squares holds each order against itself as well.
    np.testing.assert_allclose(found, (count * share - 1) / (count - 1), atol=1e-12)


def test_the_mean_over_draws_of_shuffles_is_the_whole_decomposition():
    random = np.random.default_rng(4)
    table = random.normal(size=(5, 5)) + 2 * random.normal(size=(5, 1)) + random.normal(size=5)
    every = np.array(list(itertools.permutations(range(5))))
    y = standardised(np.stack([table[range(5), own] for own in every])).ravel()
    one, other = incidence(every)
    expected = np.array([explained(y, one), explained(y, other)]) / (y @ y)
    drawn = []
    for _ in range(6000):
        places = every[random.integers(len(every), size=2)]
        scores = np.stack([table[range(5), own] for own in places])[:, None]
        drawn.append(np.array(shares(scores, places))[:, 0])
    error = np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert (np.abs(np.mean(drawn, axis=0) - expected) < 4 * error).all() and error.max() < 0.01


@pytest.mark.parametrize("orders", [2, 3, 4])
@pytest.mark.parametrize(
    "parts", [(1, 0, 0), (0, 1, 0), (0.5, 0.1, 0.4), (0.01, 0.54, 0.45), (0.3, 0.3, 0.4), (0, 0, 1)]
)
def test_known_mixtures(parts, orders):
    random = np.random.default_rng(orders)
    drawn = [mixture(random, orders, 50, *parts) for _ in range(60)]
    found = np.mean([np.array(shares(scores, places))[:, 0] for scores, places in drawn], axis=0)
    np.testing.assert_allclose(found, parts[:2], atol=0.025)


def test_agrees_with_a_regression_on_passages_and_places():
    random = np.random.default_rng(8)
    drawn = [mixture(random, 4, 30, 0.5, 0.2, 0.3) for _ in range(40)]
    found = np.mean([np.array(shares(scores, places))[:, 0] for scores, places in drawn], axis=0)
    regressed = np.mean([by_regression(scores, places) for scores, places in drawn], axis=0)
    np.testing.assert_allclose(found, regressed[:2] / regressed.sum(), atol=0.02)


def test_shares_by_hand():
    # Two shuffles of three passages, the second the reverse of the first; scores follow the passage, then the place.
    places = np.array([[0, 1, 2], [2, 1, 0]])
    scores = np.array([[[3.0, 1.0, -1.0], [5.0, 5.0, 5.0]], [[30.0, 10.0, -10.0], [1.0, 2.0, 3.0]]])
    passage, at_place = shares(scores, places)
    assert passage[0] == pytest.approx(1) and at_place[0] == pytest.approx(-1)
    assert np.isnan(passage[1]) and np.isnan(at_place[1])  # all alike in one shuffle
    passage, at_place = shares(np.stack([scores[1], scores[1, :, ::-1]]), places)
    assert passage == pytest.approx([-1, -1]) and at_place == pytest.approx([1, 1])
    assert np.isnan(shares(scores[:1], places[:1])).all() and np.isnan(shares(scores[..., :1], places[:, :1])).all()


def test_windows_do_not_mix():
    random = np.random.default_rng(1)
    one, other = (mixture(random, 3, 9, *parts) for parts in ((0.7, 0.1, 0.2), (0.1, 0.7, 0.2)))
    scores = np.concatenate([one[0], other[0]], axis=1)
    together = np.array(shares(scores, one[1]))
    for window in range(2):
        np.testing.assert_allclose(together[:, [window]], shares(scores[:, [window]], one[1]))


def by_scipy(scores, places):
    orders, windows, _ = scores.shape
    tau, first = np.zeros(windows), np.zeros(windows)
    for window in range(windows):
        own = scores[:, window]
        best = [min(range(len(s)), key=lambda i, s=s, p=p: (-s[i], p[i])) for s, p in zip(own, places, strict=True)]
        pairs = list(itertools.combinations(range(orders), 2))
        tau[window] = np.mean([stats.kendalltau(own[a], own[b]).statistic for a, b in pairs])
        first[window] = np.mean([best[a] == best[b] for a, b in pairs])
    return tau, first


@pytest.mark.parametrize("cells", [place.CELLS, 40])
@pytest.mark.parametrize(("orders", "passages"), [(2, 2), (3, 7), (6, 13)])
def test_stability_by_scipy(orders, passages, cells, monkeypatch):
    monkeypatch.setattr(place, "CELLS", cells)
    random = np.random.default_rng(orders)
    places = np.stack([random.permutation(passages) for _ in range(orders)])
    scores = random.normal(size=(orders, 9, passages)) + 2 * random.normal(size=(9, passages))
    scores[:, 2] = scores[0, 2]  # the same everywhere
    scores[:, 3] = np.stack([np.arange(passages, dtype=float), *scores[1:, 3]])
    scores[:, 4:6] = np.round(scores[:, 4:6])  # ties
    scores[0, 4, :2] = 1.0, -1.0
    scores[1:, 4, :2] = -1.0, 1.0
    expected = by_scipy(scores, places)
    found = stability(scores, places)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-12)
    assert found[0][2] == pytest.approx(1) and found[1][2] == 1


def test_what_has_no_stability():
    random = np.random.default_rng(0)
    places = np.stack([random.permutation(5) for _ in range(3)])
    scores = random.normal(size=(3, 2, 5))
    scores[0, 1] = 2.0  # tells no passage from another: only the other pair of orders has a τ
    tau, _ = stability(scores, places)
    assert tau[1] == pytest.approx(stats.kendalltau(scores[1, 1], scores[2, 1]).statistic)
    scores[1, 1] = 2.0
    assert np.isnan(stability(scores, places)[0][1])
    assert np.isnan(stability(scores[:1], places[:1])).all()


def test_order_averaged_scores_take_out_place():
    random = np.random.default_rng(2)
    relevance, at_place = random.normal(size=40), 2 * random.normal(size=40)
    places = np.stack([random.permutation(40) for _ in range(16)])
    scores = (relevance + at_place[places])[:, None]
    averaged = order_averaged(scores)
    assert averaged.shape == (1, 40)
    np.testing.assert_allclose(averaged, np.mean(standardised(scores), axis=0))
    single = [stats.kendalltau(own[0], relevance).statistic for own in scores]
    assert stats.kendalltau(averaged[0], relevance).statistic > max(single)
    flat = np.stack([scores[0], np.zeros_like(scores[0])])
    np.testing.assert_allclose(order_averaged(flat), standardised(scores[0]) / 2)


def test_standardised_has_no_scale():
    scores = np.array([[1.0, 2.0, 6.0], [7.0, 7.0, 7.0], [0.1, 0.1, 0.1]])
    found = standardised(scores)
    assert found[0].mean() == pytest.approx(0) and found[0].var() == pytest.approx(1)
    assert np.isnan(found[1:]).all()
    np.testing.assert_allclose(standardised(1e-9 * scores[0] + 3e-9), found[0])
