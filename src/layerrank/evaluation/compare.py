"""Systems against baselines, query by query: paired tests, corrected within families, with sizes and intervals.

Nothing is pooled over collections: each collection is an experiment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from layerrank.core.errors import UserError
from layerrank.core.frames import (
    AGAINST_BASELINE,
    COMPARISON,
    FAMILY,
    OF_HEADS,
    OF_MECHANISMS,
    OF_REMEDIES,
    OF_WINDOWS,
)
from layerrank.core.progress import counted
from layerrank.core.systems import (
    ALL_LAYERS,
    MECHANISMS,
    by_mechanism,
    parse_system,
    remedies,
    whole_list_heads,
    whole_list_windows,
)
from layerrank.core.windows import rule_of
from layerrank.evaluation import intervals

TIE = 1e-9
BATCH = 4_000_000
# Sampling cannot give a p below 2 / draws: with this many a test, Holm's correction leaves room down to 0.005.
DRAWS_PER_TEST = 400

Values = NDArray[np.float64]


Pair = tuple[str, str]  # baseline, system


def against_baselines(names: Sequence[str], baselines: Sequence[str]) -> list[Pair]:
    """Every system against each baseline that is among them; two baselines are held against each other once."""
    return [
        (baseline, system)
        for place, baseline in enumerate(baselines)
        if baseline in names
        for system in names
        if system not in baselines[: place + 1] and not parse_system(system).aside
    ]


def of_mechanisms(names: Sequence[str]) -> list[Pair]:
    """Attention against likelihood and against generation, in each framework that has both (`by_mechanism`)."""
    return [
        (ways[other], ways["attention"])
        for ways in by_mechanism(names).values()
        for other in MECHANISMS[1:]
        if "attention" in ways and other in ways
    ]


def of_windows(names: Sequence[str]) -> list[Pair]:
    """Whole-list attention with each window of layers against that with all layers."""
    fair = [name for name in whole_list_windows(names) if not parse_system(name).upper_bound]
    return [(ALL_LAYERS, name) for name in fair] if ALL_LAYERS in names else []


def of_remedies(names: Sequence[str]) -> list[Pair]:
    """What averages a window's scores over input orders, or calibrates them by place, against the window as it is."""
    own = remedies(names).items()
    return [(plain, other) for plain, others in own if not parse_system(plain).upper_bound for other in others]


def of_heads(names: Sequence[str]) -> list[Pair]:
    """Chosen heads against all layers, against each window that a rule chose, and against one another.

    Heads within a chosen window are among them: they stand against the window, and against heads of all layers.
    """
    heads = [name for name in whole_list_heads(names) if not parse_system(name).upper_bound]
    windows = [name for name in whole_list_windows(names) if not parse_system(name).upper_bound]
    chosen = [name for name in windows if rule_of(parse_system(name).window) is not None]
    others = [*[ALL_LAYERS] * (ALL_LAYERS in names), *chosen]
    return [(other, name) for place, name in enumerate(heads) for other in (*others, *heads[:place])]


def compare(values: pd.DataFrame, baselines: Sequence[str], seed: int, resamples: int = 2000) -> pd.DataFrame:
    """Every family of tests of each collection, model, variant and measure.

    Families are those of `frames`: systems against `baselines`, mechanisms within a framework, windows against all
    layers, remedies against what they remedy, heads against windows. Holm's correction covers a family. Upper bounds
    (the ceiling, windows and heads of an oracle) have seen the test queries' judgements and are not tested; neither are
    controls.

    Args:
        values: per-query values, columns `frames.VALUES`.
        baselines: names of systems to test the others against.
        seed: of the bootstrap and of the randomisation test; each comparison draws afresh from it.
        resamples: of both; the randomisation test takes more where its family is large, and is exact where all
            2^queries sign patterns are no more than that.

    Returns:
        Columns `frames.COMPARISON`: `difference` is system minus baseline, in means over all judged queries, with its
        95 % bootstrap interval `low` to `high`; `effect_size` is Cohen's dz; `wins`, `ties`, `losses` count queries;
        `p_attainable` is the smallest corrected p that the randomisation test can give with so many queries, draws
        and tests, whatever the data are; `tests` is the size of the family.

    Raises:
        UserError: a baseline is no system of the study, or two systems were measured on different queries.
    """
    known = list(dict.fromkeys(values["system"]))
    for baseline in baselines:
        if baseline not in known:
            raise UserError(f"baseline {baseline!r}: not a system of this study; known: {', '.join(known)}")
    rows: list[dict[str, Any]] = []
    cells = values.groupby(list(FAMILY[:-1]), sort=False)
    for names, group in counted(cells, "tests", "families of systems", total=cells.ngroups):
        wide = group.pivot(index="qid", columns="system", values="value")
        if wide.isna().any(axis=None):
            lacking = wide.columns[wide.isna().any()][0]
            raise UserError(f"{', '.join(map(str, names))}: {lacking} lacks queries that other systems have")
        own = list(dict.fromkeys(group["system"]))
        families = {
            AGAINST_BASELINE: against_baselines(own, baselines),
            OF_MECHANISMS: of_mechanisms(own),
            OF_WINDOWS: of_windows(own),
            OF_REMEDIES: of_remedies(own),
            OF_HEADS: of_heads(own),
        }
        for name, pairs in families.items():
            key = dict(zip(FAMILY, (*names, name), strict=True))
            rows += [key | row for row in family(wide, pairs, seed, resamples)]
    return pd.DataFrame(rows, columns=list(COMPARISON))


