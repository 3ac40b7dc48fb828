"""Runs against judgements: per-query values of every system, and their means (semantics.md §5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.frames import CELL, MEANS, VALUES, own_columns
from layerrank.core.records import Candidates, Ranking
from layerrank.core.systems import CEILING, CONSTANT, CONTROLS, FIRST_STAGE, PLACE, RANDOM
from layerrank.evaluation import controls, intervals, measures

_log = logging.getLogger(__name__)


def evaluate(
    qrels: files.Qrels,
    candidates: Sequence[Candidates],
    runs: Mapping[str, Sequence[Ranking]],
    measure_names: Sequence[str],
    relevance_level: int = 1,
    seed: int = 42,
) -> pd.DataFrame:
    """Value of each measure for each judged query and system.

    Args:
        qrels: grades of the study's judged queries; a grade below 0 counts as judged and not relevant.
        candidates: the one candidate list of all systems. Ranked by its scores it is the system `bm25`, in ideal order
            `ceiling`; controls that know nothing of relevance stand beside them. A judged query without candidates
            stays in every mean.
        runs: each system's rankings of the candidates.
        measure_names: measures in the syntax of ir_measures; rows name them as they are given.
        relevance_level: the lowest grade that is relevant, for binary measures that name no `rel` of their own.
        seed: of the control's random orders.

    Returns:
        The own columns of `frames.VALUES`; has_relevant_candidate is 1 where a candidate is relevant, else 0. Every
        judged query of the study comes for every system; one that a system did not rank has the value of an empty
        ranking.

    Raises:
        UserError: a measure is unknown; no query is judged; a run has a reserved name, ranks no
            query, or ranks a query or a passage that is not among the candidates.
    """
    measures.check(measure_names, relevance_level)
    if not qrels:
        raise UserError("evaluate: no query is judged")
    rows = {row.query.qid: row for row in candidates}
    grades = {qid: {pid: max(grade, 0) for pid, grade in judged.items()} for qid, judged in qrels.items()}
    if missing := len(grades.keys() - rows.keys()):
        _log.warning("%d judged queries have no candidates and count as empty rankings", missing)
    systems: dict[str, list[Ranking]] = {FIRST_STAGE: [first_stage(row) for row in candidates]}
    for system, rankings in runs.items():
        if system in (FIRST_STAGE, CEILING, *CONTROLS):
            raise UserError(f"run {system}: this name is reserved for what the candidates themselves give")
        if rows and not rankings:
            raise UserError(f"run {system}: it ranks no query")
        _check(system, rankings, rows)
        if missing := len(grades.keys() & rows.keys() - {ranking.qid for ranking in rankings}):
            _log.warning("%s: %d judged queries with candidates are not ranked: empty rankings", system, missing)
        systems[system] = list(rankings)
    for name in (CONSTANT, PLACE):
        systems[name] = [controls.rankings(row)[name] for row in candidates]
    systems[CEILING] = [ideal(row, grades.get(row.query.qid, {})) for row in candidates]
    found = {
        system: measures.per_query(measure_names, grades, rankings, relevance_level)
        for system, rankings in systems.items()
    }
    found[RANDOM] = controls.random_values(measure_names, grades, rows, relevance_level, seed)
    values = pd.DataFrame(
        [
            (system, qid, measure, value)
            for system in (FIRST_STAGE, *runs, *CONTROLS, CEILING)
            for measure, by_query in found[system].items()
            for qid, value in by_query.items()
        ],
        columns=own_columns(VALUES)[:-1],
    )
    reachable = {
        qid
        for qid, row in rows.items()
        if any(grades.get(qid, {}).get(passage.pid, 0) >= relevance_level for passage in row.passages)
    }
    values["has_relevant_candidate"] = values["qid"].isin(reachable).astype(int)
    return values


def first_stage(row: Candidates) -> Ranking:
    """The candidates by falling first-stage score, whatever their input order; ties in input order."""
    order = sorted(range(len(row)), key=lambda place: -row.scores[place])
    return Ranking.from_order(row.query.qid, [row.passages[place].pid for place in order])


def ideal(row: Candidates, grades: Mapping[str, int]) -> Ranking:
    """The candidates by falling grade: what no re-ranking of them can beat."""
    pids = [passage.pid for passage in row.passages]
    return Ranking.from_order(row.query.qid, sorted(pids, key=lambda pid: -grades.get(pid, 0)))


def aggregate(values: pd.DataFrame, seed: int, resamples: int = 1000) -> pd.DataFrame:
    """Means over queries of `frames.VALUES`, in order of first appearance: columns `frames.MEANS`.

    `mean` is over all judged queries, `low` to `high` its 95 % bootstrap interval; `mean_with_relevant_candidate` is
    over those with a relevant passage among the candidates (the published denominator; NaN where there is none);
    `ceiling` is the mean of an ideal re-ranking over all judged queries.
    """
    key = [*CELL, "system", "measure"]
    rows = []
    for names, group in values.groupby(key, sort=False):
        value = group["value"].to_numpy(np.float64)
        reachable = value[group["has_relevant_candidate"].to_numpy() == 1]
        found = intervals.mean_interval(value, resamples=resamples, seed=seed)
        published = reachable.mean() if len(reachable) else np.nan
        rows.append((*names, value.mean(), float(found.low), float(found.high), len(value), published, len(reachable)))
    means = pd.DataFrame(rows, columns=list(MEANS[:-1]))
    cell = [*CELL, "measure"]
    ceilings = means[means["system"] == CEILING].set_index(cell)["mean"].rename("ceiling")
    return means.join(ceilings, on=cell)[list(MEANS)]


def _check(system: str, rankings: Sequence[Ranking], rows: Mapping[str, Candidates]) -> None:
    for ranking in rankings:
        if ranking.qid not in rows:
            raise UserError(f"run {system}: query {ranking.qid} is not among the candidates' queries")
        known = {passage.pid for passage in rows[ranking.qid].passages}
        if stranger := next((pid for pid in ranking.pids if pid not in known), None):
            raise UserError(f"run {system}: query {ranking.qid} ranks {stranger}, which is not one of its candidates")
