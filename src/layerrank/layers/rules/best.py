"""`best`: the best window of the sweep, or one that ends earlier and is as good within the noise."""

from __future__ import annotations

import numpy as np

from layerrank.core.windows import LayerWindow
from layerrank.layers.rules.kind import BOUNDS, TIE, Kind, Seen, first_of_best, within
from layerrank.layers.rules.settings import Settings


def pick(seen: Seen, settings: Settings) -> LayerWindow:
    """The window of the highest mean; with `standard_errors` the earliest end within so many of it.

    The best mean of many is in part luck: an earlier end is taken where the paired difference over queries does not
    speak against it (the one-standard-error rule of Breiman and others, 1984, with depth as the cost).
    """
    means, allowed = seen.means(), within(settings, seen.windows)
    best = first_of_best(means, seen.windows, allowed)
    if settings["standard_errors"]:
        variance = sum(
            (values - values[:, [best]]).var(axis=0, ddof=1, dtype=np.float64) / len(values)
            for values in seen.values
            if len(values) > 1
        )
        slack = settings["standard_errors"] * np.sqrt(variance) / len(seen.values)
        near = allowed & (means >= means[best] - slack - TIE)
        first_end = min(window.end for window, good in zip(seen.windows, near, strict=True) if good)
        near &= np.array([window.end == first_end for window in seen.windows])
        best = first_of_best(means, seen.windows, near)
    return seen.windows[best]


KIND = Kind(
    "best",
    "judgements",
    pick,
    {
        "standard_errors": {
            "description": "How far below the best mean a window that ends earlier may lie, in standard errors of the "
            "paired difference over queries.",
            "type": "number",
            "minimum": 0,
            "default": 0.0,
        },
        **BOUNDS,
    },
)
