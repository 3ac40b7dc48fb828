"""The shape of a layer profile (bell, flat, monotone or none of them), and how alike neighbouring layers rank."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from layerrank.attention.scores import window_scores
from layerrank.attention.signal import Signal
from layerrank.attention.store import stored_layers, stored_qids
from layerrank.core.errors import UserError
from layerrank.core.frames import NEIGHBOURS, SHAPE
from layerrank.core.windows import LayerWindow
from layerrank.evaluation.intervals import mean_interval
from layerrank.layers.profile import relative_depth
from layerrank.layers.signals import for_each

Floats = NDArray[np.float64]


MARGIN = 2.0
"""AICc by which a shape must beat another: below it both have substantial support (Burnham and Anderson, 2002)."""
FALLEN = 0.5
"""Share of its height that a bell must have lost at both ends of the model."""
STANDING = 0.1
"""Share of its height that a bump may have lost at one end and still count as monotone up to there."""
EXPLAINED = 0.5
"""Share of the weighted variance that a shape must explain."""
DIFFERENT = 0.01
"""Probability of a flat line's residuals, given the intervals, below which layers are said to differ."""
LEAST_LAYERS = 8
"""Fewer points cannot tell five free parameters apart."""

Basis = Callable[[Floats, Any, Any], Floats]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted curve over relative depth.

    `parameters` are baseline, height, centre and width (the flat curve has a baseline alone), `errors` their standard
    errors, `aicc` the corrected Akaike criterion, `r2` the share of the weighted variance explained.
    """

    parameters: tuple[float, ...]
    errors: tuple[float, ...]
    aicc: float
    r2: float


def bump(depth: Floats, centre: Any, width: Any) -> Floats:
    """exp(-(depth - centre)^2 / (2 width^2)): 1 at the centre, `width` is the standard deviation."""
    return np.asarray(np.exp(-0.5 * ((depth - centre) / width) ** 2))


def slope(depth: Floats, centre: Any, width: Any) -> Floats:
    """1 / (1 + exp(-(depth - centre) / width)): rises throughout, from 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.clip((depth - centre) / width, -500, 500))))


def fit_curve(depth: Floats, mean: Floats, weight: Floats, basis: Basis, *, falls: bool) -> Fit:
    """Weighted least squares of baseline + height · basis(depth, centre, width).

    `depth`, `mean` and `weight` are float64[L]. A grid over centre and width, on which the other two have a closed
    form, gives the starting points for scipy.optimize.least_squares, so that the fit is deterministic and no local
    minimum is taken for the best. `falls` allows a negative height, and a centre beyond the model's ends.
    """
    spacing = 1 / (len(depth) - 1)
    centres = np.linspace(-0.5, 1.5, 81) if falls else np.linspace(0, 1, 41)
    # A bump narrower than a layer would be one layer's chance; a slope as steep as a step is not.
    widths = np.geomspace(spacing / 4 if falls else spacing, 1, 25)
    centre, width = (grid.ravel() for grid in np.meshgrid(centres, widths))
    curves = basis(depth, centre[:, None], width[:, None])
    share = weight / weight.sum()
    from_mean = curves - (curves @ share)[:, None]
    own = mean - mean @ share
    size = (from_mean**2) @ share
    height = np.divide(from_mean @ (share * own), size, out=np.zeros(len(size)), where=size > 1e-12)
    if not falls:
        height = np.maximum(height, 0)
    residual = ((own - height[:, None] * from_mean) ** 2) @ share

    def residuals(parameters: Floats) -> Floats:
        return np.asarray((mean - parameters[0] - parameters[1] * basis(depth, *parameters[2:])) * np.sqrt(weight))

    low = [-np.inf, -np.inf if falls else 0.0, centres[0], widths[0]]
    high = [np.inf, np.inf, centres[-1], widths[-1]]
    solutions = []
    for start in np.argsort(residual, kind="stable")[:5]:
        baseline = mean @ share - height[start] * (curves[start] @ share)
        first = np.clip([baseline, height[start], centre[start], width[start]], low, high)
        solutions.append(optimize.least_squares(residuals, first, bounds=(low, high), x_scale=[0.1, 0.1, 0.1, 0.1]))
    best = min(solutions, key=lambda solution: solution.cost)
    scale = 2 * best.cost / (len(depth) - 4)
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(best.jac.T @ best.jac)), 0) * scale)
    return _fit(best.x, errors, 2 * best.cost, mean, weight)


