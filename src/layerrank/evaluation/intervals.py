"""Bootstrap intervals of means over queries, seeded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from layerrank.core.errors import UserError


class MeanInterval(NamedTuple):
    """Means with their intervals; each field is float64[…], one dimension less than the values (queries gone)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def mean_interval(
    values: NDArray[np.floating[Any]], *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> MeanInterval:
    """Mean of `values` float[…, Q] over the last axis, queries, with the percentile bootstrap's interval at `level`.

    Queries are drawn with replacement, the same draws for every row, so that intervals of one call are comparable and
    the same seed gives the same figures. For paired differences pass the differences. One query has a mean and no
    interval: its ends are NaN. Raises `UserError` without any query, for fewer than one resample, or a level outside
    (0, 1).
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1] == 0:
        raise UserError("bootstrap: no query has a value, so there is no mean")
    if resamples < 1:
        raise UserError(f"resamples: must be at least 1, got {resamples}")
    if not 0 < level < 1:
        raise UserError(f"level: must lie between 0 and 1, got {level}")
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
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low[row], high[row] = found.low, found.high
    return MeanInterval(mean, low, high)
