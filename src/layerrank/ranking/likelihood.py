"""Likelihood: one forward pass; the log-probability of each possible answer (semantics.md §4).

A label is scored whole, by all its tokens: log p(label | prompt) = Σ_j log p(t_j | prompt, t_<j), with the tokens that
one tokenisation of prompt and label gives. Where one label of a group begins another (1 begins 10), the label is the
number and nothing more: its probability also has the factor 1 − p(a token that begins with a digit | prompt, label), so
that what the model gives to 10 is not given to 1 as well, however the tokenizer splits them. Labels come as branches of
one prefix, in one pass, and the head sees only the few hidden states that predict them.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerrank.attention.probe import Probe
from layerrank.core.errors import UserError
from layerrank.models.decoder import Decoder
from layerrank.models.device import release
from layerrank.prompts.chat import Chat, FrameworkPrompt
from layerrank.prompts.tree import Tree
from layerrank.prompts.trial import check_chat
from layerrank.ranking.mechanism import Answer, Request, Returns, Work

ROWS = 256
"""Hidden states whose logits are held at once."""

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass must compute for a group's options.

    tree: prompt and branches; the branches cover every path that an option's next token is predicted from.
    places: path → (branch, row) in the hidden states of `Probe.hidden`.
    options: token ids of each option after the prefix.
    closed: whether an option must not go on with a digit.
    positions: tokens of the longest prompt with an option.
    """

    tree: Tree
    places: Mapping[Path, tuple[int, int]]
    options: tuple[Path, ...]
    closed: bool
    positions: int

    def terms(self) -> list[tuple[int, Path, int]]:
        """(option, path, next token) of every factor."""
        return [
            (option, tokens[:place], token)
            for option, tokens in enumerate(self.options)
            for place, token in enumerate(tokens)
        ]


def plan(prefix: Sequence[int], options: Sequence[Path], closed: bool) -> Plan:
    """Lay options out as the fewest branches of one tree: a path that begins another needs no branch of its own."""
    needed = {tokens[:place] for tokens in options for place in range(len(tokens))}
    needed |= set(options) if closed else set()
    paths = sorted(path for path in needed if not any(_begins(path, other) for other in needed)) or [()]
    positions = len(prefix) + max(map(len, options))
    places = {path[:length]: (branch, length) for branch, path in enumerate(paths) for length in range(len(path) + 1)}
    return Plan(Tree(list(prefix), tuple(list(path) for path in paths)), places, tuple(options), closed, positions)


