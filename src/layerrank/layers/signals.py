"""Work over stored signals: blocks of queries, in processes, one signal a process in memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from layerrank.attention.scores import window_scores
from layerrank.attention.signal import Signal
from layerrank.attention.store import read_signals, stored_layers, stored_qids
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow

Values = NDArray[np.float64]
Work = Callable[[Signal, Any], Values]

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
    found: dict[str, Values] = {}
    tokens = sum(path.stat().st_size for path in paths) / 4 / stored_layers(paths) if held else 0.0
    with tqdm(total=len(held), desc=what, unit="query", disable=None) as bar:
        if workers > 1 and len(blocks) > 1 and tokens * windows > SERIAL_WORK:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(workers, len(blocks)), mp_context=context) as pool:
                for values in pool.map(partial(_block, work), blocks):
                    found |= values
                    bar.update(len(values))
        else:
            for block in blocks:
                values = _block(work, block)
                found |= values
                bar.update(len(values))
    return {qid: found[qid] for qid in held}


def orders(signal: Signal, windows: Sequence[LayerWindow], strategy: str) -> NDArray[np.int64]:
    """int[W, N]: input positions by falling score under each window, ties in input order (semantics.md §2)."""
    scores = window_scores(signal, windows, strategy)
    if not np.isfinite(scores).all():
        raise UserError(f"query {signal.qid}: a passage score is not finite; extract its signal again")
    return np.argsort(-scores, axis=1, kind="stable").astype(np.int64)


def _block(work: Work, block: tuple[Path, Mapping[str, Any]]) -> dict[str, Values]:
    path, arguments = block
    return {signal.qid: work(signal, arguments[signal.qid]) for signal in read_signals(path, arguments)}
