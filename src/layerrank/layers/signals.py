"""Work over stored signals: blocks of queries, in processes, one signal a process in memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerrank.attention.scores import passage_scores, window_scores
from layerrank.attention.signal import Signal
from layerrank.attention.store import read_signals, stored_layers, stored_qids
from layerrank.core.errors import UserError
from layerrank.core.heads import Head
from layerrank.core.progress import progress
from layerrank.core.windows import LayerWindow

Values = NDArray[np.float64]
Work = Callable[[Signal, Any], Values]
Read = LayerWindow | tuple[Head, ...]
"""What a ranking reads: a window of layers, or chosen heads."""

BLOCK = 8
"""Queries a task reads."""
SERIAL_WORK = 4e8
"""Token sums (tokens × windows) below which starting processes costs more than it saves."""


def for_each(
    paths: Sequence[Path], work: Work, arguments: Mapping[str, Any], *, windows: int, workers: int = 1, what: str = ""
) -> dict[str, Values]:
    """`work(signal, arguments[qid])` for each query of `arguments` that is stored: {qid: array}, in that order.

    `work` and the arguments must pickle. A task opens the store, reads its block of queries and gives back the arrays.
    `windows` is the number of windows that `work` scores each token under, `what` the name on the progress bar.
    """
    where = stored_qids(paths)
    held = [qid for qid in arguments if qid in where]
    blocks = []
    for path in paths:
        own = [qid for qid in held if where[qid] == path]
        for first in range(0, len(own), BLOCK):
            blocks.append((path, {qid: arguments[qid] for qid in own[first : first + BLOCK]}))
    tokens = _tokens(paths) if held else 0.0
    found = _all_blocks(partial(_block, work), blocks, len(held), tokens * windows, workers, what)
    return {qid: found[qid] for qid in held}


@dataclass(frozen=True, slots=True)
class InOrders:
    """One query's passages under each of K orders of input.

    Attributes:
        qid: the query.
        pids: its N passages, in the first order's input order.
        places: int64[K, N], the place of each passage in each order's input, 0-based; prompts show input backwards
            (semantics.md §1), so place 0 stands next to the query.
        scores: float64[K, W, N], the score of each passage under each window (or whatever else gives scores).
    """

    qid: str
    pids: tuple[str, ...]
    places: NDArray[np.int64]
    scores: Values


def for_each_in_orders(
    orders: Mapping[str, Sequence[Path]],
    work: Callable[[InOrders, Any], Values],
    arguments: Mapping[str, Any],
    *,
    score: Callable[[Signal], Values],
    rows: int,
    workers: int = 1,
    what: str = "",
) -> dict[str, Values]:
    """`work(query, arguments[qid])` for each query of `arguments` that every order has: {qid: array}, in that order.

    `orders` holds the stored signal of each order, by shard; `score` gives float64[W, N] of a signal, `rows` says how
    many W are; `work`, `score` and the arguments must pickle. In memory are the scores of a block of queries and one
    signal a process.

    Raises:
        UserError: orders of a query that are not of the same passages, or scores that are not finite.
    """
    where = {name: stored_qids(paths) for name, paths in orders.items()}
    held = [qid for qid in arguments if all(qid in own for own in where.values())]
    blocks = [
        (
            {name: {qid: own[qid] for qid in qids} for name, own in where.items()},
            {qid: arguments[qid] for qid in qids},
        )
        for qids in (held[first : first + BLOCK] for first in range(0, len(held), BLOCK))
    ]
    tokens = sum(map(_tokens, orders.values())) if held else 0.0
    task = partial(_block_in_orders, work, score)
    return _all_blocks(task, blocks, len(held), tokens * rows, workers, what)


def _tokens(paths: Sequence[Path]) -> float:
    """Passage tokens that a store holds, by its size."""
    return sum(path.stat().st_size for path in paths) / 4 / stored_layers(paths)


def _all_blocks(
    task: Callable[[Any], dict[str, Values]], blocks: Sequence[Any], queries: int, sums: float, workers: int, what: str
) -> dict[str, Values]:
    """What `task` gives for all blocks, in processes where `sums` token sums are worth starting them."""
    found: dict[str, Values] = {}
    with progress(queries, what) as shown:
        if workers > 1 and len(blocks) > 1 and sums > SERIAL_WORK:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(workers, len(blocks)), mp_context=context) as pool:
                for values in pool.map(task, blocks):
                    found |= values
                    shown.update(len(values))
        else:
            for block in blocks:
                values = task(block)
                found |= values
                shown.update(len(values))
    return found


def orders(signal: Signal, windows: Sequence[LayerWindow], strategy: str) -> NDArray[np.int64]:
    """int[W, N]: input positions by falling score under each window, ties in input order (semantics.md §2)."""
    return ranked(finite_scores(signal, windows, strategy))


def ranked(scores: Values) -> NDArray[np.int64]:
    """int[…, N]: positions by falling score, ties in the order given."""
    return np.argsort(-scores, axis=-1, kind="stable").astype(np.int64)


def finite_scores(signal: Signal, reads: Sequence[Read], strategy: str) -> Values:
    """float64[W, N]: `passage_scores` of each window, or set of heads, of `reads`.

    Raises `UserError` where one is not finite, and for heads with the masked strategy.
    """
    scores = np.empty((len(reads), len(signal.pids)))
    windows = {place: read for place, read in enumerate(reads) if isinstance(read, LayerWindow)}
    scores[list(windows)] = window_scores(signal, list(windows.values()), strategy)
    every = LayerWindow(0, signal.layers - 1)
    for place, read in enumerate(reads):
        if not isinstance(read, LayerWindow):
            scores[place] = passage_scores(signal, every, strategy, read)
    if not np.isfinite(scores).all():
        raise UserError(f"query {signal.qid}: a passage score is not finite; extract its signal again")
    return scores


def _block(work: Work, block: tuple[Path, Mapping[str, Any]]) -> dict[str, Values]:
    path, arguments = block
    return {signal.qid: work(signal, arguments[signal.qid]) for signal in read_signals(path, arguments)}


def _block_in_orders(
    work: Callable[[InOrders, Any], Values],
    score: Callable[[Signal], Values],
    block: tuple[Mapping[str, Mapping[str, Path]], Mapping[str, Any]],
) -> dict[str, Values]:
    where, arguments = block
    pids: dict[str, tuple[str, ...]] = {}
    places: dict[str, list[NDArray[np.int64]]] = {qid: [] for qid in arguments}
    scores: dict[str, list[Values]] = {qid: [] for qid in arguments}
    for name, own in where.items():
        for path in dict.fromkeys(own.values()):
            for signal in read_signals(path, [qid for qid, place in own.items() if place == path]):
                first = pids.setdefault(signal.qid, signal.pids)
                place = {pid: number for number, pid in enumerate(signal.pids)}
                if place.keys() != set(first):
                    raise UserError(
                        f"{path}: query {signal.qid}: order {name!r} is not of the passages that "
                        f"order {next(iter(where))!r} has; extract its signal again"
                    )
                at = np.array([place[pid] for pid in first], dtype=np.int64)
                places[signal.qid].append(at)
                scores[signal.qid].append(score(signal)[:, at])
    return {
        qid: work(InOrders(qid, pids[qid], np.stack(places[qid]), np.stack(scores[qid])), argument)
        for qid, argument in arguments.items()
    }
