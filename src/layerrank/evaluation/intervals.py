"""Bootstrap intervals of means over queries, seeded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from layerrank.core.errors import UserError

LEVEL = 0.95
"""Confidence of every interval."""


class MeanInterval(NamedTuple):
    """Means with their intervals; each field is float64[…], one dimension less than the values (queries gone)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def mean_interval(values: NDArray[np.floating[Any]], *, resamples: int = 1000, seed: int = 0) -> MeanInterval:
    """Mean of `values` float[…, Q] over the last axis, queries, with the percentile bootstrap's interval at `LEVEL`.

    Queries are drawn with replacement, the same draws for every row, so that intervals of one call are comparable and
    the same seed gives the same figures. For paired differences pass the differences. One query has a mean and no
    interval: its ends are NaN. Raises `UserError` without any query, or for fewer than one resample.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1] == 0:
        raise UserError("bootstrap: no query has a value, so there is no mean")
    if resamples < 1:
        raise UserError(f"resamples: must be at least 1, got {resamples}")
    mean = values.mean(axis=-1)
    if values.shape[-1] == 1:
        return MeanInterval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    low, high = np.empty_like(mean), np.empty_like(mean)
    # One row at a time keeps memory at resamples × queries; a generator of the same seed repeats the draws.
    for row in np.ndindex(mean.shape):
        found = stats.bootstrap(
            (values[row],),
            np.mean,
            n_resamples=resamples,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low[row], high[row] = found.low, found.high
    return MeanInterval(mean, low, high)


def crossed_interval(values: NDArray[np.floating[Any]], *, resamples: int = 1000, seed: int = 0) -> MeanInterval:
    """Mean of `values` float[K, Q, …] over orders and queries, with an interval of a bootstrap over both together.

    Orders and queries are drawn with replacement, independently of each other (the pigeonhole bootstrap of Owen, 2007,
    which errs to the wide side): the interval holds for other queries and other orders. With one order it is that of a
    bootstrap over queries. The same draws serve every window. Missing values (NaN) are left out of means; a window
    without any value has NaN, one of a single query no interval.
    Raises `UserError` as `mean_interval` does.
    """
    values = np.asarray(values, dtype=np.float64)
    orders, queries = values.shape[:2]
    if not orders or not queries:
        raise UserError("bootstrap: no query has a value, so there is no mean")
    if resamples < 1:
        raise UserError(f"resamples: must be at least 1, got {resamples}")
    flat = values.reshape(orders, queries, -1)
    known = np.isfinite(flat)
    total, count = np.where(known, flat, 0.0), known.astype(np.float64)
    generator = np.random.default_rng(seed)
    of_orders = generator.multinomial(orders, np.full(orders, 1 / orders), size=resamples).astype(np.float64)
    of_queries = generator.multinomial(queries, np.full(queries, 1 / queries), size=resamples).astype(np.float64)
    sums, counts = np.zeros((resamples, flat.shape[2])), np.zeros((resamples, flat.shape[2]))
    for order in range(orders):
        sums += of_orders[:, [order]] * (of_queries @ total[order])
        counts += of_orders[:, [order]] * (of_queries @ count[order])

    def mean_of(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    mean = mean_of(total.sum(axis=(0, 1)), count.sum(axis=(0, 1)))
    ends = np.full((2, flat.shape[2]), np.nan)
    held = known.any(axis=0).sum(axis=0) > 1
    drawn = mean_of(sums, counts)[:, held]
    ends[:, held] = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    shape = values.shape[2:]
    return MeanInterval(mean.reshape(shape), ends[0].reshape(shape), ends[1].reshape(shape))
