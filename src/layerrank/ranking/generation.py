"""Generation: the model writes an answer, greedily, and it is parsed (semantics.md §4).

A decoder at hand reads the prompts of a batch in one pass without padding, what they begin with alike once; their keys
and values become the caches of padded batches of about one length, which are written token by token. One that is served
is asked for many answers at once. Both read the same token ids; by `chat` a server gets the turns, and makes a prompt
of them by its own template.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from layerrank.attention.limits import ROWS
from layerrank.attention.probe import CODE, TOLERANCE, Kept, Probe, rope_depends_on_length
from layerrank.core.errors import UserError
from layerrank.models.decoder import Decoder
from layerrank.models.device import release
from layerrank.models.served import Served, Written
from layerrank.prompts.chat import Chat, FrameworkPrompt
from layerrank.prompts.tree import Tree
from layerrank.prompts.trial import check_chat
from layerrank.ranking.mechanism import (
    BATCH_TOKENS,
    PADDING,
    Answer,
    Request,
    Returns,
    Work,
    order_scores,
    winner_scores,
)
from layerrank.ranking.parsing import parse_choice, parse_ranking

SHORTEST = 3
"""New tokens that an answer of one label may take at least, as published."""

LEFT = 16
"""New tokens up to which rows that have ended stay in their batch: what they cost is little beside the prompts."""

ENDED = 1 / 8
"""Share of a batch's rows whose end ends a stretch of a longer answer; the other rows go on without them."""

REASONING = 1024
"""New tokens for a prompt that has the model reason first, unless `max_new_tokens` says otherwise."""

PREAMBLE = 16
"""Further new tokens by `chat`, where no beginning of the answer can be put into the model's mouth."""

ROOM = 1.5
"""Batch budgets that rows written side by side may fill, prompts, answers and padding counted.

What rows share is computed once but held by each, so that a batch holds more than it computes. With room for no more
than that, its last rows would be written by themselves, step after step.
"""

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
        share: Compute once what prompts of a batch begin with, where the model allows it; else, and for a prompt by
            itself, the model reads padded prompts.
        batch_tokens: The engine's budget of a batch, which bounds what is written side by side (`ROOM`).
    """

    def __init__(
        self,
        decoder: Decoder | Served,
        prompt: FrameworkPrompt,
        *,
        max_new_tokens: int | None = None,
        template_arguments: Mapping[str, Any] | None = None,
        share: bool = True,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self.decoder = decoder
        self.prompt = prompt
        self.probe: Probe | None = None
        self.batch_tokens = batch_tokens
        arguments = {"enable_thinking": prompt.think, **(template_arguments or {})}
        self.chat = Chat(decoder.tokenizer, arguments)
        self.returns: Returns = "order" if prompt.ranking else "scores" if prompt.framework == "pointwise" else "winner"
        self.context = decoder.context or sys.maxsize
        self.left = LEFT
        """`LEFT`; beyond every answer's length, batches are written by one `generate` each."""
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
            self.probe = _probe(decoder) if share and not self._alone else None
        self.padded = self.probe is None and not isinstance(decoder, Served)
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
        beginning = () if self.probe is None else ids
        return Work(request, length, length, ids, batch=object() if self._alone else new, beginning=beginning)

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
        computed = [answer.prompt_tokens for answer in answers]
        if self.probe is not None:
            computed = self.probe.computed([Tree(ids) for ids in prompts])
        return [self._read(*one) for one in zip(works, answers, computed, strict=True)]

    def write(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """Greedy continuations of token ids by a decoder at hand, each up to and with the token that ends it.

        Where beginnings are shared, one pass over all prompts gives each its first token; what follows is written side
        by side with others of about its length. The tokens are those of a single `generate`.
        """
        assert isinstance(self.decoder, Decoder)
        if self.probe is None or len(prompts) == 1:
            return self._write_on(prompts, new_tokens, None)
        kept = self.probe.keep(prompts)
        written = [[token] for token in self._first_tokens(kept.last)]
        going = [row for row, [token] in enumerate(written) if new_tokens > 1 and token not in self._stop]
        groups = self._side_by_side({row: len(prompts[row]) + new_tokens for row in going})
        for number, rows in enumerate(groups):
            begun = [[*prompts[row], *written[row]] for row in rows]
            last = number == len(groups) - 1
            tokens = self._write_on(begun, new_tokens - 1, _cache(self.decoder, kept, rows, forget=last))
            for row, own in zip(rows, tokens, strict=True):
                written[row] += own
        return written

    def _side_by_side(self, lengths: Mapping[int, int]) -> list[list[int]]:
        """Rows by their lengths, longest first, in groups that fit the room and of which little is padding."""
        groups: list[list[int]] = []
        longest = total = 0
        for row in sorted(lengths, key=lambda row: (-lengths[row], row)):
            padded = longest * (len(groups[-1]) + 1) if groups else 0
            if groups and padded <= ROOM * self.batch_tokens and total + lengths[row] >= (1 - PADDING) * padded:
                groups[-1].append(row)
                total += lengths[row]
            else:
                groups.append([row])
                longest = total = lengths[row]
        return groups

    @torch.inference_mode()
    def _first_tokens(self, states: torch.Tensor) -> list[int]:
        """The most likely token after each of the states [B, D]."""
        assert isinstance(self.decoder, Decoder) and self.decoder.head is not None
        parts = [self.decoder.head(part).float().argmax(dim=-1) for part in states.split(ROWS)]
        return [int(token) for token in torch.cat(parts).tolist()]

    def _write_on(self, prompts: Sequence[Sequence[int]], new_tokens: int, cache: Any) -> list[list[int]]:
        """Continuations of prompts side by side, padded on the left; a cache holds all of them but the last tokens.

        Long answers are written in stretches: rows that have ended leave the batch and its cache, so that no more is
        computed for them.
        """
        assert isinstance(self.decoder, Decoder)
        longest = max(map(len, prompts))
        pad = self._stop[0] if self._stop else 0
        ids = torch.full((len(prompts), longest), pad, dtype=torch.long)  # [batch, tokens], padded on the left
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        ids, mask = ids.to(self.decoder.device), mask.to(self.decoder.device)
        written: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))  # of `written`, by rows of `ids`
        may_leave = new_tokens > self.left
        while True:
            ids, cache = self._stretch(ids, mask, cache, longest + new_tokens - ids.shape[1], may_leave)
            going = []
            for place, tokens in enumerate(ids[:, longest:].tolist()):
                written[rows[place]] = own = _until(tokens, self._stop)
                if len(own) < new_tokens and own[-1] not in self._stop:
                    going.append(place)
            may_leave = may_leave and _can_leave(cache)
            if not going:
                break
            if may_leave:
                kept = torch.tensor(going, device=ids.device)
                ids, mask, rows = ids[kept], mask[kept], [rows[place] for place in going]
                cache.batch_select_indices(kept)
            mask = torch.nn.functional.pad(mask, (0, ids.shape[1] - mask.shape[1]), value=1)
        return written

    def _stretch(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, new_tokens: int, may_end: bool
    ) -> tuple[torch.Tensor, Any]:
        """Go on with a batch until all of its rows have ended, or where it may, enough of them.

        Returns all tokens int[batch, tokens] and the cache; what is not in a given one is read first.
        """
        assert isinstance(self.decoder, Decoder)
        causal = self.decoder.causal
        causal.generation_config = transformers.GenerationConfig(  # a folder's own penalties are no greedy decoding
            do_sample=False,
            max_new_tokens=new_tokens,
            eos_token_id=self._stop or None,
            pad_token_id=self._stop[0] if self._stop else 0,
            return_dict_in_generate=True,
        )
        enough = [_Enough(self._stop, len(ids))] if may_end and self._stop and len(ids) > 1 else []
        with torch.inference_mode():
            output = causal.generate(
                input_ids=ids,
                attention_mask=mask,
                stopping_criteria=transformers.StoppingCriteriaList(enough),
                **({} if cache is None else {"past_key_values": cache}),
            )
        return output.sequences, output.past_key_values

    def release(self) -> None:
        """Hand back cached memory of the device."""
        release()

    def _read(self, work: Work, written: Written, computed: int) -> Answer:
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
        again = max(generated - 1, 0)  # the last token written is not read again
        layers = self.decoder.layers if isinstance(self.decoder, Served) else self.decoder.loaded_layers
        return Answer(
            scores,
            written.prompt_tokens,
            generated,
            generated,
            parsed.outcomes,
            layer_tokens=(written.prompt_tokens + again) * layers,
            computed_tokens=computed,
            computed_layer_tokens=(computed + again) * layers,
        )


