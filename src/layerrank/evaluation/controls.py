"""Controls: systems that know nothing of relevance, measured like every other (semantics.md §10)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from layerrank.core.files import Qrels
from layerrank.core.records import Candidates, Ranking
from layerrank.core.systems import CONSTANT, PLACE
from layerrank.evaluation import measures

ORDERS = 1000
"""Random orders that a mean is taken over."""


def rankings(row: Candidates) -> dict[str, Ranking]:
    """The controls that give one order.

    `constant` gives all passages one score: ties stay in input order. `place` follows the place in the prompt of
    whole-list attention, whose last passage stands next to the query: the first candidate. In the first stage's order
    both are the first stage.
    """
    pids = [passage.pid for passage in row.passages]
    places = range(len(pids), 0, -1)
    by_place = sorted(zip(places, pids, strict=True), reverse=True)
    return {
        CONSTANT: Ranking(row.query.qid, tuple(pids), (1.0,) * len(pids)),
        PLACE: Ranking(row.query.qid, tuple(pid for _, pid in by_place), tuple(float(place) for place, _ in by_place)),
    }


def random_values(
    texts: Sequence[str],
    qrels: Qrels,
    candidates: Mapping[str, Candidates],
    level: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Each measure's mean over `ORDERS` random orders of a query's candidates: {measure: {qid: value}}.

    A query's orders depend on the seed and its id alone.
    """
    found: dict[str, dict[str, float]] = {text: {} for text in texts}
    for qid, judgements in qrels.items():
        row = candidates.get(qid)
        pids = [] if row is None else [passage.pid for passage in row.passages]
        drawn = shuffles(np.zeros(len(pids), dtype=np.int64), qid, seed, ORDERS)
        for text in texts:
            values = measures.of_orders(str(measures.at_level(text, level)), judgements, pids, drawn)
            found[text][qid] = float(values.mean())
    return found


def shuffles(groups: NDArray[np.int64], qid: str, seed: int, orders: int) -> NDArray[np.int64]:
    """Random orders int64[orders, N] of N positions that keep `groups` int64[N] in their order and shuffle within."""
    own = int.from_bytes(hashlib.sha256(f"{seed}\0{qid}".encode()).digest()[:8], "big")
    keys = np.random.default_rng(own).random((orders, len(groups)))
    # Keys lie below 1, so that a passage stays within its group.
    return np.argsort(groups + keys, axis=1, kind="stable")
