"""Attention: in-context re-ranking of one group (semantics.md §1, §2); its passage scores order the group.

The group is the whole prompt: its passages stand reversed, the first of the group next to the query. One forward pass
reads the attention of the query and of `N/A` up to the end of the query's layer window, and stops there.

What the four frameworks make of it:

- listwise: ICR as published. One window over the whole list is the very prompt of the stored signal, with its scores.
- setwise: the winner is the passage with the highest score in a prompt of c + 1.
- pairwise: a prompt of two, in both orders. Attention favours places (what stands next to the query gets more of it),
  which `N/A` calibration removes only in part; a passage that has the higher score from either place owes it to its
  text. The framework takes nothing less for a win.
- pointwise: a prompt of one. Raw attention cannot be compared between prompts: it grows with a passage's length and
  falls with what the prompt's other tokens draw to themselves. The content-free query meets the same passage at the
  same position, so query − `N/A` is what the query adds to that baseline, a number on one scale in every prompt
  (attention mass, averaged over the query's rows, summed over heads and layers). The calibrated strategies are the ones
  to use; the others are allowed, and compare lengths as much as relevance.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from layerrank.attention.probe import Probe
from layerrank.attention.scores import MASKED, Heads, check_strategy, heads_within, last_layer, passage_scores
from layerrank.attention.signal import Signal
from layerrank.core.heads import Head
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import Decoder
from layerrank.models.device import release
from layerrank.prompts.icr import PromptSettings, build_icr
from layerrank.prompts.trial import check_icr
from layerrank.ranking.mechanism import Answer, Request, Returns, Work


class Attention:
    """Scores a group's passages by the attention that the query pays them in a window of layers.

    Args:
        decoder: With at least the layers up to the last window's end.
        windows: The window of each query; `default` for a query that is not named.
        family: Prompt family, which also names the span whose attention is read.
        instruction: IE or QA.
        strategy: One of semantics.md §2.
        heads: Only these (layer, head) pairs, of all queries or of each. The masked strategy masks what they pay
            together (semantics.md §7).
        query_span: Overrides the family's.
        share: Compute once what groups of a pass begin with.
    """

    padded = False
    returns: Returns = "scores"

    def __init__(
        self,
        decoder: Decoder,
        windows: Mapping[str, LayerWindow] | LayerWindow,
        *,
        family: str,
        instruction: str = "IE",
        strategy: str = MASKED,
        heads: Sequence[Sequence[int]] | Mapping[str, Sequence[Head]] | None = None,
        query_span: str | None = None,
        share: bool = True,
    ) -> None:
        checked = partial(check_strategy, strategy, layers=decoder.layers, each=decoder.heads)
        self.heads: Heads | Mapping[str, Heads] | None
        if isinstance(heads, Mapping):
            self.heads = {qid: checked(own) or () for qid, own in heads.items()}
        else:
            self.heads = checked(heads)
            for window in [windows] if isinstance(windows, LayerWindow) else set(windows.values()):
                heads_within(self.heads, window)
        self.decoder = decoder
        self.probe = Probe(decoder, share=share)
        self.windows = windows
        self.strategy = strategy
        self.context = decoder.context or sys.maxsize
        self._prompt: dict[str, Any] = {"family": family, "instruction": instruction, "query_span": query_span}
        check_icr(decoder.tokenizer, PromptSettings(family, instruction, query_span), decoder.name)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return [len(ids) for ids in self.decoder.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def window(self, qid: str) -> LayerWindow:
        """The window of a query."""
        return self.windows if isinstance(self.windows, LayerWindow) else self.windows[qid]

    def _heads(self, qid: str) -> Heads | None:
        """The heads of a query; None for all."""
        return self.heads[qid] if isinstance(self.heads, Mapping) else self.heads

    def _last(self, qid: str) -> int:
        """The last layer that counts for a query: its window's, or that of the deepest chosen head within it."""
        return last_layer(self.window(qid), self._heads(qid))

    def _read(self, qid: str) -> LayerWindow:
        """The window, as far as it is read."""
        return LayerWindow(self.window(qid).start, self._last(qid))

    def prepare(self, request: Request) -> Work:
        """Build the group's prompt; groups share a pass that are read to one layer, and masked over the same heads."""
        prompt = build_icr(
            self.decoder.tokenizer,
            query=request.query,
            passages=request.passages,
            **self._prompt,
        )
        batch = self._batch(request.query.qid)
        beginning = prompt.tree.prefix if self.probe.shares else ()
        return Work(request, prompt.tree.tokens, prompt.prompt_tokens, prompt, batch, beginning)

    def _batch(self, qid: str) -> tuple[int, Heads | None]:
        """The last layer to read, and the heads to mask over where they are chosen."""
        heads = self._heads(qid) if self.strategy == MASKED else None
        return self._last(qid), None if heads is None else tuple(heads)

    def depth(self, qid: str) -> int:
        """The last layer that is read for a query."""
        return self._last(qid)

    def answered_by(self, work: Work) -> bool:
        """Whether a work is read as deep as this needs, and masked over the same heads."""
        last, heads = _batch_of(work)
        own_last, own_heads = self._batch(work.request.query.qid)
        return own_last <= last and own_heads == heads

    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Run one pass over the batch, up to the last layer that counts, and score its groups."""
        return [own for (own,) in self.score_for(works, [[self]] * len(works))]

    def score_for(self, works: Sequence[Work], whom: Sequence[Sequence[Attention]]) -> list[list[Answer]]:
        """The same, and score each group for several windows over the same decoder and prompts, its own first."""
        last, heads = _batch_of(works[0])
        signals = self.probe.read([work.prompt for work in works], last_layer=last, heads=heads)
        computed = self.probe.computed([work.prompt.tree for work in works])
        return [
            [each._answer(work, signal, tokens, last) for each in every]
            for work, signal, tokens, every in zip(works, signals, computed, whom, strict=True)
        ]

    def _answer(self, work: Work, signal: Signal, computed: int, last: int) -> Answer:
        """What a signal, read as deep as this needs or deeper, says of its group.

        Written counts are as if it were read for this alone; `computed` tokens were read, up to the layer `last`.
        """
        qid = work.request.query.qid
        heads = None if self.strategy == MASKED else self._heads(qid)
        scores = passage_scores(signal, self._read(qid), self.strategy, heads)
        tokens = work.prompt.tree.tokens
        return Answer(
            tuple(map(float, scores)),
            tokens,
            layer_tokens=tokens * (self._last(qid) + 1),
            computed_tokens=computed,
            computed_layer_tokens=computed * (last + 1),
        )

    def release(self) -> None:
        """Hand back cached memory of the device."""
        release()


def _batch_of(work: Work) -> tuple[int, Heads | None]:
    return cast(tuple[int, Heads | None], work.batch)
