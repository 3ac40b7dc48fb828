"""Curves that describe a layer profile over relative depth: bumps, slope and flat line, compared by AICc.

A description, and no ground for a verdict (`shape.py`): layers share their queries and their neighbours' states, so
their errors are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Floats = NDArray[np.float64]
Basis = Callable[[Floats, Any, Any], Floats]

STARTS = 5
"""Best points of the grid from which least squares starts, so that no local minimum is taken for the best."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted curve over relative depth.

    `parameters` are in the order that the function which fitted it states, `errors` their standard errors, `aicc` the
    corrected Akaike criterion (with the scale estimated; NaN where there are too few layers for the curve), `r2` the
    share of the weighted variance explained.
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


def sides(depth: Floats, centre: Any, left: Any, right: Any) -> Floats:
    """A bump with a width of its own on either side, in two parts: float64[…, 2, L], before and from the centre on.

    Each part is 1 − bump on its side and 0 on the other: peak − (peak − floor) · part has its own floor on either side.
    """
    before = depth < centre
    parts = [1 - bump(depth, centre, width) for width in (left, right)]
    return np.stack([np.where(before, parts[0], 0.0), np.where(before, 0.0, parts[1])], axis=-2)


def fit_curve(depth: Floats, mean: Floats, weight: Floats, basis: Basis, *, falls: bool) -> Fit:
    """Weighted least squares of floor + height · basis(depth, centre, width), whose parameters those four are.

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
    floor = mean @ share - height * (curves @ share)

    def curve(parameters: Floats) -> Floats:
        return np.asarray(parameters[0] + parameters[1] * basis(depth, *parameters[2:]))

    low = [-np.inf, -np.inf if falls else 0.0, centres[0], widths[0]]
    high = [np.inf, np.inf, centres[-1], widths[-1]]
    starts = np.stack([floor, height, centre, width], axis=1)[np.argsort(residual, kind="stable")[:STARTS]]
    return _refined(curve, starts, (low, high), mean, weight)


def fit_asymmetric(depth: Floats, mean: Floats, weight: Floats) -> Fit:
    """Weighted least squares of an asymmetric bump: left floor, right floor, peak, centre, left width, right width.

    The peak is no lower than either floor, and the centre lies within the model.
    """
    spacing = 1 / (len(depth) - 1)
    widths = np.geomspace(spacing, 1, 10)
    centre, left, right = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 1, 31), widths, widths))
    parts = sides(depth, centre[:, None], left[:, None], right[:, None])  # [G, 2, L]
    basis = np.concatenate([np.ones_like(parts[:, :1]), -parts], axis=1)  # peak, falls to the left and to the right
    share = weight / weight.sum()
    # A ridge far below any width that matters keeps parts of no layers (a centre at one end) from being singular.
    normal = np.einsum("gal,l,gbl->gab", basis, share, basis) + 1e-9 * np.eye(3)
    found = np.linalg.solve(normal, np.einsum("gal,l->ga", basis, share * mean)[..., None])[..., 0]
    found[:, 1:] = np.maximum(found[:, 1:], 0)
    level = np.einsum("ga,gal->gl", found, basis)
    found[:, 0] += (mean - level) @ share
    residual = ((mean - np.einsum("ga,gal->gl", found, basis)) ** 2) @ share

    def curve(parameters: Floats) -> Floats:
        peak, *falls = parameters[:3]
        return np.asarray(peak - falls @ sides(depth, *parameters[3:]))

    low = [-np.inf, 0.0, 0.0, 0.0, widths[0], widths[0]]
    high = [np.inf, np.inf, np.inf, 1.0, 1.0, 1.0]
    starts = np.column_stack([found, centre, left, right])[np.argsort(residual, kind="stable")[:STARTS]]
    fit = _refined(curve, starts, (low, high), mean, weight)
    peak, fall_left, fall_right, *others = fit.parameters
    peak_error, *errors = fit.errors
    # A floor's error takes the peak's with it: both are estimated, and the sum of squares bounds it.
    floors = [float(np.hypot(peak_error, error)) for error in errors[:2]]
    return Fit(
        (peak - fall_left, peak - fall_right, peak, *others), (*floors, peak_error, *errors[2:]), fit.aicc, fit.r2
    )


def fit_flat(mean: Floats, weight: Floats) -> Fit:
    """The weighted mean."""
    level = float(mean @ weight / weight.sum())
    residual = float(weight @ (mean - level) ** 2)
    error = np.sqrt(residual / (len(mean) - 1) / weight.sum())
    return _fit(np.array([level]), np.array([error]), residual, mean, weight)


def weights(error: Floats) -> Floats:
    """Inverse squares of the standard errors float64[L], mean 1; all 1 where they are unknown or half of them 0."""
    middle = np.median(error)
    if not np.isfinite(error).all() or middle <= 0:
        return np.ones(len(error))
    weight = 1 / np.maximum(error, middle / 2) ** 2
    return np.asarray(weight / weight.mean())


def _refined(
    curve: Callable[[Floats], Floats],
    starts: Floats,
    bounds: tuple[list[float], list[float]],
    mean: Floats,
    weight: Floats,
) -> Fit:
    """The best of least squares from each start."""

    def residuals(parameters: Floats) -> Floats:
        return np.asarray((mean - curve(parameters)) * np.sqrt(weight))

    scale = [0.1] * starts.shape[1]
    solutions = [
        optimize.least_squares(residuals, np.clip(start, *bounds), bounds=bounds, x_scale=scale) for start in starts
    ]
    best = min(solutions, key=lambda solution: solution.cost)
    variance = 2 * best.cost / max(len(mean) - starts.shape[1], 1)
    errors = np.sqrt(np.maximum(np.diag(np.linalg.pinv(best.jac.T @ best.jac)), 0) * variance)
    return _fit(best.x, errors, 2 * best.cost, mean, weight)


def _fit(parameters: Floats, errors: Floats, residual: float, mean: Floats, weight: Floats) -> Fit:
    count, free = len(mean), len(parameters) + 1  # the scale is estimated too
    total = float(weight @ (mean - mean @ weight / weight.sum()) ** 2)
    # An exact fit has no logarithm: rounding of the data bounds the residual from below.
    floor = count * (1e-9 * max(float(np.abs(mean).max()), 1e-9)) ** 2
    aicc = np.nan
    if count > free + 1:
        aicc = count * np.log(max(residual, floor) / count) + 2 * free + 2 * free * (free + 1) / (count - free - 1)
    explained = 1 - residual / total if total > floor else 0.0
    return Fit(tuple(map(float, parameters)), tuple(map(float, errors)), float(aicc), float(explained))
