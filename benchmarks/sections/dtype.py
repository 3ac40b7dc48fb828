"""What bfloat16 does to scores and rankings, on real texts with judgements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import kendalltau

from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.stored import signals
from layerrank.attention.scores import passage_scores, rank
from layerrank.attention.signal import Signal
from layerrank.core.windows import LayerWindow, window_label
from layerrank.evaluation import measures
from layerrank.evaluation.intervals import mean_interval

SECTION = "dtype"
MEASURE = "nDCG@10"


def run(settings: Settings) -> Iterator[Row]:
    """Agreement of orders and difference of the measure, with a bootstrap interval over queries."""
    plain, other = (list(signals(settings, dtype)) for dtype in ("float32", "bfloat16"))
    qrels = settings.qrels()
    for name, window in _windows(plain[0].layers).items():
        yield from compared(SECTION, f"bfloat16 for float32, {name}", plain, other, qrels, window)


def compared(
    section: str,
    case: str,
    plain: list[Signal],
    other: list[Signal],
    qrels: dict[str, dict[str, int]],
    window: LayerWindow,
) -> Iterator[Row]:
    """Rows that compare two signals of the same queries under a window."""
    taus, same, values = [], [], []
    for one, two in zip(plain, other, strict=True):
        if len(one.pids) < 2:
            continue
        scores = [passage_scores(signal, window) for signal in (one, two)]
        orders = [rank(one, found) for found in scores]
        taus.append(float(kendalltau(*(np.argsort(order) for order in orders)).statistic))
        same.append(float(orders[0][0] == orders[1][0]))
        if one.qid in qrels:
            values.append(measures.of_orders(MEASURE, qrels[one.qid], one.pids, np.stack(orders)))
    yield Row(section, case, "agreement of orders (Kendall τ), mean", "", float(np.mean(taus)), min(taus), max(taus))
    yield Row(section, case, "queries with the same first passage", "%", 100 * float(np.mean(same)))
    table = np.array(values)
    yield Row(section, case, f"{MEASURE} of the plain one", "", float(table[:, 0].mean()))
    found = mean_interval(table[:, 1] - table[:, 0], resamples=2000, seed=42)
    note = f"mean and 95 % interval over {len(table)} queries"
    yield Row(section, case, f"difference in {MEASURE}", "", *map(float, found), note=note)


def _windows(layers: int) -> dict[str, LayerWindow]:
    third = layers // 3
    middle = LayerWindow(third, 2 * third - 1)
    return {"all layers": LayerWindow(0, layers - 1), window_label(str(middle)): middle}
