"""Measures by ir_measures' names: parsed and checked before a run, computed per query over all judged queries.

`per_query` goes through ir_measures. `of_orders` scores many orders of one query's passages: the common rank-cut
measures in numpy with trec_eval's formulas, every other one through ir_measures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import ir_measures
import numpy as np
from numpy.typing import NDArray

from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.reading import GRADES
from layerrank.core.records import Ranking

Judgements = Mapping[str, int]

BOUNDS = {"cutoff": ("the cut-off", 1, 1_000_000), "rel": ("rel", 1, GRADES), "recall": ("the recall", 0, 1)}
"""Parameters by ir_measures' names: how they are called, the least and the most; providers fail beyond, or say 0."""


@lru_cache(maxsize=256)
def parse(text: str) -> Any:
    """The ir_measures measure that `text` names, such as `nDCG@10`, `AP(rel=2)` or `RR@10`.

    Raises `UserError` for an unknown name, a bad parameter, or a measure that no installed provider computes.
    """
    shape = "a measure in ir_measures' syntax, such as nDCG@10, AP(rel=2) or R@100"
    try:
        measure = ir_measures.parse_measure(text)
        measure.validate_params()
    except (NameError, ValueError, AssertionError, TypeError, SyntaxError) as error:
        raise UserError(f"measure {text!r}: {_one_line(error)}; expected {shape}") from None
    for name, (what, least, most) in BOUNDS.items():
        value = measure.params.get(name, least)
        if isinstance(value, bool) or not least <= value <= most:
            raise UserError(f"measure {text!r}: {what} must lie between {least} and {most}")
    providers = ir_measures.providers.registry.values()
    if not any(provider.is_available() and provider.supports(measure) for provider in providers):
        raise UserError(f"measure {text!r}: no installed ir_measures provider computes it; expected {shape}")
    return measure


def at_level(text: str, level: int) -> Any:
    """The measure with grades from `level` as relevant, where it is binary and does not say so itself."""
    measure = parse(text)
    if level == 1 or "rel" not in measure.SUPPORTED_PARAMS or "rel" in measure.params:
        return measure
    return measure(rel=level)


def check(texts: Sequence[str], level: int = 1) -> None:
    """Raise `UserError` unless there are texts, and each names a measure that can be computed, once.

    Grades from `level` are relevant for binary measures that name no `rel` of their own.
    """
    if not texts:
        raise UserError("measures: none is named; expected at least one, such as nDCG@10")
    seen: dict[Any, str] = {}
    for text in texts:
        measure = at_level(text, level)
        if measure in seen:
            raise UserError(f"measures: {seen[measure]!r} and {text!r} are the same measure; name it once")
        seen[measure] = text


def per_query(
    texts: Sequence[str], qrels: Qrels, rankings: Iterable[Ranking], level: int = 1
) -> dict[str, dict[str, float]]:
    """Each measure's value for every judged query: {measure text: {qid: value}}, queries in the order of `qrels`.

    Grades from `level` are relevant for binary measures that name no `rel` of their own.
    A judged query without a ranking gets what an empty ranking gets, which is 0 for every measure of effectiveness
    (semantics.md §5). A ranked query without judgements is left out.
    Raises `UserError` where a measure is undefined for a query.
    """
    # Providers that write TREC files (gdeval) want numbers for topics, so queries travel as their positions.
    numbers = {qid: str(number) for number, qid in enumerate(qrels, 1)}
    run = {
        numbers[ranking.qid]: _falling(ranking.pids) for ranking in rankings if ranking.qid in numbers and ranking.pids
    }
    judged = {numbers[qid]: dict(judgements) for qid, judgements in qrels.items()}
    return {text: dict(zip(qrels, _calculate(str(at_level(text, level)), judged, run), strict=True)) for text in texts}


def means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Each measure's mean over every query that has a value: {measure text: mean}."""
    return {text: float(np.mean(list(by_query.values()))) for text, by_query in values.items()}