def fit_flat(mean: Floats, weight: Floats) -> Fit:
    """The weighted mean."""
    level = float(mean @ weight / weight.sum())
    residual = float(weight @ (mean - level) ** 2)
    error = np.sqrt(residual / (len(mean) - 1) / weight.sum())
    return _fit(np.array([level]), np.array([error]), residual, mean, weight)


def shape_of(profile: pd.DataFrame) -> dict[str, Any]:
    """How bell-shaped one measure's layer profile is: the columns of `SHAPE`.

    A Gaussian bump over a baseline, a logistic slope (the monotone curve) and a flat line are fitted over relative
    depth; layers weigh by the inverse square of their standard error (a quarter of the interval, at least half of the
    median one). AICc with an estimated scale compares them, `weight_…` are Akaike weights; `p_flat` is the probability
    of a flat line's residuals given the intervals (chi-squared). The verdict is

    - `bell`: the bump beats both others by `MARGIN`, explains `EXPLAINED` of the variance, and has lost `FALLEN` of its
      height at both ends of the model;
    - `monotone`: the slope beats the line by `MARGIN`, explains as much, and the bump fits no better by `MARGIN` or
      has its peak at one end (`STANDING`);
    - `flat`: neither curve does so, and layers do not differ (`p_flat` of at least `DIFFERENT`);
    - `other`: none of these. `reason` says why.

    `centre` and `width` (standard deviation) are the bump's, whatever the verdict, in relative depth and in layers;
    `baseline` and `height` in the measure. Layers share their queries, and their neighbours' states: their errors are
    not independent, AICc is a description and no test, and `p_flat` errs to the cautious side.
    """
    part = profile.sort_values("layer")
    layers = len(part)
    mean = part["mean"].to_numpy(np.float64)
    row: dict[str, Any] = dict.fromkeys(SHAPE, np.nan)
    row |= {"measure": str(part["measure"].iloc[0]), "layers": layers, "best_layer": int(mean.argmax())}
    if layers < LEAST_LAYERS:
        return row | {"verdict": "other", "reason": f"{layers} layers are too few to tell shapes apart"}
    depth = part["relative_depth"].to_numpy(np.float64)
    weight = _weights(part)
    fits = {
        "bell": fit_curve(depth, mean, weight, bump, falls=False),
        "monotone": fit_curve(depth, mean, weight, slope, falls=True),
        "flat": fit_flat(mean, weight),
    }
    least = min(fit.aicc for fit in fits.values())
    likelihood = {name: float(np.exp(-0.5 * (fit.aicc - least))) for name, fit in fits.items()}
    for name, fit in fits.items():
        row[f"aicc_{name}"] = fit.aicc
        row[f"weight_{name}"] = likelihood[name] / sum(likelihood.values())
    for name in ("bell", "monotone"):
        row[f"r2_{name}"] = fits[name].r2
    baseline, height, centre, width = fits["bell"].parameters
    _, _, centre_error, width_error = fits["bell"].errors
    row |= {
        "floor": baseline,
        "height": height,
        "centre": centre,
        "centre_error": centre_error,
        "centre_layer": centre * (layers - 1),
        "width": width,
        "width_error": width_error,
        "width_layers": width * (layers - 1),
    }
    row["p_flat"] = _p_flat(part)
    verdict, reason = _verdict(fits["bell"], fits["monotone"], fits["flat"], row["p_flat"])
    return row | {"verdict": verdict, "reason": reason}


def shapes(profile: pd.DataFrame) -> pd.DataFrame:
    """`shape_of` each measure of a profile: columns `SHAPE`, a row a measure."""
    rows = [shape_of(part) for _, part in profile.groupby("measure", sort=False)]
    return pd.DataFrame(rows, columns=list(SHAPE))