def family(
    wide: pd.DataFrame, pairs: Sequence[tuple[str, str]], seed: int, resamples: int = 2000
) -> list[dict[str, Any]]:
    """One family of tests: rows of `frames.COMPARISON`, without the names of `FAMILY`, for (baseline, system) pairs.

    `wide` holds a row a query and a column a system; Holm's correction covers all pairs.
    """
    draws = max(resamples, DRAWS_PER_TEST * len(pairs))
    rows = [
        {"baseline": baseline, "system": system}
        | _pair(wide[system].to_numpy(np.float64), wide[baseline].to_numpy(np.float64), seed, resamples, draws)
        for baseline, system in pairs
    ]
    for test in ("randomisation", "t"):
        for row, p in zip(rows, holm([row[f"p_{test}"] for row in rows]), strict=True):
            row[f"p_{test}_holm"] = p
    return [
        row | {"p_attainable": min(1.0, len(rows) * smallest_p(row["queries"], draws)), "tests": len(rows)}
        for row in rows
    ]


def smallest_p(queries: int, draws: int) -> float:
    """The smallest two-sided p that the randomisation test can give: every difference has the same sign.

    2 of 2^Q sign patterns where the test is exact; where it samples, the observed pattern counts as drawn once.
    """
    if queries < 2:
        return 1.0
    return 2.0 / 2**queries if 2**queries <= draws else 2.0 / (draws + 1)


def randomisation_test(differences: Values, seed: int, resamples: int = 2000) -> float:
    """Two-sided p of Fisher's paired randomisation test on the mean of `differences` float64[Q] (scipy's).

    Each difference's sign is equally likely under the null hypothesis. Exact where 2^Q <= resamples; 1 where nothing
    differs, or where one query is all there is.
    """
    if len(differences) < 2 or not np.abs(differences).max() > TIE:
        return 1.0
    return float(
        stats.permutation_test(
            (differences,),
            lambda sample, axis: np.mean(sample, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            batch=max(1, BATCH // len(differences)),
            rng=np.random.default_rng(seed),
        ).pvalue
    )


def t_test(differences: Values) -> float:
    """Two-sided p of the paired t-test (scipy's); 1 where nothing differs or one query leaves it undefined.

    0, the limit, where all queries differ by one and the same amount.
    """
    if len(differences) < 2 or not np.abs(differences).max() > TIE:
        return 1.0
    if np.ptp(differences) <= TIE:
        return 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def effect_size(differences: Values) -> float:
    """Cohen's dz: mean over standard deviation (n − 1) of differences; 0 where nothing differs, NaN if undefined."""
    if not np.abs(differences).max(initial=0.0) > TIE:
        return 0.0
    if len(differences) < 2 or np.ptp(differences) <= TIE:
        return float("nan")
    return float(differences.mean() / differences.std(ddof=1))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979) of one family's p-values, in their order.

    The i-th smallest of m is multiplied by m − i + 1, made no smaller than the one before it, and cut at 1.
    """
    adjusted = [0.0] * len(ps)
    last = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        last = max(last, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = last
    return adjusted


def _pair(system: Values, baseline: Values, seed: int, resamples: int, draws: int) -> dict[str, Any]:
    differences = system - baseline
    interval = intervals.mean_interval(differences, resamples=resamples, seed=seed)
    wins, losses = int((differences > TIE).sum()), int((differences < -TIE).sum())
    return {
        "queries": len(differences),
        "baseline_mean": baseline.mean(),
        "mean": system.mean(),
        "difference": differences.mean(),
        "low": float(interval.low),
        "high": float(interval.high),
        "effect_size": effect_size(differences),
        "wins": wins,
        "ties": len(differences) - wins - losses,
        "losses": losses,
        "p_randomisation": randomisation_test(differences, seed, draws),
        "p_t": t_test(differences),
    }
