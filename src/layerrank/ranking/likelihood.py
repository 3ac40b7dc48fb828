"""Likelihood: one forward pass; the log-probability of each possible answer (semantics.md §4).

A label is scored whole, by all its tokens: log p(label | prompt) = Σ_j log p(t_j | prompt, t_<j), with the tokens that
one tokenisation of prompt and label gives. Where one label of a group begins another (1 begins 10), the label is the
number and nothing more: its probability also has the factor 1 − p(a token that begins with a digit | prompt, label), so
that what the model gives to 10 is not given to 1 as well, however the tokenizer splits them. Labels come as branches of
one prefix, in one pass, and the head sees only the few hidden states that predict them.

A model that is served is asked once for each place in the tree of labels: how likely are the tokens that go on there?
The sums are the same.
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

from layerrank.attention.limits import ROWS
from layerrank.attention.probe import Probe
from layerrank.core.errors import UserError
from layerrank.models.decoder import Decoder
from layerrank.models.device import release
from layerrank.models.served import Served
from layerrank.prompts.chat import Chat, FrameworkPrompt
from layerrank.prompts.tree import Tree
from layerrank.prompts.trial import check_chat
from layerrank.ranking.mechanism import Answer, Request, Returns, Work

LEAST = 2.0**-24
"""The smallest difference of probabilities below 1 that float32 tells, in which servers compute."""

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

    def wanted(self, digits: Sequence[int]) -> dict[Path, set[int]]:
        """By path, the tokens whose probability after it is needed; after a closed option those that are `digits`."""
        found: dict[Path, set[int]] = {}
        for _, path, token in self.terms():
            found.setdefault(path, set()).add(token)
        for tokens in self.options if self.closed else ():
            found.setdefault(tokens, set()).update(digits)
        return found

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
        decoder: With its head, or served by the interface `completions`.
        prompt: A framework prompt with options.
        template_arguments: Further names for the chat template.
        share: Compute once what groups of a pass begin with.
    """

    padded = False
    returns: Returns = "scores"

    def __init__(
        self,
        decoder: Decoder | Served,
        prompt: FrameworkPrompt,
        *,
        template_arguments: Mapping[str, Any] | None = None,
        share: bool = True,
    ) -> None:
        self.decoder = decoder
        self.prompt = prompt
        self.probe: Probe | None = None
        if isinstance(decoder, Served):
            if decoder.interface == "chat":
                raise UserError(f"model {decoder.name}: likelihood needs the interface 'completions', not 'chat'")
            if not decoder.trial.log_probabilities:
                raise UserError(f"model {decoder.name}: its server returns no log-probabilities: likelihood needs them")
        elif decoder.head is None:
            raise ValueError("likelihood needs a decoder that was loaded with its head")
        else:
            self.probe = Probe(decoder, share=share)
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
        beginning = prompt.tree.prefix if self.probe is not None and self.probe.shares else ()
        return Work(request, prompt.tree.tokens, prompt.positions, prompt, beginning=beginning)

    def score(self, works: Sequence[Work]) -> list[Answer]:
        """Score the groups of one batch: in one pass, or by requests for each."""
        plans = [work.prompt for work in works]
        if isinstance(self.decoder, Served):
            measured, layers = self._asked(self.decoder, plans), self.decoder.layers
            computed = [tokens for _, _, tokens in measured]
        else:
            values = self.log_probabilities(plans)
            measured = [(own, 1, one.tree.tokens) for own, one in zip(values, plans, strict=True)]
            layers = self.decoder.loaded_layers
            assert self.probe is not None
            computed = self.probe.computed([one.tree for one in plans])
        answers = []
        for work, (options, passes, tokens), own_tokens in zip(works, measured, computed, strict=True):
            if not all(map(math.isfinite, options)):
                name, qid = self.decoder.name, work.request.query.qid
                raise UserError(f"model {name}: query {qid}: its log-probabilities are not finite")
            answers.append(
                Answer(
                    self._scores(options),
                    tokens,
                    forward_passes=passes,
                    layer_tokens=tokens * layers,
                    computed_tokens=own_tokens,
                    computed_layer_tokens=own_tokens * layers,
                )
            )
        return answers

    def log_probabilities(self, plans: Sequence[Plan]) -> list[list[float]]:
        """For each plan the log-probability of each of its options, by a decoder at hand."""
        assert self.probe is not None
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

    def _asked(self, served: Served, plans: Sequence[Plan]) -> list[tuple[list[float], int, int]]:
        """For each plan the log-probabilities of its options, the requests that they took, and the tokens read."""
        places = [(number, path) for number, one in enumerate(plans) for path in one.wanted(self._digit_tokens)]
        answers = served.following(
            [
                ([*plans[number].tree.prefix, *path], plans[number].wanted(self._digit_tokens)[path])
                for number, path in places
            ]
        )
        found = dict(zip(places, answers, strict=True))
        measured = []
        for number, one in enumerate(plans):
            totals = [0.0] * len(one.options)
            for option, path, token in one.terms():
                totals[option] += found[number, path].values[token]
            for option, tokens in enumerate(one.options if one.closed else ()):
                digits = sum(math.exp(found[number, tokens].values[token]) for token in self._digit_tokens)
                totals[option] += math.log(max(1 - digits, LEAST))
            own = [answer for (plan_of, _), answer in found.items() if plan_of == number]
            measured.append(
                (totals, sum(answer.requests for answer in own), sum(answer.prompt_tokens for answer in own))
            )
        return measured

    def release(self) -> None:
        """Hand back cached memory of the device."""
        release()

    @torch.inference_mode()
    def _total(
        self, states: Tensor, targets: Sequence[tuple[int, int, int]], ends: Sequence[tuple[int, int]], options: int
    ) -> list[float]:
        """Σ log p of each option's tokens; states: [R, D]."""
        assert isinstance(self.decoder, Decoder) and self.decoder.head is not None
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
        mask = torch.zeros(vocabulary, dtype=torch.bool)
        mask[[token for token in self._digit_tokens if token < vocabulary]] = True
        return mask

    @functools.cached_property
    def _digit_tokens(self) -> list[int]:
        """Tokens whose text begins with a digit."""
        pieces = self.decoder.tokenizer.convert_ids_to_tokens(list(range(len(self.decoder.tokenizer))))
        return [token for token, piece in enumerate(pieces) if _starts_with_digit(piece)]

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
