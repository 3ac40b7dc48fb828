"""`label-free`: chosen by the signal alone, without a judgement, by a criterion of every window."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from layerrank.attention.scores import all_windows
from layerrank.core.windows import LayerWindow
from layerrank.layers.rules.kind import BOUNDS, Kind, Seen, first_of_best, within
from layerrank.layers.rules.settings import Settings

Scores = NDArray[np.float64]


def pick(seen: Seen, settings: Settings) -> LayerWindow:
    """The window that the criterion is highest for."""
    assert seen.criterion is not None
    return seen.windows[first_of_best(seen.criterion, seen.windows, within(settings, seen.windows))]


def _agreement(scores: Scores, layers: int) -> Scores:
    """Spearman's correlation of each window's ranking with the mean rank over the layers outside it, float64[W].

    Rankers that err independently agree with the others' consensus the more, the better they are: the argument of the
    jury theorem, by which retrieval systems have been ordered without judgements (Soboroff and others, 2001; Nuray and
    Can, 2006). Its weakness is theirs: errors that layers share, such as a place in the prompt that they all favour,
    count as agreement; calibration by `N/A` takes part of them away. Layers inside the window would agree with
    themselves, so they have no vote. The window of all layers leaves nobody to agree with and gets -1.
    """
    windows = all_windows(layers)
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1).astype(np.float64)
    single = ranks[[place for place, window in enumerate(windows) if window.width == 1]]
    sums = np.concatenate([np.zeros((1, ranks.shape[1])), single.cumsum(axis=0)])  # [L + 1, N]
    first, past = np.array([(window.start, window.end + 1) for window in windows]).T
    outside = sums[-1] - (sums[past] - sums[first])  # [W, N]: ranks summed, whose scale no correlation sees
    ranks -= ranks.mean(axis=1, keepdims=True)
    outside -= outside.mean(axis=1, keepdims=True)
    spread = np.linalg.norm(ranks, axis=1) * np.linalg.norm(outside, axis=1)
    agreement = np.divide((ranks * outside).sum(axis=1), spread, out=np.zeros(len(scores)), where=spread > 0)
    agreement[past - first == layers] = -1.0
    return agreement


def _dispersion(scores: Scores, layers: int) -> Scores:
    """Standard deviation of the passages' scores over their mean magnitude, float64[W].

    The normalised query commitment of performance prediction (Shtok and others, 2012): a ranking that knows what it
    prefers spreads its scores. Calibration has taken away what `N/A` prefers already.
    """
    size = np.abs(scores).mean(axis=1)
    return np.divide(scores.std(axis=1), size, out=np.zeros(len(scores)), where=size > 0)


CRITERIA: Mapping[str, Callable[[Scores, int], Scores]] = {
    "agreement": _agreement,
    "dispersion": _dispersion,
}
"""Name → (scores float64[W, N] of one query, layers) → float64[W], higher is better."""

KIND = Kind(
    "label-free",
    "signals",
    pick,
    {
        "criterion": {
            "description": "What the signal is judged by: `agreement` with the layers outside the window, or "
            "`dispersion` of its scores.",
            "enum": list(CRITERIA),
            "default": "agreement",
        },
        **BOUNDS,
    },
)
