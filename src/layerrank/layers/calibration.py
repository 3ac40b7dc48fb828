"""Place-calibrated scores: the mean score of a place, learnt from other queries, is taken off (semantics.md §8).

No judgement is read, and no further pass is needed. A query is corrected by means over the shuffles of other queries
alone: of those in the other folds, or of all where it is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layerrank.attention.scores import standardised
from layerrank.attention.store import stored_qids
from layerrank.core.errors import UserError
from layerrank.layers.place import at_places
from layerrank.layers.selection import folds_of
from layerrank.layers.signals import InOrders, Read, finite_scores, for_each_in_orders

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlaceMeans:
    """Mean standardised score of each place and window, for each fold of queries without that fold's.

    Attributes:
        folds: the fold of each query that was learnt from: {qid: 0 … F − 1}.
        reads: the W windows and sets of heads, as they were given.
        means: float64[F + 1, W, M]: [f] is learnt from all queries but those of fold f, [F] from all. Places are
            relative: M = the longest list, and a shorter one is stretched over it by linear interpolation.
    """

    folds: Mapping[str, int]
    reads: tuple[Read, ...]
    means: Values

    def calibrated(self, qid: str, scores: Values) -> Values:
        """Standardised scores less the mean of their place: float64[W, N] → float64[W, N].

        Passages of `scores` stand in the input order of the pass that gave them. `qid` decides the fold: nothing of
        that query is in what is taken off. Where all passages score alike, what is left is the correction.
        """
        fold = self.folds.get(qid, len(self.means) - 1)
        below, share = _grid(scores.shape[-1], self.means.shape[-1])
        means = self.means[fold]
        at = means[:, below] * (1 - share) + means[:, np.minimum(below + 1, means.shape[-1] - 1)] * share
        return np.asarray(np.nan_to_num(standardised(scores)) - at)


def place_means(
    shuffles: Mapping[str, Sequence[Path]],
    reads: Sequence[Read],
    strategy: str,
    *,
    folds: int = 5,
    seed: int = 42,
    workers: int = 1,
) -> PlaceMeans:
    """Learn `PlaceMeans` from the stored signals of shuffles, by shard; folds as for the choice of a window.

    With fewer queries than `folds` each is a fold of its own.

    Raises:
        UserError: no shuffle, or fewer than two queries that every shuffle has.
    """
    if not shuffles:
        raise UserError("place calibration: needs at least one shuffled order")
    held = [stored_qids(paths) for paths in shuffles.values()]
    qids = [qid for qid in held[0] if all(qid in own for own in held)]
    if len(qids) < 2:
        raise UserError(f"place calibration: learns from other queries, and the shuffles have {len(qids)} in common")
    fold = folds_of(qids, min(folds, len(qids)), seed)
    found = for_each_in_orders(
        shuffles,
        _by_place,
        dict.fromkeys(qids),
        score=partial(finite_scores, reads=reads, strategy=strategy),
        rows=len(reads),
        workers=workers,
        what="places",
    )
    longest = max(own.shape[-1] for own in found.values())
    count = max(fold.values()) + 1
    sums, weights = np.zeros((count, len(reads), longest)), np.zeros((count, len(reads), longest))
    for qid, (total, known) in found.items():
        below, share = _grid(total.shape[-1], longest)
        for at, part in ((below, 1 - share), (np.minimum(below + 1, longest - 1), share)):
            np.add.at(sums[fold[qid]].T, at, (total * part).T)
            np.add.at(weights[fold[qid]].T, at, (known * part).T)
    left = [(sums.sum(axis=0) - own, weights.sum(axis=0) - weight) for own, weight in zip(sums, weights, strict=True)]
    left.append((sums.sum(axis=0), weights.sum(axis=0)))
    return PlaceMeans(fold, tuple(reads), np.stack([_mean(total, weight) for total, weight in left]))


def _by_place(query: InOrders, _: None) -> Values:
    """float64[2, W, N]: over shuffles, sums of standardised scores by place and the number of them."""
    values = at_places(standardised(query.scores), query.places)
    known = np.isfinite(values)
    return np.stack([np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)])


def _grid(passages: int, longest: int) -> tuple[NDArray[np.int64], Values]:
    """Where the places of a list lie on those of the longest: the place below, and how far above it, 0 to 1."""
    at = np.arange(passages) * ((longest - 1) / max(passages - 1, 1))
    below = np.floor(at + 1e-9).astype(np.int64)
    return below, np.clip(at - below, 0.0, 1.0)


def _mean(total: Values, weight: Values) -> Values:
    """float64[W, M]: means where anything stood; elsewhere interpolated along the places, 0 where nothing is known."""
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-9)
    places = np.arange(total.shape[1])
    for row, known in zip(mean, weight > 1e-9, strict=True):
        if known.any() and not known.all():
            row[~known] = np.interp(places[~known], places[known], row[known])
    return mean