class Likelihood:
    """Scores every passage of a group by the log-probability of its label, or of what the prompt's options say.

    `yes_no`: softmax over Yes and No, taken at Yes. `qlm`: Σ log p(query tokens). Others: log p(label). In nats.

    Args:
        decoder: With its head.
        prompt: A framework prompt with options.
        template_arguments: Further names for the chat template.
    """

    padded = False
    returns: Returns = "scores"

    def __init__(
        self, decoder: Decoder, prompt: FrameworkPrompt, *, template_arguments: Mapping[str, Any] | None = None
    ) -> None:
        if decoder.head is None:
            raise ValueError("likelihood needs a decoder that was loaded with its head")
        self.decoder = decoder
        self.prompt = prompt
        self.probe = Probe(decoder)
        self.chat = Chat(decoder.tokenizer, {"enable_thinking": prompt.think, **(template_arguments or {})})
        check_chat(self.chat, prompt, decoder.name)
        self.context = decoder.context or sys.maxsize

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return self.chat.lengths(texts)

    def prepare(self, request: Request) -> Work:
        """Render and tokenise a request, once, and lay out its options."""
        options = self.prompt.option_texts(request.query, len(request.passages))
        shown = self.chat.show(self.prompt.conversation(request.query, request.passages), self.prompt.answer)
        prefix, branches = self.chat.continuations(shown, options)
        closed = any(_begins(one, other) for one in options for other in options)
        prompt = plan(prefix, branches, closed)
        return Work(request, prompt.tree.tokens, prompt.positions, prompt)

    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Run one pass over the batch and score its groups."""
        values = self.log_probabilities([work.prompt for work in works])
        for work, options in zip(works, values, strict=True):
            if not all(map(math.isfinite, options)):
                name, qid = self.decoder.name, work.request.query.qid
                raise UserError(f"model {name}: query {qid}: its log-probabilities are not finite")
        return [
            Answer(self._scores(options), tokens, layer_tokens=tokens * self.decoder.loaded_layers)
            for tokens, options in zip((work.prompt.tree.tokens for work in works), values, strict=True)
        ]

    def log_probabilities(self, plans: Sequence[Plan]) -> list[list[float]]:
        """For each plan the log-probability of each of its options."""
        hidden = self.probe.hidden([one.tree for one in plans])
        states: list[Tensor] = []
        targets: list[tuple[int, int, int]] = []  # (state, token, option of the whole batch)
        ends: list[tuple[int, int]] = []  # (state, option of the whole batch)
        first = 0
        for one, branches in zip(plans, hidden, strict=True):
            numbers: dict[Path, int] = {}
            for path, (branch, row) in one.places.items():
                numbers[path] = len(states)
                states.append(branches[branch][row])
            targets += [(numbers[path], token, first + option) for option, path, token in one.terms()]
            if one.closed:
                ends += [(numbers[tokens], first + option) for option, tokens in enumerate(one.options)]
            first += len(one.options)
        totals = self._total(torch.stack(states), targets, ends, first)
        sums = iter(totals)
        return [[next(sums) for _ in one.options] for one in plans]

    def release(self) -> None:
        """Hand back cached memory of the device."""
        release()

    @torch.inference_mode()
    def _total(
        self, states: Tensor, targets: Sequence[tuple[int, int, int]], ends: Sequence[tuple[int, int]], options: int
    ) -> list[float]:
        """Σ log p of each option's tokens; states: [R, D]."""
        assert self.decoder.head is not None
        totals = torch.zeros(options, dtype=torch.float64, device=states.device)
        for start in range(0, len(states), ROWS):
            logits = self.decoder.head(states[start : start + ROWS]).float()  # [rows, V]
            whole = logits.logsumexp(dim=-1)
            inside = [(state - start, *rest) for state, *rest in targets if 0 <= state - start < ROWS]
            if inside:
                row, token, option = torch.tensor(inside, device=states.device).T
                totals.index_add_(0, option, (logits[row, token] - whole[row]).double())
            closing = [(state - start, option) for state, option in ends if 0 <= state - start < ROWS]
            if closing:
                row, option = torch.tensor(closing, device=states.device).T
                digits = self._digits(logits.shape[-1]).to(logits.device)
                other = logits[row].masked_fill(digits, -math.inf).logsumexp(dim=-1)
                totals.index_add_(0, option, (other - whole[row]).double())
        return [float(value) for value in totals.tolist()]

    @functools.cache  # noqa: B019
    def _digits(self, vocabulary: int) -> Tensor:
        """bool[V]: tokens whose text begins with a digit."""
        known = min(vocabulary, len(self.decoder.tokenizer))
        pieces = self.decoder.tokenizer.convert_ids_to_tokens(list(range(known)))
        mask = torch.zeros(vocabulary, dtype=torch.bool)
        mask[:known] = torch.tensor([_starts_with_digit(piece) for piece in pieces])
        return mask

    def _scores(self, options: Sequence[float]) -> tuple[float, ...]:
        if not isinstance(self.prompt.options, tuple):
            return tuple(options)
        most = max(options)
        weights = [math.exp(value - most) for value in options]
        return (weights[0] / sum(weights),)


def _begins(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether `other` begins with `one` and goes on."""
    return len(one) < len(other) and other[: len(one)] == one


def _starts_with_digit(piece: str | None) -> bool:
    """Of a token as its tokenizer writes it; bytes stand as `<0x31>` where a tokenizer falls back to them."""
    if piece is None:
        return False
    if len(piece) == 6 and piece.startswith("<0x3") and piece.endswith(">"):
        return piece[4] in "0123456789"
    return piece[:1] in set("0123456789")
