"""Every head by itself: its measure, and what input orders do to its ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from layerrank.attention.signal import Signal
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.frames import HEADS, own_columns
from layerrank.evaluation import measures
from layerrank.evaluation.intervals import crossed_interval
from layerrank.layers.head_rules import Judgements, Values, by_head, head_strategy, parse_head_rule
from layerrank.layers.heads import head_values
from layerrank.layers.place import at_places, stability
from layerrank.layers.signals import InOrders, for_each_in_orders, ranked


def head_map(
    paths: Sequence[Path],
    qrels: Qrels,
    measure: str,
    strategy: str,
    *,
    orders: Mapping[str, Sequence[Path]] | None = None,
    seed: int = 42,
    resamples: int = 1000,
    workers: int = 1,
) -> pd.DataFrame:
    """Measure each head by itself: the own columns of `frames.HEADS`, a row a head, layers first.

    Args:
        paths: the stored signal, by shard.
        qrels: of the judged queries.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2; under the masked one a head's own masked sums rank (semantics.md §7).
        orders: the stored signal of each input order; stability and value over them are empty without.
        seed, resamples: of the bootstrap over queries (and, of `value`, over orders as well).
        workers: processes.

    Raises:
        UserError: no judged query with a signal, or none with a signal in every order.
    """
    own = head_strategy(strategy)
    rule = parse_head_rule({"rule": "measure", "measure": measure, "strategy": own})
    found = head_values(paths, qrels, rule, workers=workers)
    layers, heads = found.values.shape[1:]
    shape = len(found.qids), layers * heads
    flat = found.values.reshape(shape).astype(np.float64)
    mean, low, high = crossed_interval(flat[None], resamples=resamples, seed=seed)
    columns = {
        "layer": np.repeat(np.arange(layers), heads),
        "head": np.tile(np.arange(heads), layers),
        "measure": measure,
        "strategy": own,
        **{"mean": mean, "mean_low": low, "mean_high": high},
        **dict.fromkeys(("tau", "tau_low", "tau_high", "value", "value_low", "value_high"), np.nan),
        "queries": len(found.qids),
        "orders": len(orders or ()),
    }
    if orders:
        known = for_each_in_orders(
            orders,
            partial(_over_orders, measure=measure),
            qrels,
            score=partial(_flat, strategy=own),
            rows=layers * heads,
            workers=workers,
            what="heads over orders",
        )
        if not known:
            raise UserError(f"orders {', '.join(orders)}: no judged query has a signal in all of them")
        each = np.stack(list(known.values()))  # [Q, 1 + K, L · H]
        for name, values in (("tau", each[:, :1]), ("value", each[:, 1:])):
            mean, low, high = crossed_interval(values.swapaxes(0, 1), resamples=resamples, seed=seed)
            columns |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(columns)[own_columns(HEADS)]


def _flat(signal: Signal, strategy: str) -> Values:
    """float64[L · H, N]."""
    return by_head(signal, strategy).reshape(-1, len(signal.pids))


def _over_orders(query: InOrders, judgements: Judgements, *, measure: str) -> Values:
    """float64[1 + K, L · H] of one query: τ between orders, then the measure in each."""
    tau, _ = stability(query.scores, query.places)
    values = []
    for scores, places in zip(at_places(query.scores, query.places), query.places, strict=True):
        pids = [query.pids[passage] for passage in np.argsort(places)]
        values.append(measures.of_orders(measure, judgements, pids, ranked(scores)))
    return np.stack([tau, *values])
