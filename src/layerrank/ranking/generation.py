"""Generation: the model writes an answer, greedily, and it is parsed (semantics.md §4)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from layerrank.attention.probe import rope_depends_on_length
from layerrank.models.decoder import Decoder
from layerrank.models.device import release
from layerrank.prompts.chat import Chat, FrameworkPrompt
from layerrank.prompts.trial import check_chat
from layerrank.ranking.mechanism import Answer, Request, Returns, Work, order_scores, winner_scores
from layerrank.ranking.parsing import parse_choice, parse_ranking

SHORTEST = 3
"""New tokens that an answer of one label may take at least, as published."""

REASONING = 1024
"""New tokens for a prompt that has the model reason first, unless `max_new_tokens` says otherwise."""


class Generation:
    """Writes and reads an answer for every group of one framework.

    A label that stands for no passage, or none at all, is no decision: the group's passages score the same, and the
    outcome is counted. A pointwise answer scores 1 for the first option (Yes), 0 for the second, ½ for no decision.

    Args:
        decoder: With its head.
        prompt: A framework prompt with a pattern.
        max_new_tokens: None: as many as the longest answer asked for takes, at least 3 (1024 with reasoning).
        template_arguments: Further names for the chat template.
    """

    padded = True

    def __init__(
        self,
        decoder: Decoder,
        prompt: FrameworkPrompt,
        *,
        max_new_tokens: int | None = None,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        if decoder.causal is None:
            raise ValueError("generation needs a decoder that was loaded with its head")
        self.decoder = decoder
        self.prompt = prompt
        self.chat = Chat(decoder.tokenizer, {"enable_thinking": prompt.think, **(template_arguments or {})})
        check_chat(self.chat, prompt, decoder.name)
        self.returns: Returns = "order" if prompt.ranking else "scores" if prompt.framework == "pointwise" else "winner"
        self.context = decoder.context or sys.maxsize
        self._max_new_tokens = max_new_tokens
        self._longest: dict[int, int] = {}
        self._stop = _stop_tokens(decoder)
        self._alone = any(rope_depends_on_length(module) for module in decoder.model.modules())

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return self.chat.lengths(texts)

    def new_tokens(self, n: int) -> int:
        """New tokens that an answer about n passages may take, the end of it included."""
        if self._max_new_tokens is not None:
            return self._max_new_tokens
        if self.prompt.think:
            return REASONING
        if n not in self._longest:
            parts = self.lengths(self.prompt.answer_parts(n))
            self._longest[n] = max(SHORTEST, sum(parts) + 1 if self.prompt.ranking else max(parts))
        return self._longest[n]

    def prepare(self, request: Request) -> Work:
        """Render and tokenise a request, once."""
        shown = self.chat.show(self.prompt.conversation(request.query, request.passages), self.prompt.answer)
        ids = self.chat.ids(shown)
        new = self.new_tokens(len(request.passages))
        return Work(request, len(ids) + new, len(ids) + new, ids, batch=object() if self._alone else new)

    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Write an answer to each prompt of one batch, padded on the left, and read it."""
        written = self.write([work.prompt for work in works], self.new_tokens(len(works[0].request.passages)))
        texts = self.decoder.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [self._read(work, text, len(tokens)) for work, text, tokens in zip(works, texts, written, strict=True)]

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """Greedy continuations of token ids, each up to and with the token that ends it."""
        longest = max(map(len, prompts))
        pad = self._stop[0] if self._stop else 0
        ids = torch.full((len(prompts), longest), pad, dtype=torch.long)  # [batch, tokens], padded on the left
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        causal = self.decoder.causal
        causal.generation_config = transformers.GenerationConfig(  # a folder's own penalties are no greedy decoding
            do_sample=False, max_new_tokens=new_tokens, eos_token_id=self._stop or None, pad_token_id=pad
        )
        with torch.inference_mode():
            output = causal.generate(input_ids=ids.to(self.decoder.device), attention_mask=mask.to(self.decoder.device))
        return [_until(row, self._stop) for row in output[:, longest:].tolist()]

    def release(self) -> None:
        """Hand back cached memory of the device."""
        release()

    def _read(self, work: Work, text: str, generated: int) -> Answer:
        size = len(work.request.passages)
        pattern = self.prompt.pattern or ""
        if self.prompt.ranking:
            parsed = parse_ranking(text, self.prompt.label_names(size), pattern)
            scores = order_scores(parsed.places)
        elif isinstance(self.prompt.options, tuple):
            parsed = parse_choice(text, self.prompt.options, pattern)
            scores = (1.0 - parsed.places[0] if parsed.places else 0.5,)
        else:
            parsed = parse_choice(text, self.prompt.label_names(size), pattern)
            scores = winner_scores(size, parsed.places[0] if parsed.places else None)
        tokens = len(work.prompt) + max(generated - 1, 0)  # the last token written is not read again
        layer_tokens = tokens * self.decoder.loaded_layers
        return Answer(scores, len(work.prompt), generated, generated, parsed.outcomes, layer_tokens)


def _stop_tokens(decoder: Decoder) -> list[int]:
    """Ids that end an answer: the model's own and the tokenizer's."""
    own = decoder.causal.generation_config.eos_token_id
    ids = list(own) if isinstance(own, (list, tuple)) else [own]
    return sorted({int(token) for token in [*ids, decoder.tokenizer.eos_token_id] if token is not None})


def _until(tokens: list[int], stop: Sequence[int]) -> list[int]:
    """Tokens up to and with the first of `stop`."""
    for place, token in enumerate(tokens):
        if token in stop:
            return tokens[: place + 1]
    return tokens