class _Enough(transformers.StoppingCriteria):  # type: ignore[misc]
    """Ends a batch where a share of its rows has ended (`ENDED`)."""

    def __init__(self, stop: Sequence[int], rows: int) -> None:
        self.stop = stop
        self.ended = torch.zeros(rows, dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **others: Any) -> torch.Tensor:
        """bool[batch], all the same."""
        last = input_ids[:, -1]
        self.ended = self.ended.to(last.device) | torch.isin(last, torch.tensor(self.stop, device=last.device))
        return (self.ended.sum() >= ENDED * len(last)).expand(len(last))


def _probe(decoder: Decoder) -> Probe | None:
    """What reads prompts of a model in one pass, where the caches made of it are the model's own; else None."""
    try:
        probe = Probe(decoder)
    except UserError:
        return None
    circumstances, code = decoder.circumstances, (__file__, *CODE)
    return probe if decoder.trials.once("cache", circumstances, code, lambda: _same_cache(probe)) else None


@torch.inference_mode()
def _same_cache(probe: Probe) -> bool:
    """Whether the cache of a short prompt, read beside one that begins alike, is what the model itself makes of it."""
    decoder = probe.decoder
    vocabulary = int(decoder.model.get_input_embeddings().weight.shape[0])
    ids = [(7 + 13 * index) % vocabulary for index in range(17)]
    own: Any = decoder.causal(input_ids=torch.tensor([ids], device=decoder.device), use_cache=True).past_key_values
    layers: list[Any] = getattr(own, "layers", [])
    plain = {type(layer) for layer in layers} <= {DynamicLayer, DynamicSlidingWindowLayer}
    if type(own) is not transformers.DynamicCache or len(layers) != decoder.loaded_layers or not plain:
        return False
    made = _cache(decoder, probe.keep([[*ids[:9], ids[0]], ids]), [1], forget=True)
    return all(
        type(ours) is type(theirs)
        and one.shape == other.shape
        and float((one - other).norm()) <= TOLERANCE[decoder.dtype] * float(other.norm())
        for ours, theirs in zip(made.layers, layers, strict=True)
        for one, other in ((ours.keys, theirs.keys), (ours.values, theirs.values))
    )


@torch.inference_mode()
def _cache(decoder: Decoder, kept: Kept, rows: Sequence[int], *, forget: bool) -> Any:
    """The cache that the model itself makes of some prompts, padded on the left."""
    cache = transformers.DynamicCache(config=decoder.causal.config)
    for layer, (keys, values) in enumerate(kept.gather(rows, forget=forget)):
        cache.update(keys, values, layer)
    return cache


def _can_leave(cache: Any) -> bool:
    """Whether rows can be taken out of a cache, which those of recurrent layers cannot."""
    return all(hasattr(layer, "batch_select_indices") for layer in getattr(cache, "layers", [None]))


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
