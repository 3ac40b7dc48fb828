"""Generation: the model writes an answer, greedily, and it is parsed (semantics.md §4).

A decoder at hand writes token by token in padded batches; one that is served is asked for many answers at once. Both
read the same token ids; by `chat` a server gets the turns, and makes a prompt of them by its own template.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

from layerrank.attention.probe import rope_depends_on_length
from layerrank.core.errors import UserError
from layerrank.models.decoder import Decoder
from layerrank.models.device import release
from layerrank.models.served import Served, Written
from layerrank.prompts.chat import Chat, FrameworkPrompt
from layerrank.prompts.trial import check_chat
from layerrank.ranking.mechanism import Answer, Request, Returns, Work, order_scores, winner_scores
from layerrank.ranking.parsing import parse_choice, parse_ranking

SHORTEST = 3
"""New tokens that an answer of one label may take at least, as published."""

REASONING = 1024
"""New tokens for a prompt that has the model reason first, unless `max_new_tokens` says otherwise."""

PREAMBLE = 16
"""Further new tokens by `chat`, where no beginning of the answer can be put into the model's mouth."""

TAKE_ARGUMENTS = ("llama.cpp", "vllm", "sglang")
"""Engines that hand names to a chat template (`chat_template_kwargs`)."""


class Generation:
    """Writes and reads an answer for every group of one framework.

    A label that stands for no passage, or none at all, is no decision: the group's passages score the same, and the
    outcome is counted. A pointwise answer scores 1 for the first option (Yes), 0 for the second, ½ for no decision.

    Args:
        decoder: With its head, or served.
        prompt: A framework prompt with a pattern.
        max_new_tokens: None: as many as the longest answer asked for takes, at least 3 (1024 with reasoning).
        template_arguments: Further names for the chat template.
    """

    def __init__(
        self,
        decoder: Decoder | Served,
        prompt: FrameworkPrompt,
        *,
        max_new_tokens: int | None = None,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.decoder = decoder
        self.prompt = prompt
        self.padded = not isinstance(decoder, Served)
        arguments = {"enable_thinking": prompt.think, **(template_arguments or {})}
        self.chat = Chat(decoder.tokenizer, arguments)
        self.returns: Returns = "order" if prompt.ranking else "scores" if prompt.framework == "pointwise" else "winner"
        self.context = decoder.context or sys.maxsize
        self._max_new_tokens = max_new_tokens
        self._longest: dict[int, int] = {}
        self._turns = isinstance(decoder, Served) and decoder.interface == "chat"
        if isinstance(decoder, Served):
            self._arguments = _of_template(decoder, arguments, template_arguments) if self._turns else {}
        elif decoder.causal is None:
            raise ValueError("generation needs a decoder that was loaded with its head")
        else:
            self._stop = _stop_tokens(decoder)
            self._alone = any(rope_depends_on_length(module) for module in decoder.model.modules())
        if not self._turns:
            check_chat(self.chat, prompt, decoder.name)

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
            self._longest[n] += PREAMBLE * self._turns
        return self._longest[n]

    def prepare(self, request: Request) -> Work:
        """Render and tokenise a request, once."""
        turns = self.prompt.conversation(request.query, request.passages)
        ids = self.chat.ids(self.chat.show(turns, self.prompt.answer))
        new = self.new_tokens(len(request.passages))
        length = len(ids) + new
        if isinstance(self.decoder, Served):
            return Work(request, length, length, turns if self._turns else ids, batch=new)
        return Work(request, length, length, ids, batch=object() if self._alone else new)

    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Write an answer to each prompt of one batch, and read it."""
        prompts, new = [work.prompt for work in works], self.new_tokens(len(works[0].request.passages))
        if isinstance(self.decoder, Served):
            answers = self.decoder.write(prompts, new, self._arguments)
        else:
            tokens = self.write(prompts, new)
            texts = self.decoder.tokenizer.batch_decode(tokens, skip_special_tokens=True)
            lengths = [(len(prompt), len(own)) for prompt, own in zip(prompts, tokens, strict=True)]
            answers = [Written(text, *counts) for text, counts in zip(texts, lengths, strict=True)]
        return [self._read(work, answer) for work, answer in zip(works, answers, strict=True)]

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """Greedy continuations of token ids by a decoder at hand, each up to and with the token that ends it.

        A batch is padded on the left.
        """
        assert isinstance(self.decoder, Decoder)
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

    def _read(self, work: Work, written: Written) -> Answer:
        size, text, generated = len(work.request.passages), written.text, written.generated_tokens
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
        tokens = written.prompt_tokens + max(generated - 1, 0)  # the last token written is not read again
        layers = self.decoder.layers if isinstance(self.decoder, Served) else self.decoder.loaded_layers
        return Answer(scores, written.prompt_tokens, generated, generated, parsed.outcomes, tokens * layers)


def _of_template(served: Served, arguments: Mapping[str, Any], given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the server's template gets, where its engine takes it; `UserError` where names are given and it does not."""
    if served.trial.engine in TAKE_ARGUMENTS:
        return arguments
    if given:
        raise UserError(
            f"template_arguments: {dict(given)!r}: model {served.name} is served by {served.trial.engine!r}, which is "
            f"not known to take any; {', '.join(TAKE_ARGUMENTS)} do"
        )
    return {}


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
