"""The windows and heads that a study uses, and each layer by itself, over input orders; and what remedies make of them.

Whole-list attention is measured in every order, and its mean over orders is its value there. **Order-averaged** scores
rank each query once, by the mean of standardised scores over all orders; **place-calibrated** ones rank it in every
order, corrected by what places get in the shuffles of other queries (`calibration.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerrank.attention.scores import order_averaged
from layerrank.attention.store import stored_layers, stored_qids
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.frames import BY_ORDER, WINDOW_ORDERS, own_columns
from layerrank.core.records import Candidates
from layerrank.core.systems import AVERAGED, CALIBRATED, WHOLE_LIST
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures
from layerrank.evaluation.intervals import crossed_interval
from layerrank.evaluation.values import evaluate
from layerrank.layers.calibration import PlaceMeans, place_means
from layerrank.layers.orders import STATISTICS, OrderSweep, over_queries
from layerrank.layers.place import at_places, shares, stability
from layerrank.layers.signals import InOrders, Read, finite_scores, for_each_in_orders, ranked

Values = NDArray[np.float64]
Windows = Mapping[str, Mapping[str, Read]]
"""What each query is ranked by, a window or chosen heads, by the name that the study gives it."""


@dataclass(frozen=True, eq=False)
class OverOrders:
    """Tables of what input orders do to windows.

    Attributes:
        values: per query, as `evaluate` returns them: the mean over orders of each window's measure, and the measures
            of order-averaged and place-calibrated scores (of the latter the mean over orders too).
        windows: columns `frames.WINDOW_ORDERS` without those of a cell, a row a window and a row a layer.
        by_order: columns `frames.BY_ORDER` without those of a cell.
    """

    values: pd.DataFrame
    windows: pd.DataFrame
    by_order: pd.DataFrame


def over_orders(
    orders: Mapping[str, Sequence[Path]],
    shuffled: Collection[str],
    qrels: Qrels,
    candidates: Sequence[Candidates],
    windows: Windows,
    names: Sequence[str],
    strategy: str,
    *,
    swept: OrderSweep,
    level: int = 1,
    seed: int = 42,
    resamples: int = 1000,
    workers: int = 1,
) -> OverOrders:
    """Measure windows over orders, in two passes over the stored signals: place means are learnt in the first.

    Args:
        orders: the stored signal of each order, by shard, the base's first.
        shuffled: names of the orders that are shuffles; without any, or with one query, nothing is calibrated.
        qrels: of the judged queries; each without a signal in every order counts as an empty ranking.
        candidates: of the base, for the first stage and the ceiling.
        windows: the window of each query, or its heads, which a linear strategy alone ranks by, by name.
        names: measures.
        strategy: of semantics.md §2.
        swept: every window over the same orders and queries: its measure is that of `windows` and `by_order`.
        level: the lowest grade that is relevant, for binary measures that name no `rel` of their own.
        seed: of the bootstrap and of the folds of the calibration.
        resamples: of the bootstrap.
        workers: processes.

    Raises:
        UserError: as `sweep_orders` does.
    """
    if swept.qids != tuple(qrels) or swept.orders != tuple(orders):
        raise UserError("orders: the sweep is of other queries or orders; sweep them again")
    lead, layers = swept.measure, stored_layers(next(iter(orders.values())))
    single = [LayerWindow(layer, layer) for layer in range(layers)]
    read = {one for own in windows.values() for one in own.values()}
    used: list[Read] = sorted({*single, *(one for one in read if isinstance(one, LayerWindow))})
    used += sorted(one for one in read if not isinstance(one, LayerWindow))
    texts = list(dict.fromkeys([lead, *names]))
    chosen = [place for place, name in enumerate(orders) if name in shuffled]
    shuffles = {name: orders[name] for name in orders if name in shuffled}
    held_by = [stored_qids(paths).keys() for paths in shuffles.values()]
    others = len(set(held_by[0]).intersection(*held_by)) > 1 if held_by else False
    means = place_means(shuffles, used, strategy, seed=seed, workers=workers) if others else None
    work = partial(
        _of_query, shuffled=chosen, names=[str(measures.at_level(text, level)) for text in texts], places=means
    )
    found = for_each_in_orders(
        orders,
        work,
        qrels,
        score=partial(finite_scores, reads=used, strategy=strategy),
        rows=len(used),
        workers=workers,
        what="windows over orders",
    )
    if not found:
        raise UserError(f"orders {', '.join(orders)}: no judged query has a signal in all of them")
    rows = list(found.values())
    count, queries = len(orders), list(qrels)
    held = np.array([qid in found for qid in queries])
    statistics = np.full((len(STATISTICS), len(queries), len(used)), np.nan)
    statistics[:, held] = np.stack([row[: len(STATISTICS)] for row in rows], axis=1)
    measured = np.zeros((len(texts), 2 * count + 1, len(queries), len(used)))  # plain by order, averaged, calibrated
    taken = np.stack([row[len(STATISTICS) :] for row in rows]).reshape(len(rows), len(texts), 2 * count + 1, -1)
    measured[:, :, held] = taken.transpose(1, 2, 0, 3)
    columns = {name: np.array([used.index(own[qid]) for qid in queries]) for name, own in windows.items()}
    every = np.arange(len(queries))
    of_windows = {name: (statistics[:, every, own], measured[:, :, every, own]) for name, own in columns.items()}
    values = _values(qrels, candidates, names, [texts.index(name) for name in names], of_windows, count, level, means)
    row = partial(
        _row, swept=swept, count=count, shuffles=len(chosen), calibrates=others, seed=seed, resamples=resamples
    )
    table = [row("window", name, own, by_measure[0]) for name, (own, by_measure) in of_windows.items()]
    for window in single:
        column = used.index(window)
        table.append(row("layer", str(window), statistics[:, :, column], measured[0, :, :, column]))
    by_order = [
        (name, lead, order, *map(float, crossed_interval(own[None], resamples=resamples, seed=seed)), len(own))
        for name, (_, by_measure) in of_windows.items()
        for order, own in zip(orders, by_measure[0, :count], strict=True)
    ]
    return OverOrders(
        values,
        pd.DataFrame(table)[own_columns(WINDOW_ORDERS)],
        pd.DataFrame(by_order, columns=own_columns(BY_ORDER)),
    )


def _of_query(
    query: InOrders,
    judgements: Mapping[str, int],
    *,
    shuffled: Sequence[int],
    names: Sequence[str],
    places: PlaceMeans | None,
) -> Values:
    """float64[4 + M · (2 K + 1), W]: shares and stability; by measure the plain, averaged and calibrated rankings'."""
    chosen = list(shuffled)
    inputs = at_places(query.scores, query.places)
    rankings = [
        (query.pids if order is None else [query.pids[passage] for passage in np.argsort(query.places[order])], scores)
        for order, scores in [
            *enumerate(inputs),
            (None, order_averaged(query.scores)),
            *((k, own if places is None else places.calibrated(query.qid, own)) for k, own in enumerate(inputs)),
        ]
    ]
    return np.stack(
        [
            *shares(query.scores[chosen], query.places[chosen]),
            *stability(query.scores, query.places),
            *(measures.of_orders(name, judgements, pids, ranked(own)) for name in names for pids, own in rankings),
        ]
    )


