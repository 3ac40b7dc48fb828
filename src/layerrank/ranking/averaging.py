"""Rankings from several orders of the same passages: none owes its rank to its place (semantics.md §8)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Scores = npt.NDArray[np.float64]


def text_orders(query: str, texts: Sequence[str], count: int) -> list[list[int]]:
    """Orders of the passages: the one given, or several that do not depend on it, each second one a reverse.

    A shuffle is the order of digests of seed, query and passage, so the same passages come in the same orders however
    they are brought.
    """
    if count == 1:
        return [list(range(len(texts)))]
    orders: list[list[int]] = []
    for seed in range((count + 1) // 2):
        keys = [hashlib.sha256("\0".join((str(seed), query, text)).encode()).digest() for text in texts]
        order = sorted(range(len(texts)), key=keys.__getitem__)
        orders += [order, order[::-1]]
    return orders[:count]


def standardised(scores: Scores) -> Scores:
    """float64[orders, passages]: mean 0 and deviation 1 within each order; 0 where all scores are equal."""
    centred = scores - scores.mean(axis=1, keepdims=True) if scores.size else scores
    deviation = centred.std(axis=1, keepdims=True) if scores.size else np.ones((len(scores), 1))
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)


def unshuffled(scores: Scores, orders: Sequence[Sequence[int]]) -> Scores:
    """float64[orders, passages]: from the order that each row is of to the order given."""
    found = np.empty_like(scores)
    np.put_along_axis(found, np.array(orders, dtype=np.int64).reshape(scores.shape), scores, axis=1)
    return found


def by_score(final: Scores, raw: Scores, order: Sequence[int]) -> list[int]:
    """Passages by falling score; equal ones by the mean of the raw scores, then by their place in the first order.

    Of two passages standardised scores are ±1 whatever they were: where the orders disagree, raw scores decide.
    """
    return sorted(order, key=lambda index: (-round(float(final[index]), 12), -float(raw[index])))


def agreement(scores: Scores) -> float | None:
    """Mean Kendall τ between the rankings of all pairs of orders; None where there are no two, or no two passages."""
    if len(scores) < 2 or scores.shape[1] < 2:
        return None
    pairs = [
        float(stats.kendalltau(one, other).statistic) for place, one in enumerate(scores) for other in scores[:place]
    ]
    return float(np.mean(pairs)) if np.isfinite(pairs).all() else 0.0
