"""Signal → passage scores, under any layer window, by any strategy of semantics.md §2. numpy alone; no model.

The rule of `masked_NA_calibration` is applied to the sum over the window's layers, so passage scores of single layers
do not add up; what adds up is the signal per token. Prefix sums over layers therefore give every window exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layerrank.attention.signal import Signal
from layerrank.core.errors import UserError
from layerrank.core.heads import head_names, parse_heads
from layerrank.core.windows import LayerWindow

Scores = npt.NDArray[np.float64]
Heads = Sequence[tuple[int, int]]
Bounds = npt.NDArray[np.int64]

MASKED = "masked_NA_calibration"


def all_windows(layers: int) -> list[LayerWindow]:
    """Return the `layers · (layers + 1) / 2` windows [s, e], s ascending, then e ascending."""
    return [LayerWindow(start, end) for start in range(layers) for end in range(start, layers)]


def check_strategy(
    strategy: Any, heads: Any, *, layers: int | None = None, each: int | None = None, stored: bool = False
) -> Heads | None:
    """The heads that settings name, as pairs; None where they name none, and all heads count.

    Args:
        strategy, heads: As settings give them.
        layers: Of the model, where it is at hand.
        each: Heads of each of its layers.
        stored: Whether a stored signal is to answer, which is summed over heads token by token.

    Raises:
        UserError: An unknown strategy, heads with the masked one from a stored signal, or whatever `parse_heads`
            refuses.
    """
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise UserError(f"attention: strategy: {strategy!r}: expected one of {', '.join(STRATEGIES)}")
    if heads is None:
        return None
    if strategy == MASKED and stored:
        raise UserError(
            f"attention: heads: strategy {MASKED} cannot choose heads from a stored signal, which is summed over them; "
            "a linear strategy can, such as NA_calibration"
        )
    return parse_heads(heads, layers, each)


def heads_within(heads: Heads | None, window: LayerWindow) -> Heads | None:
    """Those of the heads that lie in a window; `UserError` where none does: all scores would be 0."""
    if heads is None:
        return None
    within = [(layer, head) for layer, head in heads if window.start <= layer <= window.end]
    if not within:
        raise UserError(f"attention: heads: none of {', '.join(head_names(heads))} lies in window {window}")
    return within


def last_layer(window: LayerWindow, heads: Heads | None) -> int:
    """The last layer that counts: the window's end, or the layer of the deepest head within it."""
    within = heads_within(heads, window)
    return window.end if within is None else max(layer for layer, _ in within)


def passage_scores(signal: Signal, window: LayerWindow, strategy: str = MASKED, heads: Heads | None = None) -> Scores:
    """Return float64[N], the score of each passage in input order, higher is better.

    `heads` restricts a linear strategy to those (layer, head) pairs; pairs outside the window count nothing.

    Raises:
        UserError: an unknown strategy, a window beyond the layers read, heads with the masked strategy or out of range,
            or none of them in the window.
    """
    if window.end >= signal.layers:
        raise UserError(f"window {window}: query {signal.qid}'s signal has layers 0 to {signal.layers - 1}")
    return _scores(signal, np.array([[window.start, window.end]]), strategy, heads_within(heads, window))[0]


def sweep_scores(signal: Signal, strategy: str = MASKED, heads: Heads | None = None) -> Scores:
    """Return float64[W, N]: `passage_scores` for every window, in the order of `all_windows(signal.layers)`."""
    bounds = np.array([(window.start, window.end) for window in all_windows(signal.layers)], dtype=np.int64)
    return _scores(signal, bounds.reshape(-1, 2), strategy, heads)


def window_scores(
    signal: Signal, windows: Sequence[LayerWindow], strategy: str = MASKED, heads: Heads | None = None
) -> Scores:
    """Return float64[W, N]: `passage_scores` for each of `windows`.

    Raises:
        UserError: as `passage_scores`.
    """
    for window in windows:
        if window.end >= signal.layers:
            raise UserError(f"window {window}: query {signal.qid}'s signal has layers 0 to {signal.layers - 1}")
    bounds = np.array([(window.start, window.end) for window in windows], dtype=np.int64)
    return _scores(signal, bounds.reshape(-1, 2), strategy, heads)


