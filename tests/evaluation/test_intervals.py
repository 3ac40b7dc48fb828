import numpy as np
import pytest
from scipy import stats

from layerrank.core.errors import UserError
from layerrank.evaluation.intervals import crossed_interval, mean_interval


def test_agrees_with_scipy_row_by_row_and_repeats_with_the_seed():
    values = np.random.default_rng(1).random((3, 40))
    found = mean_interval(values, resamples=500, seed=7)
    again = mean_interval(values, resamples=500, seed=7)
    for row in range(3):
        expected = stats.bootstrap(
            (values[row],), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(7)
        ).confidence_interval
        assert (found.low[row], found.high[row]) == (expected.low, expected.high)
    np.testing.assert_allclose(found.mean, values.mean(axis=1))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert not np.array_equal(found.low, mean_interval(values, resamples=500, seed=8).low)


def test_is_close_to_the_normal_interval_of_many_queries():
    values = np.random.default_rng(2).normal(0.4, 0.2, 2000)
    found = mean_interval(values, resamples=2000)
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_constant_values_have_an_interval_of_no_width_and_one_query_has_none():
    assert tuple(mean_interval(np.full(5, 0.25))) == (0.25, 0.25, 0.25)
    alone = mean_interval(np.array([0.5]))
    assert alone.mean == 0.5 and np.isnan(alone.low) and np.isnan(alone.high)


def test_refuses_what_has_no_interval():
    with pytest.raises(UserError, match="no query"):
        mean_interval(np.empty((2, 0)))
    with pytest.raises(UserError, match="resamples"):
        mean_interval(np.ones(3), resamples=0)


def test_over_queries_alone_is_the_bootstrap_of_queries():
    values = np.random.default_rng(3).normal(0.4, 0.2, (80, 3))
    crossed = crossed_interval(values[None], resamples=4000)
    plain = mean_interval(values.T, resamples=4000)
    np.testing.assert_allclose(crossed.mean, plain.mean)
    width = plain.high - plain.low
    np.testing.assert_allclose(crossed.low, plain.low, atol=0.06 * width.max())
    np.testing.assert_allclose(crossed.high, plain.high, atol=0.06 * width.max())


def test_over_orders_and_queries_by_drawing_each():
    random = np.random.default_rng(4)
    values = random.normal(size=(5, 30)) * 0.1 + random.normal(size=(5, 1)) * 0.3
    drawn = [
        values[random.integers(5, size=5)][:, random.integers(30, size=30)].mean() for _ in range(8000)
    ]  # both at once, one by one
    found = crossed_interval(values, resamples=8000, seed=1)
    assert found.mean == pytest.approx(values.mean())
    expected = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.06 * (expected[1] - expected[0]))
    # What orders differ by is in the interval: a bootstrap over queries alone has none of it.
    alone = mean_interval(values.mean(axis=0), resamples=2000)
    assert found.high - found.low > 3 * (alone.high - alone.low)


def test_missing_values_are_left_out_of_crossed_means():
    values = np.array([[[0.2, np.nan], [np.nan, np.nan], [0.6, 0.5]]])
    found = crossed_interval(values, resamples=500)
    np.testing.assert_allclose(found.mean, [0.4, 0.5])
    assert (found.low[0], found.high[0]) == pytest.approx((0.2, 0.6))
    assert np.isnan(found.low[1]) and np.isnan(found.high[1])
    assert np.isnan(crossed_interval(np.full((1, 2, 1), np.nan), resamples=9).mean).all()
    for refused in (np.empty((0, 3)), np.empty((2, 0))):
        with pytest.raises(UserError, match="no query"):
            crossed_interval(refused)
    with pytest.raises(UserError, match="resamples"):
        crossed_interval(values, resamples=0)
