"""Whether scores follow what they should not: a passage's place in the prompt, its length.

Scores are standardised within each query, so that systems of any scale stand side by side. Relevance is confounded with
place (the first stage ordered the passages) and may be with length; passages that are not relevant are therefore
counted by themselves too, and a variant of shuffled order is the clean test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.frames import CORRELATION, POINTS, own_columns
from layerrank.core.records import Candidates, Ranking
from layerrank.core.systems import FIRST_STAGE
from layerrank.evaluation import intervals

BINS = 8
PLACE, TOKENS, LONGEST = "place", "tokens", "longest"
ALL, NOT_RELEVANT = "all", "not relevant"

Floats = NDArray[np.float64]


def standardised_scores(
    candidates: Sequence[Candidates],
    runs: Mapping[str, Sequence[Ranking]],
    lengths: Mapping[str, Mapping[str, int]],
    qrels: Qrels,
) -> pd.DataFrame:
    """One row a system, query and ranked passage.

    Args:
        candidates: in input order; whole-list attention shows it reversed, so the first one's place is the last.
        runs: each system's rankings; the first stage's own scores are the system `bm25`.
        lengths: tokens of each candidate as shown, by query and passage: {qid: {pid: tokens}}.
        qrels: judgements, by which a passage is relevant (grade above 0).

    Returns:
        Columns system, qid, score (zero mean and unit variance within query and system), place (1-based, in the prompt
        of whole-list attention), tokens (of the passage as shown), relevant. Queries whose scores are all alike are
        left out, since nothing can follow anything there.

    Raises:
        UserError: a candidate has no length.
    """
    frames = []
    for row in candidates:
        qid, pids = row.query.qid, [passage.pid for passage in row.passages]
        known = lengths.get(qid, {})
        if missing := next((pid for pid in pids if pid not in known), None):
            raise UserError(f"query {qid}: no length is known of its candidate {missing}")
        frames.append(
            pd.DataFrame(
                {
                    "qid": qid,
                    "pid": pids,
                    PLACE: range(len(pids), 0, -1),
                    TOKENS: [known[pid] for pid in pids],
                    "relevant": [qrels.get(qid, {}).get(pid, 0) > 0 for pid in pids],
                    "first": row.scores,
                }
            )
        )
    passages = pd.concat(frames, ignore_index=True)
    parts = [passages.assign(system=FIRST_STAGE, score=passages["first"])]
    for system, rankings in runs.items():
        scores = pd.DataFrame(
            [(each.qid, pid, score) for each in rankings for pid, score in zip(each.pids, each.scores, strict=True)],
            columns=["qid", "pid", "score"],
        )
        parts.append(passages.merge(scores, on=["qid", "pid"]).assign(system=system))
    scored = pd.concat(parts, ignore_index=True)
    by_query = scored.groupby(["system", "qid"], sort=False)["score"]
    spread = by_query.transform(lambda score: score.std(ddof=0))
    scored["score"] = (scored["score"] - by_query.transform("mean")) / spread
    return scored.loc[spread > 0, ["system", "qid", "score", PLACE, TOKENS, "relevant"]].reset_index(drop=True)


def by_place(scored: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    """Score by place in the prompt: columns system, position and `POINTS`.

    `mean` is over queries with its 95 % bootstrap interval; `mean_not_relevant` is over passages that are not relevant;
    `relevant` is the share of relevant ones.
    """
    return _points(scored, scored[PLACE], "position", seed, resamples)


def by_length(scored: pd.DataFrame, seed: int, resamples: int, bins: int = BINS) -> pd.DataFrame:
    """Score by passage length in up to `bins` groups of equal size: columns system, tokens and `POINTS`.

    A group stands at the mean length of its passages; each query counts once in a group, by its passages there.
    """
    if scored.empty:  # no query has scores that differ, such as with one candidate each
        return _points(scored, scored[TOKENS], "tokens", seed, resamples)
    edges = np.unique(np.quantile(scored[TOKENS], np.linspace(0, 1, bins + 1)))
    group = pd.Series(np.searchsorted(edges[1:-1], scored[TOKENS], side="right"), index=scored.index)
    return _points(scored, scored[TOKENS].groupby(group).transform("mean"), "tokens", seed, resamples)


def correlations(scored: pd.DataFrame, seed: int, resamples: int) -> pd.DataFrame:
    """Spearman's ρ of score with place and with length, query by query: the own columns of `CORRELATION`.

    `diagnostic` is place or tokens, `passages` says which (all, or not relevant); `mean` is over the queries where ρ is
    defined, with its 95 % bootstrap interval. A positive ρ with place: what stands later, nearer the query, scores
    higher. The diagnostic `longest` is no correlation but a share of queries: those in which the longest passage that
    is not relevant scores higher than the best relevant one, of those that have both.
    """
    rows = []
    for system, own in scored.groupby("system", sort=False):
        for diagnostic in (PLACE, TOKENS):
            for passages, part in ((ALL, own), (NOT_RELEVANT, own[~own["relevant"]])):
                queries = part.groupby("qid", sort=False)
                rho = np.array([_rho(query["score"], query[diagnostic]) for _, query in queries])
                rho = rho[np.isfinite(rho)]
                rows.append((system, diagnostic, passages, *_interval(rho, seed, resamples), len(rho)))
        above = np.array([_longest_above(query) for _, query in own.groupby("qid", sort=False)])
        above = above[np.isfinite(above)]
        rows.append((system, LONGEST, NOT_RELEVANT, *_interval(above, seed, resamples), len(above)))
    return pd.DataFrame(rows, columns=own_columns(CORRELATION))


def _longest_above(query: pd.DataFrame) -> float:
    """1 where the longest passage that is not relevant scores above the best relevant one, else 0; NaN without both."""
    relevant, others = query[query["relevant"]], query[~query["relevant"]]
    if relevant.empty or others.empty:
        return float("nan")
    longest = others[others[TOKENS] == others[TOKENS].max()]
    return float(longest["score"].max() > relevant["score"].max())


def _points(scored: pd.DataFrame, at: pd.Series, name: str, seed: int, resamples: int) -> pd.DataFrame:
    rows = []
    for system, own in scored.groupby("system", sort=False):
        for point, part in own.groupby(at):
            values = part.groupby("qid", sort=False)["score"].mean().to_numpy(np.float64)
            others = part.loc[~part["relevant"]].groupby("qid", sort=False)["score"].mean()
            mean, low, high = _interval(values, seed, resamples)
            rows.append((system, point, mean, low, high, len(values), others.mean(), part["relevant"].mean()))
    return pd.DataFrame(rows, columns=["system", name, *POINTS])


def _interval(values: Floats, seed: int, resamples: int) -> tuple[float, float, float]:
    if not len(values):
        return (float("nan"),) * 3
    found = intervals.mean_interval(values, resamples=resamples, seed=seed)
    return float(found.mean), float(found.low), float(found.high)


def _rho(score: pd.Series, other: pd.Series) -> float:
    if len(score) < 3 or score.nunique() < 2 or other.nunique() < 2:
        return float("nan")
    return float(stats.spearmanr(score, other).statistic)
