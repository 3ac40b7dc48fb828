"""What stored signals say of windows without a judgement: the criteria by which the rule `label-free` chooses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from layerrank.attention.scores import all_windows, window_scores
from layerrank.attention.signal import Signal
from layerrank.attention.store import stored_layers, stored_qids
from layerrank.core.errors import UserError
from layerrank.layers.rules.label_free import CRITERIA, Scores
from layerrank.layers.signals import for_each


def criterion(paths: Sequence[Path], name: str, strategy: str, *, workers: int = 1) -> Scores:
    """float64[W]: a criterion's mean over all stored queries of two or more candidates; higher is better.

    Raises `UserError` for an unknown name, or where no query has two candidates.
    """
    if name not in CRITERIA:
        raise UserError(f"criterion {name!r}: one of {', '.join(CRITERIA)}")
    layers = stored_layers(paths)
    count = layers * (layers + 1) // 2
    work = partial(_of_query, name=name, strategy=strategy)
    arguments = dict.fromkeys(stored_qids(paths))
    found = for_each(paths, work, arguments, windows=count, workers=workers, what=name)
    values = [value for value in found.values() if value.size]
    if not values:
        raise UserError(f"criterion {name!r}: no query has two candidates to tell apart")
    return np.asarray(np.mean(values, axis=0))


def _of_query(signal: Signal, _: Any, *, name: str, strategy: str) -> Scores:
    if len(signal.pids) < 2:
        return np.empty(0)
    return CRITERIA[name](window_scores(signal, all_windows(signal.layers), strategy), signal.layers)
