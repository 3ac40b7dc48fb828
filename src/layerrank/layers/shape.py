"""The shape of a layer profile, by held-out gains of its best layer; and how alike neighbouring layers rank.

**Held out.** Queries are halved at random `HALVINGS` times. On each half the best layer is the one with the highest
mean over the other half; its value less the mean of the first layers, and of the last layers (a sixth of the model
each, at least one), are the query's two differences, averaged over halvings. They are unbiased for the gain of a layer
chosen on half of the queries. Leaving out one query at a time would be, too, but its choice hardly varies, and
intervals over queries then miss what the choice adds: on flat profiles they exclude 0 in about 20 of 100 samples on
either side, those of repeated halves in 4 to 9 (tried with 14 to 200 queries).

**Lost.** The rise is the larger of the two differences. What each end has lost of it is its difference over the rise,
with an interval of the same bootstrap over queries.

**Verdicts**, by 95 % intervals:

- `flat`: the layers' means spread by less than `SPREAD` of their level (standard deviation, noise taken off), and the
  best gains less than `GAIN` of it on either end, both by the upper ends of the intervals;
- `rise to a plateau`: the best layer beats the first layers, and the last have lost less than `LITTLE` of the rise;
  `rise` where they are still well above those before them, or the best layer is one of the last (its whole interval);
- `fall`: the same from the other side;
- `bell`: the best layer beats both ends, each has lost more than `MOST` of the rise, and one bump explains the profile;
- `peak with partial fall`: the best layer beats both ends, one of them may have lost no more than `MOST`, and a bump
  explains more than `HARDLY` of the profile;
- `other`: the layers differ and are none of these, such as a valley;
- `none shown`: the queries do not tell. `queries_needed` says how many would, for the same differences and spread, in
  four samples of five; the difference that takes fewest decides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from layerrank.attention.scores import window_scores
from layerrank.attention.signal import Signal
from layerrank.attention.store import stored_layers, stored_qids
from layerrank.core.files import Qrels
from layerrank.core.frames import NEIGHBOURS, SHAPE, own_columns
from layerrank.core.windows import LayerWindow
from layerrank.evaluation.intervals import mean_interval
from layerrank.layers import curves
from layerrank.layers.profile import relative_depth
from layerrank.layers.signals import for_each
from layerrank.layers.sweep import judged_values

Floats = NDArray[np.float64]

HALVINGS = 50
ENDS = 6
"""The first and the last layers are one part of so many of the model each."""
SPREAD = 0.1
GAIN = 0.2
LITTLE = 0.25
MOST = 0.6
RISING = 0.1
"""Share of the rise by which the last layers must be above those before them to be still rising."""
SEEN = 0.4
"""Share of the rise that an end with little to lose may have lost against the layer that is best on all queries."""
DIFFERENT = 0.05
"""Spread of the layers' means, as a share of their level, beyond which they are called other than flat."""
EXPLAINED = 0.6
"""Share of a profile's variance, noise taken off, that an asymmetric bump must explain in a bell: not so two peaks."""
HARDLY = 0.3
"""The same share, below which a profile with a peak that may fall in part is called other: it has several."""
DETECTED = 1.96 + 0.84
"""Standard errors at which a difference is shown in four samples of five (two-sided, at .05)."""
LEAST_LAYERS = 10
"""Fewer points cannot tell the asymmetric bump's parameters apart; only they are left out then."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, mean: float, drawn: Floats) -> Interval:
        """From values under resampling; without any spread known (one query) its ends are NaN."""
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (np.nan, np.nan)
        return cls(float(mean), float(low), float(high))

    def named(self, name: str) -> dict[str, float]:
        """Its three columns."""
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What layers gain on queries that the best one was not chosen on.

    Attributes:
        first, last: the best layer less the first layers, and less the last.
        lost_first, lost_last: shares of the rise that either end has lost.
        after: the last layers less those before them.
        seen_lost_first, seen_lost_last: shares lost against the best layer of all queries, which flatters that layer:
            a doubt where halves of few queries miss the peak.
        spread: standard deviation of the layers' means, noise taken off.
        first_error, last_error: standard deviation of the two differences over queries.
        level: mean over layers and queries.
        best: the layer with the highest mean over all queries, with its bootstrap interval.
        best_is_first, best_is_last: whether all of that interval lies among the first layers, or the last.
        reliability: share of the variance of the layers' means that is no noise.
    """

    first: Interval
    last: Interval
    lost_first: Interval
    lost_last: Interval
    after: Interval
    seen_lost_first: float
    seen_lost_last: float
    spread: Interval
    first_error: float
    last_error: float
    level: float
    best: Interval
    best_is_first: bool
    best_is_last: bool
    reliability: float


