"""What a mean may owe to ties and to passages that nobody judged (semantics.md §10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from layerrank.core.files import Qrels
from layerrank.core.frames import AUDIT, own_columns
from layerrank.core.progress import counted
from layerrank.core.records import Candidates, Ranking
from layerrank.core.systems import FIRST_STAGE
from layerrank.evaluation import controls, measures


def audit(
    qrels: Qrels,
    candidates: Sequence[Candidates],
    runs: Mapping[str, Sequence[Ranking]],
    measure_names: Sequence[str],
    level: int = 1,
    seed: int = 42,
    orders: int = controls.ORDERS,
) -> pd.DataFrame:
    """The own columns of `frames.AUDIT`: a row a system and measure, the first stage among the systems.

    `value` is the mean over all judged queries. `tied_pairs` is the share of the candidates' pairs that have equal
    scores, pooled over queries; `tied_value` is the mean of the measure where such ties are broken at random, over
    `orders` orders of each query. `judged` is the mean of Judged at the measure's cut-off (NaN where it has none).
    `condensed` is the measure's mean with unjudged passages taken out of the ranking.
    """
    systems = {FIRST_STAGE: [_first_stage(row) for row in candidates], **runs}
    rows: list[tuple[Any, ...]] = []
    for system, rankings in counted(systems.items(), "audit", "systems", total=len(systems)):
        own = {ranking.qid: ranking for ranking in rankings if ranking.qid in qrels}
        groups = {qid: tie_groups(ranking.scores) for qid, ranking in own.items()}
        pairs = sum(len(found) * (len(found) - 1) // 2 for found in groups.values())
        tied = sum(int((size * (size - 1) // 2).sum()) for size in map(np.bincount, groups.values()))
        condensed = [
            Ranking.from_order(qid, [pid for pid in ranking.pids if pid in qrels[qid]]) for qid, ranking in own.items()
        ]
        values = measures.per_query(measure_names, qrels, own.values(), level)
        judged_only = measures.means(measures.per_query(measure_names, qrels, condensed, level))
        for name in measure_names:
            broken = dict(values[name])
            for qid, found in groups.items():
                if len(set(found.tolist())) < len(found):
                    drawn = controls.shuffles(found, qid, seed, orders)
                    text = str(measures.at_level(name, level))
                    broken[qid] = float(measures.of_orders(text, qrels[qid], own[qid].pids, drawn).mean())
            rows.append(
                (
                    *(system, name, len(qrels), float(np.mean(list(values[name].values())))),
                    tied / pairs if pairs else 0.0,
                    float(np.mean(list(broken.values()))),
                    _judged(name, qrels, list(own.values())),
                    judged_only[name],
                )
            )
    return pd.DataFrame(rows, columns=own_columns(AUDIT))


def tie_groups(scores: Sequence[float]) -> NDArray[np.int64]:
    """The group of each passage of a ranking, int64[N] from 0: neighbours with equal scores share one.

    In a run, scores fall strictly: `files.write_run` lowers an equal one to the next float32 below, and that step is
    read as equality.
    """
    values = np.asarray(scores, dtype=np.float32)
    lowered = np.nextafter(values[:-1], np.float32(-np.inf))
    return np.concatenate([[0], np.cumsum(values[1:] < lowered)]).astype(np.int64) if len(values) else np.zeros(0, int)


def _judged(name: str, qrels: Qrels, rankings: Sequence[Ranking]) -> float:
    cutoff = measures.parse(name).params.get("cutoff")
    if cutoff is None:
        return float("nan")
    judged = f"Judged@{cutoff}"
    return measures.means(measures.per_query([judged], qrels, rankings))[judged]


def _first_stage(row: Candidates) -> Ranking:
    order = sorted(range(len(row)), key=lambda place: -row.scores[place])
    pids = tuple(row.passages[place].pid for place in order)
    return Ranking(row.query.qid, pids, tuple(row.scores[place] for place in order))
