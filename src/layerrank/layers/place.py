"""What scores owe to the passage and what to its place in the prompt, and how stable rankings are (semantics.md §8).

A query's N passages are scored in K input orders. Scores are standardised within query and order: y[o, p] of passage p
in order o, at place π_o(p), has mean 0 and variance 1 over the passages. The two-way model within a query is

    y[o, p] = α[p] + β[π_o(p)] + ε[o, p],   Σ_p α = Σ_j β = 0,

α the passage, β the place, ε the rest (their interaction, and noise). Each order holds each passage and each place
once. Of two independent random orders o and o', therefore, and with nothing assumed of α, β or a distribution,

    E[(1/N) Σ_p y[o, p] · y[o', p]] = (1/N) Σ α²,   as the places of a passage in the two are independent and Σ β = 0;
    E[(1/N) Σ_j y[o, at j] · y[o', at j]] = (1/N) Σ β²,   as the passages at a place are, and Σ α = 0.

Both are mean products of standardised scores: **the share of the passage is the mean correlation of a query's scores
between pairs of shuffles, passage by passage; the share of the place is the same, place by place; the rest is what is
left of 1.** They are unbiased for any number of shuffles from two up, where a regression on passages and places at once
(Henderson's method III) spends N − 1 degrees of freedom on each factor, has none left for the rest at two shuffles, and
is no more exact at three or four. Noise can make a share that is zero come out slightly below it; nothing is cut off.
The first stage's order and its reverse are no shuffles and have no part in the shares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layerrank.attention.scores import standardised
from layerrank.layers.signals import ranked

Values = NDArray[np.float64]
Places = NDArray[np.int64]

CELLS = 4_000_000
"""Comparisons of two passages held at a time, which bounds memory for long candidate lists."""


def at_places(values: Values, places: Places) -> Values:
    """Values by passage → by place: float64[K, …, N] with places int64[K, N]; at [k, …, j] stands the passage at j."""
    return np.stack([own[..., np.argsort(place)] for own, place in zip(values, places, strict=True)])


def shares(scores: Values, places: Places) -> tuple[Values, Values]:
    """Shares of passage and of place in the variance of one query's scores under shuffles: float64[W] each.

    Args:
        scores: float64[K, W, N], passage scores of each shuffle and window.
        places: int64[K, N], the place of each passage in each shuffle.

    Returns:
        The shares as this module defines them; the rest is 1 less their sum. NaN for fewer than two shuffles or two
        passages, and under windows in which all passages score alike in some shuffle.
    """
    count, windows, passages = scores.shape
    if count < 2 or passages < 2:
        return np.full(windows, np.nan), np.full(windows, np.nan)
    values = standardised(scores)
    pairs = count * (count - 1) * passages
    own = np.einsum("kwn,kwn->w", values, values)

    def products(by: Values) -> Values:
        # Σ over pairs of different orders of their products is (Σ over orders)² less the squares of each.
        total = by.sum(axis=0)
        return np.asarray((np.einsum("wn,wn->w", total, total) - own) / pairs)

    return products(values), products(at_places(values, places))


def stability(scores: Values, places: Places) -> tuple[Values, Values]:
    """How alike one query's rankings are in different orders: Kendall's τ and the same first passage, float64[W] each.

    Args:
        scores: float64[K, W, N].
        places: int64[K, N]; equal scores rank in input order, which decides the first passage.

    Returns:
        Mean over the K · (K − 1) / 2 pairs of orders of τ-b between the scores, and the share of pairs with the same
        first passage. NaN for fewer than two orders or passages; an order in which all passages score alike has no τ
        and is in no pair of the first.
    """
    count, windows, passages = scores.shape
    if count < 2 or passages < 2:
        return np.full(windows, np.nan), np.full(windows, np.nan)
    inputs = at_places(scores, places)
    first = np.stack([np.argsort(place)[own.argmax(axis=-1)] for own, place in zip(inputs, places, strict=True)])
    ordered = np.sort(scores, axis=-1)
    tied = (ordered[..., 1:] == ordered[..., :-1]).any(axis=(0, 2))
    tau = np.empty(windows)
    tau[~tied] = _tau_of_ranks(np.argsort(ranked(scores[:, ~tied]), axis=-1).astype(np.int16))
    tau[tied] = _tau_b(scores[:, tied])
    same = [first[one] == first[other] for one in range(count) for other in range(one)]
    return tau, np.mean(same, axis=0)


def _tau_of_ranks(ranks: NDArray[np.int16]) -> Values:
    """Mean τ over all pairs of orders: ranks int16[K, W, N] without ties → float64[W].

    With c the number of orders that put passage i before j, the pair's signs sum to 2c − K over the orders, and the sum
    over pairs of orders of their products is ((2c − K)² − K) / 2: no pair of orders is ever visited.
    """
    count, windows, passages = ranks.shape
    tau = np.empty(windows)
    step = max(1, CELLS // (passages * passages))
    for start in range(0, windows, step):
        part = ranks[:, start : start + step]
        before = np.zeros((part.shape[1], passages, passages), dtype=np.int16)
        for own in part:
            before += own[:, :, None] < own[:, None, :]
        counts = before.reshape(len(before), -1).astype(np.float64)
        squares = np.einsum("wp,wp->w", counts, counts)  # i before j, and j before i, over all i ≠ j
        pairs = passages * (passages - 1)
        # Σ_{i≠j} (2c − K)² = 4 Σ c² − 4 K Σ c + K² pairs, with Σ c = K pairs / 2
        signs = 4 * squares - count**2 * pairs
        tau[start : start + step] = (signs / pairs - count) / (count * (count - 1))
    return tau


def _tau_b(scores: Values) -> Values:
    """Mean τ-b over all pairs of orders, ties allowed: scores float64[K, W, N] → float64[W]."""
    count, windows = scores.shape[:2]
    tau = np.full(windows, np.nan)
    for window in range(windows):
        signs = np.sign(scores[:, window, :, None] - scores[:, window, None, :]).reshape(count, -1)
        size = np.linalg.norm(signs, axis=1)
        known = size > 0
        if (valid := int(known.sum())) > 1:
            total = (signs[known] / size[known, None]).sum(axis=0)
            tau[window] = (total @ total - valid) / (valid * (valid - 1))
    return tau
