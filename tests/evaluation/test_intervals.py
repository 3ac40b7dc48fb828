import numpy as np
import pytest
from scipy import stats

from layerrank.core.errors import UserError
from layerrank.evaluation.intervals import mean_interval


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
    with pytest.raises(UserError, match="level"):
        mean_interval(np.ones(3), level=1.0)