def neighbour_agreement(
    paths: Sequence[Path], strategy: str, *, seed: int = 42, resamples: int = 1000, workers: int = 1
) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of each layer and the next, mean over queries: columns `NEIGHBOURS`.

    `low` to `high` is the 95 % bootstrap interval over queries. Queries whose rankings have no tau, such as those of
    one candidate, are left out; `queries` counts the others. No judgement is read. A model of one layer gives no row.
    """
    layers = stored_layers(paths)
    arguments = dict.fromkeys(stored_qids(paths), strategy)
    found = for_each(paths, _tau, arguments, windows=layers, workers=workers, what="neighbours")
    values = np.array(list(found.values()))
    rows = []
    for layer in range(layers - 1):
        known = values[:, layer][np.isfinite(values[:, layer])]
        if not known.size:
            raise UserError(f"layers {layer} and {layer + 1}: no query has two candidates to rank")
        mean, low, high = (float(end) for end in mean_interval(known, resamples=resamples, seed=seed))
        rows.append((layer, relative_depth(layer, layers), mean, low, high, known.size))
    return pd.DataFrame(rows, columns=list(NEIGHBOURS))


def _tau(signal: Signal, strategy: str) -> Floats:
    """float64[L - 1] of one query."""
    single = [LayerWindow(layer, layer) for layer in range(signal.layers)]
    scores = window_scores(signal, single, strategy)
    if len(signal.pids) < 2:
        return np.full(signal.layers - 1, np.nan)
    return np.array([stats.kendalltau(one, next_).statistic for one, next_ in itertools.pairwise(scores)])


def _weights(part: pd.DataFrame) -> Floats:
    """Inverse squares of the standard errors, mean 1; all 1 where intervals are unknown or of no width."""
    error = (part["high"] - part["low"]).to_numpy(np.float64) / 4
    middle = np.median(error)
    if not np.isfinite(error).all() or middle <= 0:
        return np.ones(len(error))
    weight = 1 / np.maximum(error, middle / 2) ** 2
    return np.asarray(weight / weight.mean())


def _fit(parameters: Floats, errors: Floats, residual: float, mean: Floats, weight: Floats) -> Fit:
    count, free = len(mean), len(parameters) + 1  # the scale is estimated too
    total = float(weight @ (mean - mean @ weight / weight.sum()) ** 2)
    # An exact fit has no logarithm: rounding of the data bounds the residual from below.
    floor = count * (1e-9 * max(float(np.abs(mean).max()), 1e-9)) ** 2
    aicc = count * np.log(max(residual, floor) / count) + 2 * free + 2 * free * (free + 1) / (count - free - 1)
    explained = 1 - residual / total if total > floor else 0.0
    return Fit(tuple(map(float, parameters)), tuple(map(float, errors)), float(aicc), float(explained))


def _p_flat(part: pd.DataFrame) -> float:
    """Probability of residuals as large around the weighted mean, errors independent; NaN without intervals."""
    mean, error = part["mean"].to_numpy(np.float64), (part["high"] - part["low"]).to_numpy(np.float64) / 4
    if not np.isfinite(error).all() or np.median(error) <= 0:
        return float("nan")
    weight = 1 / np.maximum(error, np.median(error) / 2) ** 2
    residual = weight @ (mean - mean @ weight / weight.sum()) ** 2
    return float(stats.chi2.sf(residual, len(mean) - 1))


def _verdict(bell: Fit, monotone: Fit, flat: Fit, p_flat: float) -> tuple[str, str]:
    shaped = [fit for fit in (bell, monotone) if fit.aicc + MARGIN <= flat.aicc and fit.r2 >= EXPLAINED]
    if not shaped:
        if p_flat < DIFFERENT:
            return "other", f"layers differ, and no curve explains {EXPLAINED:.0%} of how"
        return "flat", "no curve beats a flat line" + ("" if np.isfinite(p_flat) else "; intervals are unknown")
    within = "" if not p_flat >= DIFFERENT else "; the differences lie within the intervals"
    _, _, centre, width = bell.parameters
    ends = bump(np.array([0.0, 1.0]), centre, width)
    left, right = ends <= 1 - FALLEN
    if bell in shaped and left and right:
        if bell.aicc + MARGIN <= monotone.aicc:
            return "bell", "rises to an inner peak and falls again" + within
        if bell.aicc < monotone.aicc + MARGIN:
            return "other", "a bell and a monotone curve fit about equally well" + within
    if monotone in shaped and (monotone.aicc < bell.aicc + MARGIN or ends.max() >= 1 - STANDING):
        return "monotone", ("rises" if monotone.parameters[1] > 0 else "falls") + " through the layers" + within
    side = "the last layer" if left else "the first layer" if right else "either end"
    return "other", f"a one-sided bump: at {side} it has not lost half of its height" + within