def held_out(values: Floats, *, seed: int = 42, resamples: int = 1000) -> HeldOut:
    """Differences of one measure's values float64[Q, L], queries by layers, of two or more layers."""
    queries, layers = values.shape
    end = ends_of(layers)
    random = np.random.default_rng(seed)
    chosen = np.zeros(queries)
    for _ in range(HALVINGS if queries > 1 else 0):
        half = random.permutation(queries) < queries // 2
        for own in (half, ~half):
            chosen[own] += values[own, values[~own].mean(axis=0).argmax()]
    chosen /= HALVINGS
    if queries < 2:
        chosen[:] = np.nan
    previous = slice(max(0, layers - 2 * end), layers - end)
    differences = np.stack(
        [
            chosen - values[:, :end].mean(axis=1),
            chosen - values[:, layers - end :].mean(axis=1),
            values[:, layers - end :].mean(axis=1) - values[:, previous].mean(axis=1),
        ]
    )  # [3, Q]
    drawn = random.multinomial(queries, np.full(queries, 1 / queries), size=resamples if queries > 1 else 0) / queries
    means, sampled = differences.mean(axis=1), differences @ drawn.T  # [3], [3, R]
    by_layer, layers_sampled = values.mean(axis=0), drawn @ values  # [L], [R, L]
    noise = float((values - values.mean(axis=1, keepdims=True)).var(axis=0).mean() / queries)
    best = Interval.of(float(by_layer.argmax()), layers_sampled.argmax(axis=1).astype(np.float64))
    first, last, after = (Interval.of(own, drawn) for own, drawn in zip(means, sampled, strict=True))
    lost = [Interval.of(_share(means[end], means[:2]), _share(sampled[end], sampled[:2])) for end in (0, 1)]
    seen = by_layer.max() - np.array([by_layer[:end].mean(), by_layer[layers - end :].mean()])
    return HeldOut(
        first=first,
        last=last,
        lost_first=lost[0],
        lost_last=lost[1],
        after=after,
        seen_lost_first=float(_share(seen[0], seen)),
        seen_lost_last=float(_share(seen[1], seen)),
        # The sample's own spread holds the noise once, those of its resamples twice.
        spread=Interval.of(
            math.sqrt(max(by_layer.var() - noise, 0.0)),
            np.sqrt(np.maximum(layers_sampled.var(axis=1) - 2 * noise, 0.0)),
        ),
        first_error=float(differences[0].std()),
        last_error=float(differences[1].std()),
        level=float(by_layer.mean()),
        best=best,
        best_is_first=best.high < end,
        best_is_last=best.low >= layers - end,
        reliability=max(1 - noise / by_layer.var(), 0.0) if by_layer.var() > 0 else 0.0,
    )


def ends_of(layers: int) -> int:
    """How many layers are the first, and how many the last."""
    return max(1, round(layers / ENDS))


