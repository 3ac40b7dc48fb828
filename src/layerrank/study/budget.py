"""How wide the intervals of a study come out, how many queries a width takes, and what a budget of hours buys.

The 95 % interval of a mean difference over n queries reaches z·s/√n to either side (z = 1.96; s: the standard deviation
of the two systems' difference from query to query). s is measured on a finished study, or assumed. A budget goes where
it narrows the widest interval: each collection gets as many queries as the narrowest width that all can reach takes.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from layerrank.core.errors import UserError
from layerrank.study.config import Study
from layerrank.study.plan import Gpu, Job, Seconds, gpus_of, job_seconds, judged_queries

Z = 1.959964
"""Standard normal quantile of a 95 % interval."""

ASSUMED = 0.2
"""s where nothing was measured: nDCG@10 of the most unlike systems of a small model on TREC DL 2019 and on `pocket`."""

FEWEST = 10
"""Queries that a budget leaves each collection, as far as it has them: fewer can hardly show any difference."""

STEPS = 60
"""Halvings of the width that is searched for."""


@dataclass(frozen=True)
class Share:
    """What a collection gets: `queries` of the `most` that it has, hours of GPUs, half the width of its intervals."""

    collection: str
    queries: int
    most: int
    deviation: float
    gpu_hours: float

    @property
    def half_width(self) -> float:
        """Half the width to be expected of the 95 % interval of a paired difference."""
        return half_width(self.deviation, self.queries)


def half_width(deviation: float, queries: int) -> float:
    """Half the width of the 95 % interval of a mean difference over so many queries; infinity for none."""
    return Z * deviation / math.sqrt(queries) if queries else math.inf


def queries_for(deviation: float, wanted: float) -> int:
    """The fewest queries whose interval is `wanted` or less to either side; two at least."""
    return max(2, math.ceil((Z * deviation / wanted) ** 2 - 1e-9))


def measured_deviations(evaluations: Iterable[Path], measure: str) -> dict[str, float]:
    """s by collection, from a finished study's values (`evaluation/<variant>.tsv`); `""` over all of them.

    Of each variant of a pair of collection and model: the root mean square, over all pairs of its systems, of the
    deviation of their difference. Raises `UserError` where there is nothing of the measure, or of two systems.
    """
    from layerrank.core.frames import read_values

    paths = list(evaluations)
    values = read_values(paths)
    found: dict[str, list[float]] = defaultdict(list)
    for (collection, _, _), cell in values[values["measure"] == measure].groupby(["collection", "model", "variant"]):
        table = cell.pivot(index="qid", columns="system", values="value")
        for one, other in itertools.combinations(table.columns, 2):
            if len(difference := (table[one] - table[other]).dropna()) > 1:
                found[str(collection)].append(float(difference.var(ddof=1)))
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no values of {measure} of two systems for two queries")
    found[""] = [square for squares in found.values() for square in squares]
    return {collection: math.sqrt(sum(squares) / len(squares)) for collection, squares in found.items()}


def shares(study: Study, jobs: Iterable[Job], deviations: Mapping[str, float], gpu: Gpu) -> list[Share]:
    """What each collection takes and shows at the study's own numbers of queries."""
    costs = _costs(study, jobs, gpu)
    numbers = {collection: judged_queries(study, collection, "base") for collection in study.collections}
    return _shares(numbers, numbers, costs, deviations)


def within(hours: float, study: Study, jobs: Iterable[Job], deviations: Mapping[str, float], gpu: Gpu) -> list[Share]:
    """Queries by collection for at most so many GPU hours, of which the widest interval is as narrow as can be.

    Raises:
        UserError: the fewest queries take more; or a model has no size to reckon with.
    """
    costs = _costs(study, jobs, gpu)
    most = {collection: judged_queries(study, collection, "base") for collection in study.collections}

    def chosen(width: float) -> dict[str, int]:
        return {
            name: min(number, max(FEWEST, queries_for(_deviation(deviations, name), width)))
            for name, number in most.items()
        }

    def taken(numbers: Mapping[str, int]) -> float:
        return sum(_hours(costs[name], number) for name, number in numbers.items())

    if taken(most) <= hours:
        return _shares(most, most, costs, deviations)
    low, high = 0.0, max(half_width(_deviation(deviations, name), 1) for name in most)
    if (least := taken(chosen(high))) > hours:
        raise UserError(f"--budget: {hours:g} hours, {FEWEST} queries of each collection take {least:.1f}")
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if taken(chosen(middle)) <= hours else (middle, high)
    return _shares(chosen(high), most, costs, deviations)


def table(found: Sequence[Share], wanted: float | None = None) -> str:
    """Queries, hours and half-widths by collection as text; with `wanted`, the queries that such a half-width takes."""
    width = max(len("collection"), *(len(share.collection) for share in found))
    rows = [f"{'collection':<{width}}  {'queries':>7}  {'of':>6}  {'GPU hours':>9}  {'half-width':>10}"]
    rows[0] += "" if wanted is None else f"  {f'for {wanted:g}':>9}"
    for share in found:
        row = f"{share.collection:<{width}}  {share.queries:>7}  {share.most:>6}  {share.gpu_hours:>9.1f}"
        row += f"  {share.half_width:>10.3f}"
        rows.append(row + ("" if wanted is None else f"  {queries_for(share.deviation, wanted):>9}"))
    widest = max(found, key=lambda share: share.half_width)
    hours = sum(share.gpu_hours for share in found)
    total = sum(share.queries for share in found)
    rows.append(f"{'in all':<{width}}  {total:>7}  {'':>6}  {hours:>9.1f}  {widest.half_width:>10.3f}")
    return "\n".join(rows)


def _deviation(deviations: Mapping[str, float], collection: str) -> float:
    return deviations.get(collection, deviations.get("", ASSUMED))


def _costs(study: Study, jobs: Iterable[Job], gpu: Gpu) -> dict[str, dict[Seconds, float]]:
    """By collection: how long its jobs hold a GPU, the same ones together with how many GPUs they hold."""
    found: dict[str, dict[Seconds, float]] = {collection: defaultdict(float) for collection in study.collections}
    for job in jobs:
        if not (gpus := gpus_of(study, job)):
            continue
        seconds = job_seconds(study, job, gpu)
        if seconds is None:
            name = job.wildcards.get("ranker") or job.wildcards["model"]
            raise UserError(f"model {name!r}: its catalogue entry has no `size` to reckon with")
        found[job.wildcards["collection"]][seconds] += gpus
    return found


def _hours(costs: Mapping[Seconds, float], queries: int) -> float:
    return sum(gpus * seconds.of(queries) for seconds, gpus in costs.items()) / 3600


def _shares(
    numbers: Mapping[str, int],
    most: Mapping[str, int],
    costs: Mapping[str, Mapping[Seconds, float]],
    deviations: Mapping[str, float],
) -> list[Share]:
    found = [
        Share(name, number, most[name], _deviation(deviations, name), _hours(costs[name], number))
        for name, number in numbers.items()
    ]
    return sorted(found, key=lambda share: (-share.half_width, share.collection))