def rank(ranked: Signal | Sequence[str], scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return int[N]: input positions by falling score; ties keep the first stage's order (semantics.md §2)."""
    values = np.asarray(scores, dtype=np.float64)
    pids = ranked.pids if isinstance(ranked, Signal) else ranked
    if values.shape != (len(pids),):
        raise ValueError(f"{len(pids)} passages, scores of shape {values.shape}")
    return np.argsort(-values, kind="stable").astype(np.int64)


def standardised(scores: Scores) -> Scores:
    """Scores less their mean over their standard deviation (n) along the last axis, passages; NaN where all agree."""
    from_mean = scores - scores.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.mean(from_mean**2, axis=-1, keepdims=True))
    # Equal scores leave rounding behind, which must not be blown up to a variance of 1.
    equal = deviation <= 1e-12 * np.abs(scores).max(axis=-1, keepdims=True, initial=0.0)
    return np.divide(from_mean, deviation, out=np.full(scores.shape, np.nan), where=~equal)


def order_averaged(scores: Scores) -> Scores:
    """Mean over K orders of standardised scores: float64[K, …, N] → float64[…, N], passages in one order.

    An order in which all passages score alike tells none from another and adds nothing.
    """
    return np.asarray(np.nan_to_num(standardised(scores)).mean(axis=0))


def _scores(signal: Signal, windows: Bounds, strategy: str, heads: Heads | None) -> Scores:
    try:
        score = STRATEGIES[strategy]
    except KeyError:
        raise UserError(f"strategy {strategy!r}: one of {', '.join(STRATEGIES)}") from None
    return score(signal, windows, heads)


def _masked(signal: Signal, windows: Bounds, heads: Heads | None) -> Scores:
    """float64[W, N]: keep c[t] > mean(c) − 2·std(c) over the passage's own tokens, then sum what is kept."""
    if heads is not None:
        raise UserError(f"strategy {MASKED!r}: heads cannot be chosen, the signal per token is summed over heads")
    sums = _prefix_sums(signal.signal)
    first, past = windows[:, 0], windows[:, 1] + 1
    scores = np.zeros((len(windows), len(signal.pids)))
    ends = np.cumsum(signal.lengths)
    for passage, (length, end) in enumerate(zip(signal.lengths, ends, strict=True)):
        tokens = slice(end - length, end)
        c = sums[past, tokens] - sums[first, tokens]  # [W, tokens]
        if length > 1:  # a single token has no sample deviation: it is kept
            mean = c.sum(axis=1, keepdims=True) / length
            from_mean = c - mean
            deviation = np.sqrt(np.einsum("wt,wt->w", from_mean, from_mean) / (length - 1))
            c *= c > mean - 2 * deviation[:, None]
        scores[:, passage] = c.sum(axis=1)
    return scores


def _linear(
    values: Callable[[Mapping[str, npt.NDArray[np.float32]]], npt.NDArray[np.float64]],
) -> Callable[[Signal, Bounds, Heads | None], Scores]:
    """A strategy whose layers add up: `values` makes float64[L, H, N] out of the passage sums."""

    def score(signal: Signal, windows: Bounds, heads: Heads | None) -> Scores:
        by_head = values(signal.sums)
        if heads is None:
            by_layer = by_head.sum(axis=1)
        else:
            chosen = np.zeros(by_head.shape[:2], dtype=np.float64)
            for layer, head in heads:
                if not (0 <= layer < signal.layers and 0 <= head < signal.heads):
                    raise UserError(
                        f"head {layer}-{head}: the signal has layers 0 to {signal.layers - 1}, "
                        f"heads 0 to {signal.heads - 1}"
                    )
                chosen[layer, head] = 1.0
            by_layer = np.einsum("lhn,lh->ln", by_head, chosen)
        sums = _prefix_sums(by_layer)
        return np.asarray(sums[windows[:, 1] + 1] - sums[windows[:, 0]], dtype=np.float64)

    return score


def _prefix_sums(values: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64[L + 1, …]: row l is the sum of the first l layers."""
    sums = np.zeros((values.shape[0] + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, dtype=np.float64, out=sums[1:])
    return sums


STRATEGIES: Mapping[str, Callable[[Signal, Bounds, Heads | None], Scores]] = {
    MASKED: _masked,
    "query_last": _linear(lambda sums: sums["query"].astype(np.float64)),
    "NA_only": _linear(lambda sums: sums["na"].astype(np.float64)),
    "attention_sorting": _linear(lambda sums: sums["query_last"].astype(np.float64)),
    "NA_calibration": _linear(lambda sums: sums["query"].astype(np.float64) - sums["na"].astype(np.float64)),
    "NA_calibration_no_agg": _linear(
        lambda sums: sums["query_last"].astype(np.float64) - sums["na_last"].astype(np.float64)
    ),
}
"""Strategy name → scores of W windows: (signal, int[W, 2] of [start, end], heads) → float64[W, N]."""