def verdict(found: HeldOut, queries: int, explained: float) -> tuple[str, str, float]:
    """The verdict by the rules above, why, and how many queries would show one where none is shown (else NaN).

    `explained` is the share of the profile's variance, noise taken off, that the asymmetric bump explains; NaN where it
    was not fitted.
    """
    up, down = found.first.low > 0, found.last.low > 0
    kept_last = found.lost_last.high < LITTLE and found.seen_lost_last < SEEN
    kept_first = found.lost_first.high < LITTLE and found.seen_lost_first < SEEN
    small = max(found.first.high, found.last.high) <= GAIN * found.level
    if small and found.spread.high <= SPREAD * found.level:
        return "flat", f"no layer gains {GAIN:.0%} of the level on either end", math.nan
    rising = found.after.low > 0 and found.after.mean > RISING * max(found.first.mean, found.last.mean)
    if up and (found.best_is_last or (kept_last and rising)):
        return "rise", "the last layers are the best, or still rising", math.nan
    if up and kept_last:
        kept = min(1.0, 1 - found.lost_last.mean)
        return "rise to a plateau", f"the last layers keep {kept:.0%} of the rise", math.nan
    if down and (found.best_is_first or kept_first):
        return "fall", "the first layers are the best, or as good, and the last are worse", math.nan
    if up and down:
        lost = found.lost_first.mean, found.lost_last.mean
        both = "of the rise, the first layers have lost {:.0%}, the last {:.0%}".format(*lost)
        whole = min(found.lost_first.low, found.lost_last.low) > MOST
        if explained < (EXPLAINED if whole else HARDLY):
            return "other", f"{both}, but one bump explains {explained:.0%} of the profile", math.nan
        if not whole:
            return "peak with partial fall", both, math.nan
        return "bell", both, math.nan
    if found.spread.low > DIFFERENT * found.level and not (up or down) and small:
        return "other", "layers differ, and the best are at both ends", math.nan
    needed = _needed(found, queries, up, down)
    if up:
        why = "rises from the first layers; whether the last fall again is not shown"
    elif down:
        why = "falls to the last layers; whether it rises to them is not shown"
    else:
        why = "no layer is shown to beat the first or the last layers"
    enough = f"; about {needed:,.0f} queries like these would show it" if math.isfinite(needed) else ""
    return "none shown", why + enough, needed


def shape_of(values: Floats, measure: str, *, seed: int = 42, resamples: int = 1000) -> dict[str, Any]:
    """The shape of one measure's layer profile: the own columns of `SHAPE`.

    `values` is float64[Q, L], every judged query by layer. `rise` and `fall` are the held-out differences from the
    first and to the last layers; `best_depth` is the best layer's relative depth. The fits of `curves.py`, over
    relative depth and with layers weighed by the inverse square of their standard error over queries, describe:
    `centre` and `width` (standard deviation) are the symmetric bump's, `left_…` and `right_…` the asymmetric one's;
    `weight_…` are Akaike weights of the four curves.
    """
    queries, layers = values.shape
    row: dict[str, Any] = dict.fromkeys(own_columns(SHAPE), np.nan)
    row |= {"measure": measure, "layers": layers, "queries": queries}
    if layers < 3:
        best = int(values.mean(axis=0).argmax())
        return row | {"best_layer": best, "verdict": "other", "reason": f"{layers} layers have no shape"}
    found = held_out(values, seed=seed, resamples=resamples)
    fits = _fits(values)
    row |= _described(fits, layers)
    row |= found.first.named("rise") | found.last.named("fall")
    row |= found.lost_first.named("lost_first") | found.lost_last.named("lost_last")
    row |= {"spread": found.spread.mean, "spread_high": found.spread.high, "best_layer": int(found.best.mean)}
    row |= {f"best_{end}": getattr(found.best, end) for end in ("low", "high")}
    row |= Interval(*(layer / (layers - 1) for layer in (found.best.mean, found.best.low, found.best.high))).named(
        "best_depth"
    )
    explained = fits["asymmetric"].r2 / max(found.reliability, 1e-9) if fits else math.nan
    row["verdict"], row["reason"], row["queries_needed"] = verdict(found, queries, explained)
    return row


def layer_shapes(
    paths: Sequence[Path],
    qrels: Qrels,
    names: Sequence[str],
    strategy: str,
    *,
    seed: int = 42,
    resamples: int = 1000,
    workers: int = 1,
) -> pd.DataFrame:
    """`shape_of` each measure of the single layers: the own columns of `SHAPE`, a row a measure.

    Raises `UserError` as `judged_values` does.
    """
    single = [LayerWindow(layer, layer) for layer in range(stored_layers(paths))]
    values, _ = judged_values(paths, qrels, single, names, strategy, workers=workers)
    rows = [shape_of(own, name, seed=seed, resamples=resamples) for name, own in zip(names, values, strict=True)]
    return pd.DataFrame(rows, columns=own_columns(SHAPE))