def _values(
    qrels: Qrels,
    candidates: Sequence[Candidates],
    names: Sequence[str],
    places: Sequence[int],
    of_windows: Mapping[str, tuple[Values, Values]],
    count: int,
    level: int,
    calibrated: PlaceMeans | None,
) -> pd.DataFrame:
    own = [row for row in candidates if row.query.qid in qrels]
    found = evaluate(qrels, own, {}, names, level)
    reachable = found.drop_duplicates("qid").set_index("qid")["has_relevant_candidate"]
    systems: dict[str, Values] = {}
    for name, (_, measured) in of_windows.items():  # float64[M, 2 K + 1, Q]
        systems[f"{WHOLE_LIST.name}-{name}"] = measured[:, :count].mean(axis=1)
        systems[f"{AVERAGED}-{name}"] = measured[:, count]
        if calibrated is not None:
            systems[f"{CALIBRATED}-{name}"] = measured[:, count + 1 :].mean(axis=1)
    rows = pd.DataFrame(
        [
            (system, qid, name, float(by_query[place, row]), int(reachable[qid]))
            for system, by_query in systems.items()
            for name, place in zip(names, places, strict=True)
            for row, qid in enumerate(qrels)
        ],
        columns=["system", "qid", "measure", "value", "has_relevant_candidate"],
    )
    return pd.concat([found, rows], ignore_index=True)


def _row(
    kind: str,
    window: str,
    statistics: Values,
    measured: Values,
    *,
    swept: OrderSweep,
    count: int,
    shuffles: int,
    calibrates: bool,
    seed: int,
    resamples: int,
) -> dict[str, float | str | int]:
    """`statistics` float64[4, Q] and `measured` float64[2 K + 1, Q] of one window."""
    calibrated = measured[count + 1 :]
    found = over_queries(statistics, measured[:count], seed, resamples)
    means = swept.over_orders().means()
    best = int(means.argmax())
    return {
        "kind": kind,
        "window": window,
        "measure": swept.measure,
        **{name: float(value) for name, value in found.items()},
        "oracle_window": str(swept.windows[best]),
        "oracle": float(means[best]),
        "regret": float(means[best] - found["value"]),
        "regret_base": float(swept.values[0].mean(axis=0, dtype=np.float64).max() - found["base"]),
        "averaged": float(measured[count].mean()),
        "calibrated": float(calibrated.mean()) if calibrates else float("nan"),
        "calibrated_base": float(calibrated[0].mean()) if calibrates else float("nan"),
        "queries": measured.shape[1],
        "orders": count,
        "shuffles": shuffles,
    }
