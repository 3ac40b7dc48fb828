"""Every window under several input orders: shares of passage and place, stability, and the measure in each order."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from layerrank.attention.scores import all_windows
from layerrank.attention.store import stored_layers, stored_qids
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, replacing
from layerrank.core.frames import ORDERS, own_columns
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures
from layerrank.evaluation.intervals import crossed_interval
from layerrank.layers.place import at_places, shares, stability
from layerrank.layers.profile import relative_depth
from layerrank.layers.signals import InOrders, finite_scores, for_each_in_orders, ranked
from layerrank.layers.sweep import Sweep

FORMAT = 1
_KEY = b"layerrank"
STATISTICS = ("passage", "place", "tau", "first")
"""What is known of a query and window over orders beside the measure."""
_log = logging.getLogger(__name__)

Values = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OrderSweep:
    """What input orders do to every window, query by query.

    Attributes:
        qids: the Q judged queries.
        orders: names of the K orders.
        shuffled: which of them are shuffles; shares are taken over these.
        passage, place: float32[Q, W], shares of the variance of scores (`place.shares`); NaN where a query says
            nothing.
        tau, first: float32[Q, W], mean Kendall's τ between pairs of orders, and the share of pairs with the same first
            passage (`place.stability`).
        values: float32[K, Q, W], the measure under each order.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2.
        layers: of the model, L; the W windows are those of `all_windows(layers)`.
        stored: how many of the queries have a signal in every order; each of the others counts as an empty ranking, and
            has neither shares nor stability.
    """

    qids: tuple[str, ...]
    orders: tuple[str, ...]
    shuffled: tuple[str, ...]
    passage: Floats
    place: Floats
    tau: Floats
    first: Floats
    values: Floats
    measure: str
    strategy: str
    layers: int
    stored: int

    @property
    def windows(self) -> list[LayerWindow]:
        """The W windows, start ascending, then end ascending."""
        return all_windows(self.layers)

    def over_orders(self) -> Sweep:
        """The mean of the measure over the orders, as a sweep."""
        means = self.values.mean(axis=0, dtype=np.float64).astype(np.float32)
        return Sweep(self.qids, means, self.measure, self.strategy, self.layers, self.stored)


def sweep_orders(
    orders: Mapping[str, Sequence[Path]],
    shuffled: Collection[str],
    qrels: Qrels,
    measure: str,
    strategy: str,
    *,
    workers: int = 1,
) -> OrderSweep:
    """Score every window of every judged query in every order, query by query, in `workers` processes.

    Args:
        orders: the stored signal of each order, by shard, of the same candidates.
        shuffled: names of the orders that are shuffles.
        qrels: of the judged queries.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2.
        workers: processes.

    Raises:
        UserError: fewer than two orders, signals of different models or passages, an unknown measure or strategy, or no
            judged query with a signal in every order.
    """
    if len(orders) < 2:
        raise UserError(f"orders: {', '.join(orders) or 'none'}; at least two are needed")
    measures.check([measure])
    layers = {name: stored_layers(paths) for name, paths in orders.items()}
    if len(set(layers.values())) > 1:
        raise UserError(f"orders of models with different layers: {', '.join(f'{n} {k}' for n, k in layers.items())}")
    count = next(iter(layers.values()))
    held = set(qrels).intersection(*(stored_qids(paths) for paths in orders.values()))
    if not held:
        raise UserError(f"orders {', '.join(orders)}: no judged query has a signal in all of them")
    if len(held) < len(qrels):
        _log.info(
            "%d of %d judged queries lack a signal and count as empty rankings", len(qrels) - len(held), len(qrels)
        )
    chosen = tuple(place for place, name in enumerate(orders) if name in shuffled)
    windows = all_windows(count)
    found = for_each_in_orders(
        orders,
        partial(_statistics, shuffled=chosen, measure=measure),
        qrels,
        score=partial(finite_scores, reads=windows, strategy=strategy),
        rows=len(windows),
        workers=workers,
        what="orders",
    )
    statistics = np.full((len(STATISTICS), len(qrels), len(windows)), np.nan, dtype=np.float32)
    values = np.zeros((len(orders), len(qrels), len(windows)), dtype=np.float32)
    nothing = np.empty((1, 0), dtype=np.int64)
    for row, (qid, judgements) in enumerate(qrels.items()):
        if qid in found:
            statistics[:, row] = found[qid][: len(STATISTICS)]
            values[:, row] = found[qid][len(STATISTICS) :]
        else:
            values[:, row] = measures.of_orders(measure, judgements, (), nothing)[0]
    names = tuple(orders)
    return OrderSweep(
        tuple(qrels),
        names,
        tuple(names[place] for place in chosen),
        **dict(zip(STATISTICS, statistics, strict=True)),
        values=values,
        measure=measure,
        strategy=strategy,
        layers=count,
        stored=len(held),
    )


def _statistics(query: InOrders, judgements: Mapping[str, int], *, shuffled: Sequence[int], measure: str) -> Values:
    """float64[4 + K, W] of one query: shares, stability, and the measure in each order."""
    values = []
    for scores, places in zip(at_places(query.scores, query.places), query.places, strict=True):
        pids = [query.pids[passage] for passage in np.argsort(places)]
        values.append(measures.of_orders(measure, judgements, pids, ranked(scores)))
    chosen = list(shuffled)
    return np.stack(
        [
            *shares(query.scores[chosen], query.places[chosen]),
            *stability(query.scores, query.places),
            *values,
        ]
    )


def orders_table(found: OrderSweep, *, seed: int = 42, resamples: int = 1000) -> pd.DataFrame:
    """What the orders do to each window: the own columns of `frames.ORDERS`, a row a window.

    Shares and stability are means over the queries that have them, with 95 % bootstrap intervals over queries; `rest`
    is what is left of 1. `value` is the mean of the measure over queries and orders, with an interval of a bootstrap
    over both together; `base` is the mean under the first order; `lowest`, `highest` and `spread` (standard deviation,
    n − 1) are those of the orders' means.
    """
    windows = found.windows
    statistics = np.stack([getattr(found, name) for name in STATISTICS]).astype(np.float64)
    columns = {
        "start": [window.start for window in windows],
        "end": [window.end for window in windows],
        "relative_depth": [relative_depth(window.end, found.layers) for window in windows],
        "measure": found.measure,
        **over_queries(statistics, found.values.astype(np.float64), seed, resamples),
        "queries": found.stored,
        "orders": len(found.orders),
        "shuffles": len(found.shuffled),
    }
    return pd.DataFrame(columns)[own_columns(ORDERS)]


def over_queries(statistics: Values, values: Values, seed: int, resamples: int) -> dict[str, Values]:
    """Means and intervals by column of `frames.ORDERS`, of `STATISTICS` float64[4, Q, …], values float64[K, Q, …]."""
    columns: dict[str, Values] = {}
    for name, own in zip(STATISTICS, statistics, strict=True):
        mean, low, high = crossed_interval(own[None], resamples=resamples, seed=seed)
        columns |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    mean, low, high = crossed_interval(values, resamples=resamples, seed=seed)
    by_order = values.mean(axis=1)
    return columns | {
        "rest": 1 - columns["passage"] - columns["place"],
        "value": mean,
        "value_low": low,
        "value_high": high,
        "base": by_order[0],
        "lowest": by_order.min(axis=0),
        "highest": by_order.max(axis=0),
        "spread": by_order.std(axis=0, ddof=1),
    }


def write_order_sweep(path: Path, found: OrderSweep) -> None:
    """Write Arrow IPC, one record batch, a row a query; what the columns mean is JSON in the schema's metadata."""
    about = {
        "format": FORMAT,
        "layers": found.layers,
        "measure": found.measure,
        "orders": list(found.orders),
        "shuffled": list(found.shuffled),
        "stored": found.stored,
        "strategy": found.strategy,
        "windows": [[window.start, window.end] for window in found.windows],
    }

    def column(values: Floats) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=pa.float32())
        return pa.FixedSizeListArray.from_arrays(flat, len(found.windows))

    columns = {"qid": pa.array(found.qids, type=pa.string())}
    columns |= {name: column(getattr(found, name)) for name in STATISTICS}
    columns |= {f"values {name}": column(own) for name, own in zip(found.orders, found.values, strict=True)}
    fields = [pa.field(name, values.type) for name, values in columns.items()]
    schema = pa.schema(fields, metadata={_KEY: json.dumps(about, sort_keys=True).encode()})
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        writer.write_batch(pa.RecordBatch.from_arrays(list(columns.values()), schema=schema))


def read_order_sweep(path: Path) -> OrderSweep:
    """Read what `write_order_sweep` wrote. Raises `UserError` for a missing or foreign file."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            table = pa.ipc.open_file(source).read_all()
        about = json.loads((table.schema.metadata or {})[_KEY])
        if about["measure"] and about["format"] != FORMAT:  # stored signals have a format too, and no measure
            raise UserError(f"{path}: format {about['format']!r} of orders, this layerrank reads format {FORMAT}")
        qids = tuple(table.column("qid").to_pylist())

        def column(name: str) -> Floats:
            values: Floats = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
            return values.reshape(len(qids), len(about["windows"]))

        return OrderSweep(
            qids,
            tuple(about["orders"]),
            tuple(about["shuffled"]),
            **{name: column(name) for name in STATISTICS},
            values=np.stack([column(f"values {name}") for name in about["orders"]]),
            measure=about["measure"],
            strategy=about["strategy"],
            layers=about["layers"],
            stored=about["stored"],
        )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise UserError(f"{path}: not orders of layerrank ({type(error).__name__}: {error})") from None
