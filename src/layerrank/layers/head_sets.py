"""Sets of heads: how many it takes, how far sets agree, and what carries over from one collection to another.

What sets rank is exact from the store for linear strategies alone (semantics.md §7).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from layerrank.attention.signal import Signal
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels
from layerrank.core.frames import HEAD_AGREEMENT, HEAD_COUNTS, HEAD_TRANSFER, own_columns
from layerrank.core.heads import Head, HeadSelection
from layerrank.evaluation import measures
from layerrank.evaluation.intervals import mean_interval
from layerrank.layers.head_rules import Values, by_head, head_strategy
from layerrank.layers.signals import for_each, ranked

Floats = NDArray[np.float64]
Places = Mapping[tuple[str, str], Sequence[HeadSelection]]
"""What rules chose, by collection and model."""
Dtypes = Mapping[tuple[str, str], Mapping[str, Sequence[HeadSelection]]]
"""What rules chose in each dtype, by collection and model."""


def head_counts(
    paths: Sequence[Path],
    qrels: Qrels,
    chosen: Sequence[HeadSelection],
    measure: str,
    strategy: str,
    *,
    seed: int = 42,
    resamples: int = 1000,
    workers: int = 1,
) -> pd.DataFrame:
    """The measure against the number of heads: the own columns of `frames.HEAD_COUNTS`, a row a rule and number.

    Args:
        paths: the stored signal, by shard.
        qrels: of the judged queries; one without a signal counts as an empty ranking.
        chosen: every head that a rule allows, best first, for each query (`choose_heads(…, every=True)`): under
            cross-validation a query's heads are ranked without its fold.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2; without its mask, where it is masked.
        seed, resamples: of the bootstrap over queries.
        workers: processes.
    """
    measures.check([measure])
    own = head_strategy(strategy, linear=True)
    of_query = [selection.of(qrels) for selection in chosen]
    most = max(len(heads) for sets in of_query for heads in sets.values())
    numbers = sorted({2**power for power in range(most.bit_length())} | {most} | {_top(one) for one in chosen})
    arguments = {qid: (qrels[qid], [sets[qid] for sets in of_query]) for qid in qrels}
    found = for_each(
        paths,
        partial(_counted, numbers=numbers, measure=measure, strategy=own),
        arguments,
        windows=len(numbers) * len(chosen),
        workers=workers,
        what="numbers of heads",
    )
    shape = len(chosen), len(numbers)
    values = np.stack([found.get(qid, np.full(shape, _empty(measure, qrels[qid]))) for qid in qrels])
    rows = []
    for place, selection in enumerate(chosen):
        least = min(len(heads) for heads in of_query[place].values())
        for column, number in enumerate(numbers):
            if number <= least:
                interval = mean_interval(values[:, place, column], resamples=resamples, seed=seed)
                ends = float(values[:, place, column].mean()), float(interval.low), float(interval.high)
                about = selection.rule, selection.upper_bound, _top(selection), number, measure, own
                rows.append((*about, *ends, len(qrels)))
    return pd.DataFrame(rows, columns=own_columns(HEAD_COUNTS))


def agreement(places: Places, dtypes: Dtypes | None = None) -> pd.DataFrame:
    """How far sets of one rule agree: columns `frames.HEAD_AGREEMENT`.

    Between the folds of one place (the mean over pairs of folds), between collections of one model, between models of
    as many layers and heads on one collection, and between dtypes of one place.

    Args:
        places: every head that a rule allows, best first (`choose_heads(…, every=True)`).
        dtypes: the same in each dtype, of places whose signal was read in several.
    """
    rows: list[tuple[Any, ...]] = []
    for (collection, model), selections in places.items():
        for one in selections:
            if one.chosen_by == "cross-validation" and len(one.sets) > 1:
                pairs = list(itertools.combinations([each.heads for each in one.sets], 2))
                each = np.mean([_alike(one, a, b) for a, b in pairs], axis=0)
                where = f"{model} on {collection}"
                rows.append(("folds", one.rule, where, f"{len(one.sets)} sets", "", *_shown(one, each)))
    for (first, others), (second, others_too) in itertools.combinations(places.items(), 2):
        same_model, same_collection = first[1] == second[1], first[0] == second[0]
        if same_model == same_collection:
            continue
        kind, place = ("collections", first[1]) if same_model else ("models", first[0])
        names = (first[0], second[0]) if same_model else (first[1], second[1])
        rows += _pairs(kind, place, names, others, others_too)
    for (collection, model), by_dtype in (dtypes or {}).items():
        for (one_dtype, chosen), (other_dtype, chosen_too) in itertools.combinations(by_dtype.items(), 2):
            rows += _pairs("dtypes", f"{model} on {collection}", (one_dtype, other_dtype), chosen, chosen_too)
    return pd.DataFrame(rows, columns=list(HEAD_AGREEMENT))


def transfer_heads(
    model: str,
    stores: Mapping[str, Sequence[Path]],
    qrels: Mapping[str, Qrels],
    chosen: Mapping[str, Sequence[HeadSelection]],
    measure: str,
    strategy: str,
    *,
    seed: int = 42,
    resamples: int = 1000,
    workers: int = 1,
) -> pd.DataFrame:
    """What heads chosen on one collection rank on another, with one model: columns `frames.HEAD_TRANSFER`.

    On its own collection a rule's heads are those that `choose_heads` chose for each query, without its judgements;
    elsewhere they are its default set. Upper bounds are left out.

    Args:
        model: its name.
        stores: the stored signal of each collection, by shard.
        qrels: of each collection.
        chosen: what the rules chose on each.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2; without its mask, where it is masked.
        seed, resamples: of the bootstrap over queries.
        workers: processes.
    """
    own = head_strategy(strategy, linear=True)
    rows = []
    for target, paths in stores.items():
        judged = qrels[target]
        sets: dict[tuple[str, str], Mapping[str, tuple[Head, ...]]] = {}
        for source, selections in chosen.items():
            for one in selections:
                if not one.upper_bound:
                    sets[one.rule, source] = one.of(judged) if source == target else dict.fromkeys(judged, one.default)
        arguments = {qid: (judged[qid], [heads[qid] for heads in sets.values()]) for qid in judged}
        work = partial(_counted, numbers=None, measure=measure, strategy=own)
        found = for_each(paths, work, arguments, windows=len(sets), workers=workers, what=f"heads on {target}")
        values = np.stack(
            [found[qid][:, 0] if qid in found else np.full(len(sets), _empty(measure, judged[qid])) for qid in judged]
        )
        by_set = dict(zip(sets, values.T, strict=True))
        top = {(one.rule, source): one.default for source, selections in chosen.items() for one in selections}
        for (rule, source), column in by_set.items():
            if (rule, target) not in by_set:
                raise UserError(f"heads: rule {rule!r} chose none on {target}")
            less = column - by_set[rule, target]
            shown, apart = (mean_interval(each, resamples=resamples, seed=seed) for each in (column, less))
            shared = len(set(top[rule, source]) & set(top[rule, target])) / len(top[rule, target])
            rows.append(
                (
                    *(model, rule, source, target, measure, own, len(top[rule, source])),
                    *(float(column.mean()), float(shown.low), float(shown.high)),
                    *(float(less.mean()), float(apart.low), float(apart.high), shared),
                )
            )
    return pd.DataFrame(rows, columns=list(HEAD_TRANSFER))


def _counted(
    signal: Signal,
    argument: tuple[Mapping[str, int], Sequence[Sequence[Head]]],
    *,
    numbers: Sequence[int] | None,
    measure: str,
    strategy: str,
) -> Values:
    """float64[R, M] of one query: the measure under the best `numbers` of each ranking of heads, NaN beyond its end.

    Without `numbers` under all of them, M = 1.
    """
    judgements, rankings = argument
    scores = by_head(signal, strategy)
    found = np.full((len(rankings), 1 if numbers is None else len(numbers)), np.nan)
    for row, heads in enumerate(rankings):
        layers, places = np.array(heads).T
        sums = np.cumsum(scores[layers, places], axis=0)  # [heads, N]
        wanted = [len(heads)] if numbers is None else [number for number in numbers if number <= len(heads)]
        orders = ranked(sums[[number - 1 for number in wanted]])
        found[row, : len(wanted)] = measures.of_orders(measure, judgements, signal.pids, orders)
    return found


def _empty(measure: str, judgements: Mapping[str, int]) -> float:
    """What an empty ranking is worth."""
    return float(measures.of_orders(measure, judgements, (), np.empty((1, 0), dtype=np.int64))[0])


def _top(selection: HeadSelection) -> int:
    return int(selection.settings["top"])


def _alike(selection: HeadSelection, one: Sequence[Head], other: Sequence[Head]) -> tuple[float, float]:
    """The share of the best heads that two rankings have in common, and Spearman's correlation of all in both."""
    top = _top(selection)
    shared = len(set(one[:top]) & set(other[:top])) / top
    second = {head: place for place, head in enumerate(other)}
    both = [(place, second[head]) for place, head in enumerate(one) if head in second]
    return shared, float(stats.spearmanr(*zip(*both, strict=True)).statistic) if len(both) > 2 else float("nan")


def _shown(selection: HeadSelection, alike: Sequence[float] | Floats) -> tuple[float, ...]:
    """Heads, overlap, what chance would give among the heads that the rule allows, correlation."""
    top, allowed = _top(selection), min(len(each.heads) for each in selection.sets)
    return top, float(alike[0]), top / allowed, float(alike[1])


def _pairs(
    kind: str,
    place: str,
    names: tuple[str, str],
    ones: Sequence[HeadSelection],
    others: Sequence[HeadSelection],
) -> list[tuple[Any, ...]]:
    second = {other.rule: other for other in others}
    return [
        (kind, one.rule, place, *names, *_shown(one, _alike(one, one.default, second[one.rule].default)))
        for one in ones
        if one.rule in second and (one.layers, one.heads) == (second[one.rule].layers, second[one.rule].heads)
    ]