def of_orders(
    text: str, judgements: Judgements, pids: Sequence[str], orders: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """One query's value of a measure under many orders: values float64[W].

    `orders` int[W, N] holds, for each of W rankings, positions in `pids` (length N), best first.
    nDCG, P, R, RR, AP and Success with no parameter but cut-off and `rel` are computed here, with trec_eval's formulas;
    any other measure, or parameter, goes through ir_measures.
    """
    measure = parse(text)
    if orders.ndim != 2 or orders.shape[1] != len(pids):
        raise ValueError(f"orders: expected shape [W, {len(pids)}], got {orders.shape}")
    formula = _FORMULAS.get(measure.NAME)
    if formula is not None and set(measure.params) <= {"cutoff", "rel"}:
        grades = np.array([judgements.get(pid, 0) for pid in pids], dtype=np.int64)
        judged = np.array(sorted(judgements.values(), reverse=True), dtype=np.int64)
        depth = int(measure.params.get("cutoff", max(len(pids), 1)))
        # Only a cut-off that was given divides or bounds the ideal: None stands for "all".
        cut = int(measure.params["cutoff"]) if "cutoff" in measure.params else None
        return formula(grades[orders[:, :depth]], judged, cut, int(measure.params.get("rel", 1)))
    numbers = [str(number) for number in range(1, len(orders) + 1)]
    run = (
        {number: _falling([pids[i] for i in order]) for number, order in zip(numbers, orders, strict=True)}
        if pids
        else {}
    )
    shared = dict(judgements)
    return np.array(_calculate(text, dict.fromkeys(numbers, shared), run), dtype=np.float64)


def _calculate(text: str, qrels: Mapping[str, dict[str, int]], run: Mapping[str, dict[str, float]]) -> list[float]:
    """Values in the order of `qrels`."""
    measure = parse(text)
    if measure.NAME == "nDCG":
        # trec_eval's uncut nDCG never returns where every judgement is negative. A negative grade gains what 0 does.
        qrels = {qid: {pid: max(grade, 0) for pid, grade in grades.items()} for qid, grades in qrels.items()}
    found = {
        metric.query_id: float(metric.value) for metric in ir_measures.iter_calc([measure], dict(qrels), dict(run))
    }
    values = [found.get(qid, math.nan if qid in run else float(measure.DEFAULT)) for qid in qrels]
    if not np.all(np.isfinite(values)):
        raise UserError(f"measure {text!r}: undefined for a judged query, so it has no mean over all of them")
    return values


def _falling(pids: Sequence[str]) -> dict[str, float]:
    """Scores n, n - 1, … 1: the order is all that a measure may see."""
    return {pid: float(len(pids) - place) for place, pid in enumerate(pids)}


def _one_line(error: Exception) -> str:
    message = re.sub(r"invalid param (\w+)=<object object at \w+>", r"needs \1", str(error))
    return " ".join(message.split()) or type(error).__name__


Grades = NDArray[np.int64]  # [W, depth]: grade at each rank, unjudged 0, cut at the measure's depth
Formula = Callable[[Grades, NDArray[np.int64], "int | None", int], NDArray[np.float64]]


def _ndcg(ranked: Grades, judged: NDArray[np.int64], cut: int | None, rel: int) -> NDArray[np.float64]:
    """Σ grade / log2(rank + 1) over that of the best order of all judged documents; negative grades gain nothing."""
    ideal = np.maximum(judged, 0)[:cut]
    best = float(ideal @ (1 / np.log2(np.arange(2, len(ideal) + 2))))
    gained: NDArray[np.float64] = np.maximum(ranked, 0) @ (1 / np.log2(np.arange(2, ranked.shape[1] + 2)))
    gained /= best or 1.0
    return gained


def _precision(ranked: Grades, judged: NDArray[np.int64], cut: int | None, rel: int) -> NDArray[np.float64]:
    return np.asarray((ranked >= rel).sum(axis=1) / (cut or max(ranked.shape[1], 1)))


def _recall(ranked: Grades, judged: NDArray[np.int64], cut: int | None, rel: int) -> NDArray[np.float64]:
    return np.asarray((ranked >= rel).sum(axis=1) / max(int((judged >= rel).sum()), 1))


def _success(ranked: Grades, judged: NDArray[np.int64], cut: int | None, rel: int) -> NDArray[np.float64]:
    return np.asarray((ranked >= rel).any(axis=1), dtype=np.float64)


def _reciprocal_rank(ranked: Grades, judged: NDArray[np.int64], cut: int | None, rel: int) -> NDArray[np.float64]:
    hits = ranked >= rel
    if not ranked.shape[1]:
        return np.zeros(len(ranked))
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def _average_precision(ranked: Grades, judged: NDArray[np.int64], cut: int | None, rel: int) -> NDArray[np.float64]:
    hits = ranked >= rel
    precision = hits.cumsum(axis=1) / np.arange(1, ranked.shape[1] + 1)
    return np.asarray((precision * hits).sum(axis=1) / max(int((judged >= rel).sum()), 1))


_FORMULAS: Mapping[str, Formula] = {
    "nDCG": _ndcg,
    "P": _precision,
    "R": _recall,
    "Success": _success,
    "RR": _reciprocal_rank,
    "AP": _average_precision,
}
