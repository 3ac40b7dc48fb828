"""Random signals, for tests that need no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerrank.attention.signal import SUMS, Signal


def random_signal(
    qid: str = "q1", lengths: Sequence[int] = (5, 1, 9), layers: int = 4, heads: int = 3, seed: int = 0
) -> Signal:
    """A signal of normal deviates; passage i is called `{qid}-d{i}`."""
    random = np.random.default_rng(seed)
    passages = len(lengths)
    return Signal(
        qid=qid,
        pids=tuple(f"{qid}-d{index}" for index in range(passages)),
        lengths=np.array(lengths, dtype=np.int32),
        signal=random.normal(size=(layers, int(np.sum(lengths)))).astype(np.float32),
        sums={name: random.random((layers, heads, passages)).astype(np.float32) for name in SUMS},
        prompt_tokens=int(np.sum(lengths)) + 20,
        seconds=0.25,
        masked=random.normal(size=(layers, heads, passages)).astype(np.float32),
    )


def in_order(signal: Signal, order: Sequence[int]) -> Signal:
    """The same numbers with the passages at positions `order` as the input."""
    tokens = np.split(np.arange(signal.signal.shape[1]), np.cumsum(signal.lengths)[:-1])
    chosen = np.concatenate([tokens[place] for place in order])
    return Signal(
        qid=signal.qid,
        pids=tuple(signal.pids[place] for place in order),
        lengths=signal.lengths[list(order)],
        signal=signal.signal[:, chosen],
        sums={name: values[:, :, list(order)] for name, values in signal.sums.items()},
        prompt_tokens=signal.prompt_tokens,
        seconds=signal.seconds,
        masked=None if signal.masked is None else signal.masked[:, :, list(order)],
    )
