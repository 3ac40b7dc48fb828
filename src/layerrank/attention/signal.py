"""What one query's forward pass leaves behind: the attention that its passages receive, by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

SUMS = ("query", "na", "query_last", "na_last")


@dataclass(frozen=True, eq=False)
class Signal:
    """The attention signal of one query over N passages in L layers (semantics.md §2).

    Attributes:
        qid: the query.
        pids: the N passages in input order, the first stage's best first.
        lengths: int32[N], tokens of each passage's span, input order.
        signal: float32[L, T], `(q − n)[l, t]`: attention from the query's span less that from `N/A`'s, averaged over
            the span's rows and summed over heads. T = lengths.sum(): passages in input order, tokens in text order.
        sums: float32[L, H, N] under each key of `SUMS`: attention summed over a passage's tokens, by head; of the query
            and of `N/A`, averaged over the whole span (`query`, `na`) or from its last token (`query_last`, `na_last`).
        prompt_tokens: tokens of the whole prompt with the query (the branch for `N/A` not counted).
        seconds: wall-clock seconds of the forward pass, device synchronised; shared by tokens among prompts read
            together.
        masked: float32[L, H, N], of each head by itself the sum of (q − n)[l, h, t] over the tokens that lie above
            mean − 2 · std of that passage and head (semantics.md §7); None where it was not kept.
        by_head: float32[L, H, T], (q − n)[l, h, t] before heads are summed; None unless it was asked for. No store
            holds it.
        na: float32[L, T], n[l, t] of `N/A` alone, tokens as in `signal`, so that signal + na is q[l, t]; None where it
            was not kept.
    """

    qid: str
    pids: tuple[str, ...]
    lengths: npt.NDArray[np.int32]
    signal: Floats
    sums: Mapping[str, Floats]
    prompt_tokens: int
    seconds: float
    masked: Floats | None = None
    by_head: Floats | None = None
    na: Floats | None = None

    def __post_init__(self) -> None:
        if self.lengths.shape != (len(self.pids),):
            raise ValueError(f"query {self.qid}: {len(self.pids)} passages, lengths of shape {self.lengths.shape}")
        if self.signal.ndim != 2 or self.signal.shape[1] != int(self.lengths.sum()):
            raise ValueError(
                f"query {self.qid}: signal of shape {self.signal.shape} for {int(self.lengths.sum())} passage tokens"
            )
        if sorted(self.sums) != sorted(SUMS):
            raise ValueError(f"query {self.qid}: sums {sorted(self.sums)}, expected {sorted(SUMS)}")
        for name, values in self.sums.items():
            if values.ndim != 3 or (values.shape[0], values.shape[2]) != (self.layers, len(self.pids)):
                raise ValueError(f"query {self.qid}: sums[{name!r}] of shape {values.shape}")
        if self.masked is not None and self.masked.shape != self.sums["query"].shape:
            raise ValueError(f"query {self.qid}: masked of shape {self.masked.shape}")
        if self.na is not None and self.na.shape != self.signal.shape:
            raise ValueError(f"query {self.qid}: na of shape {self.na.shape}, signal of {self.signal.shape}")

    @property
    def layers(self) -> int:
        """Number of layers read, L: layers 0 to L - 1."""
        return int(self.signal.shape[0])

    @property
    def heads(self) -> int:
        """Number of query heads, H."""
        return int(self.sums["query"].shape[1])