def neighbour_agreement(
    paths: Sequence[Path], strategy: str, *, seed: int = 42, resamples: int = 1000, workers: int = 1
) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of each layer and the next: the own columns of `NEIGHBOURS`.

    `mean` is over queries, `low` to `high` its 95 % bootstrap interval. Queries whose rankings have no tau, such as
    those of one candidate, are left out; `queries` counts the others, and where there are none the mean is NaN. No
    judgement is read. A model of one layer gives no row.
    """
    layers = stored_layers(paths)
    arguments = dict.fromkeys(stored_qids(paths), strategy)
    found = for_each(paths, _tau, arguments, windows=layers, workers=workers, what="neighbours")
    values = np.array(list(found.values()))
    rows = []
    for layer in range(layers - 1):
        known = values[:, layer][np.isfinite(values[:, layer])]
        ends = mean_interval(known, resamples=resamples, seed=seed) if known.size else (np.nan,) * 3
        rows.append((layer, relative_depth(layer, layers), *map(float, ends), known.size))
    return pd.DataFrame(rows, columns=own_columns(NEIGHBOURS))


def _share(difference: Any, both: Floats) -> Any:
    """A difference over the larger of the two; 0 where neither is a rise."""
    rise = both.max(axis=0)
    return np.divide(difference, rise, out=np.zeros_like(rise), where=rise > 0)


def _needed(found: HeldOut, queries: int, up: bool, down: bool) -> float:
    """Queries at which the difference that takes fewest would be shown; NaN where none that was found would be."""
    rise = max(found.first.mean, found.last.mean)

    def count(error: float, size: float) -> float:
        return math.ceil((DETECTED * error / size) ** 2) if size > 0 else math.inf

    first, last = (found.first_error, found.first.mean), (found.last_error, found.last.mean)
    ways = []
    if not up:
        ways.append(count(*first))
    if not down:
        ways.append(count(*last))
    if up and not down:
        ways.append(count(found.last_error, LITTLE * rise - found.last.mean))
    if down and not up:
        ways.append(count(found.first_error, LITTLE * rise - found.first.mean))
    if not up and not down:
        flat = count(max(found.first_error, found.last_error), GAIN * found.level - rise)
        ways.append(
            max(flat, queries * (found.spread.high / (SPREAD * found.level)) ** 2) if found.level > 0 else math.inf
        )
    least = min(ways)
    return float(max(least, queries + 1)) if math.isfinite(least) else math.nan


def _fits(values: Floats) -> dict[str, curves.Fit]:
    queries, layers = values.shape
    mean = values.mean(axis=0)
    depth = np.array([relative_depth(layer, layers) for layer in range(layers)])
    error = values.std(axis=0, ddof=1) / np.sqrt(queries) if queries > 1 else np.full(layers, np.nan)
    weight = curves.weights(error)
    if layers < LEAST_LAYERS:
        return {}
    return {
        "bell": curves.fit_curve(depth, mean, weight, curves.bump, falls=False),
        "asymmetric": curves.fit_asymmetric(depth, mean, weight),
        "monotone": curves.fit_curve(depth, mean, weight, curves.slope, falls=True),
        "flat": curves.fit_flat(mean, weight),
    }


def _described(fits: Mapping[str, curves.Fit], layers: int) -> dict[str, float]:
    """The columns of the fits."""
    if not fits:
        return {}
    least = min(fit.aicc for fit in fits.values())
    likelihood = {name: math.exp(-0.5 * (fit.aicc - least)) for name, fit in fits.items()}
    row = {f"weight_{name}": own / sum(likelihood.values()) for name, own in likelihood.items()}
    row |= {f"r2_{name}": fits[name].r2 for name in ("bell", "asymmetric", "monotone")}
    names = ("floor", "height", "centre", "width")
    row |= dict(zip(names, fits["bell"].parameters, strict=True))
    row |= {f"{name}_error": error for name, error in zip(names[2:], fits["bell"].errors[2:], strict=True)}
    row |= {"centre_layer": row["centre"] * (layers - 1), "width_layers": row["width"] * (layers - 1)}
    sides = ("left_floor", "right_floor", "peak", "peak_depth", "left_width", "right_width")
    return row | dict(zip(sides, fits["asymmetric"].parameters, strict=True))


def _tau(signal: Signal, strategy: str) -> Floats:
    """float64[L - 1] of one query."""
    single = [LayerWindow(layer, layer) for layer in range(signal.layers)]
    scores = window_scores(signal, single, strategy)
    if len(signal.pids) < 2:
        return np.full(signal.layers - 1, np.nan)
    return np.array([stats.kendalltau(one, next_).statistic for one, next_ in itertools.pairwise(scores)])
