"""Models behind a server of the OpenAI interface: what it honours is tried first; then it writes, or says how likely.

A decoder at hand has layers and weights; one that is served has neither here. It writes an answer to a prompt, and says
how likely single tokens are to follow one. Prompts of `completions` are token ids, made by the model's own tokenizer:
the server reads what a decoder at hand would. `chat` takes messages, and the server's template makes the prompt.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.files import text_digest
from layerrank.models.client import Client, used

FIRST = 64
"""Log-probabilities that are asked for at first; more where a token is not among them."""

FORCED = 32
"""Tokens beyond the returned ones that are asked for one by one, by a bias."""

BIAS = 100
NEGLIGIBLE = -9000.0
"""Log-probabilities below stand for none: vLLM writes -9999 for a token that is ruled out."""

CLOSE = 0.05
"""Nats by which two readings of one log-probability may differ, batches being what they are."""


@dataclass(frozen=True)
class Trial:
    """What a server said of itself, and what it honours; kept, so that all jobs of a study use the same.

    Attributes:
        engine, version, digest: as far as the server tells; `digest` is of the model's weights.
        served: the model's name there.
        interface: `completions` or `chat`.
        context: tokens that it reads, where it tells.
        echo: whether it gives the prompt back when asked; recorded, and used by nothing here.
        log_probabilities: how many it returns of a next token, at most the vocabulary; 0 where it returns none.
        bias: whether a biased token is written, and its log-probability is the model's own.
        repeatable: whether the same request twice, at temperature 0, gave the same text and log-probabilities.
    """

    engine: str
    version: str
    digest: str
    served: str
    interface: str
    context: int | None
    echo: bool = False
    log_probabilities: int = 0
    bias: bool = False
    repeatable: bool = True

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it another model, or another way of computing it."""
        return self.engine, self.version, self.digest, self.served, self.interface

    def weights(self, tokenizer: str) -> str:
        """A digest that stands for that of weights: of the tokenizer's, and of what the server is."""
        return text_digest([tokenizer, *self.identity])

    @property
    def shown(self) -> str:
        """For a log line."""
        parts = [f"{self.engine} {self.version}".strip(), self.interface]
        parts += [f"{self.log_probabilities} log-probabilities" if self.log_probabilities else "no log-probabilities"]
        parts += [] if self.repeatable else ["not the same twice"]
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer: its text, without special tokens, and the tokens that were read and written, as the server counts."""

    text: str
    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Following:
    """Log-probabilities of tokens that may follow a prompt, in nats, and what asking for them took."""

    values: Mapping[int, float]
    requests: int
    prompt_tokens: int


@dataclass(frozen=True, eq=False)
class Served:
    """A model behind a server, with its tokenizer at hand.

    Attributes:
        client: asks the server.
        trial: what it honours.
        tokenizer: the model's own, from its folder.
        name: the model's name in the study.
        weights: SHA-256 over the tokenizer's files and what the server is; stands in costs as that of weights does.
        context: tokens that it reads, as the entry or the server says, or None.
        layers: of the model, where the entry's `size` says; 0 where it does not.
    """

    client: Client
    trial: Trial
    tokenizer: Any
    name: str
    weights: str
    context: int | None
    layers: int

    @property
    def interface(self) -> str:
        """`completions` or `chat`."""
        return self.trial.interface

    def write(
        self, prompts: Sequence[Any], new_tokens: int, arguments: Mapping[str, Any] | None = None
    ) -> list[Written]:
        """Greedy answers to prompts: token ids, or the turns of `chat`; many at once.

        Args:
            prompts: token ids of each, or turns {role, content}.
            new_tokens: at most so many are written.
            arguments: names for the chat template, of `chat` alone.
        """
        return self.client.map(functools.partial(self._write, new_tokens, arguments), prompts)

    def following(self, asked: Sequence[tuple[Sequence[int], Collection[int]]]) -> list[Following]:
        """How likely wanted tokens are to follow each prompt, exactly.

        Args:
            asked: token ids of a prompt, and the tokens that are wanted after it.

        Raises:
            UserError: a token is beyond what the server returns, in any number of requests that makes sense.
        """
        return self.client.map(self._follow, asked)

    def _write(self, new_tokens: int, arguments: Mapping[str, Any] | None, prompt: Any) -> Written:
        if self.interface == "chat":
            body = {**self.greedy(new_tokens), "messages": list(prompt)}
            body |= {"chat_template_kwargs": dict(arguments)} if arguments else {}
            return self.client.post("/chat/completions", body, lambda said: _written(said, _message(said)))
        body = {**self.greedy(new_tokens), "prompt": list(prompt)}
        return self.client.post("/completions", body, lambda said: _written(said, str(said["choices"][0]["text"])))

    def _follow(self, asked: tuple[Sequence[int], Collection[int]]) -> Following:
        prompt, wanted = asked
        most = self.trial.log_probabilities
        anchor = self.anchor if self.trial.bias else None
        found: dict[int, float] = {}
        requests, tokens = 0, 0

        def ask(size: int, force: int | None) -> None:
            nonlocal requests, tokens
            values, read = self.next(prompt, size, force)
            found.update({token: values[token] for token in wanted if token in values})
            requests, tokens = requests + 1, tokens + read

        if len(wanted) > 1 or anchor is None or not self._alone(*wanted):
            size = min(FIRST, most)
            ask(size, anchor)
            while len(found) < len(wanted) and size < most:
                size = min(size * 16, most)
                ask(size, anchor)
        missing = sorted(set(wanted) - set(found))
        if missing and (anchor is None or len(missing) > FORCED or not all(map(self._alone, missing))):
            name = self.tokenizer.decode(missing[:1])
            raise UserError(
                f"model {self.name}: {len(missing)} wanted tokens, {name!r} among them, are not in the {most} "
                "log-probabilities that its server returns: let it return more (vLLM: --max-logprobs)"
            )
        for token in missing:
            ask(1, token)
        return Following(found, requests, tokens)

    @functools.cached_property
    def anchor(self) -> int:
        """A token that no server takes for an end or for half a character, to be written in place of one that is.

        llama.cpp gives no log-probabilities where such a token is written.
        """
        return int(self.tokenizer("q", add_special_tokens=False)["input_ids"][-1])

    def _alone(self, token: int) -> bool:
        """Whether a token is text by itself."""
        text = self.tokenizer.decode([token])
        return bool(text) and "\ufffd" not in text and token not in self.tokenizer.all_special_ids

    def next(self, prompt: Sequence[int], size: int, force: int | None = None) -> tuple[dict[int, float], int]:
        """The most likely tokens after a prompt with their log-probabilities, and how many tokens were read.

        Args:
            prompt: token ids.
            size: how many.
            force: a token to be written, by a bias, which is among them then.
        """

        def read(said: Any) -> tuple[dict[int, float], int]:
            choice = said["choices"][0]["logprobs"]
            values, written = self.read(choice) if choice else ({}, None)
            if force is not None and written != force:
                raise ValueError(f"token {force} is not the one written")
            return values, used(said)[0]

        return self.client.post("/completions", self.asking(prompt, size, force), read)

    def asking(self, prompt: Sequence[int], size: int, force: int | None) -> dict[str, Any]:
        """The request of `next`."""
        body: dict[str, Any] = {**self.greedy(1), "prompt": list(prompt), "logprobs": size}
        if self.trial.engine == "vllm":
            body["return_tokens_as_token_ids"] = True
        if force is not None:
            body["logit_bias"] = {str(force): BIAS}
        return body

    def read(self, choice: Any) -> tuple[dict[int, float], int | None]:
        """`log_probabilities` of a choice's `logprobs`."""
        named = not ("content" in choice and "id" in choice["content"][0]) and self.trial.engine != "vllm"
        return log_probabilities(choice, self._texts if named else {})

    def greedy(self, new_tokens: int) -> dict[str, Any]:
        """What every request says."""
        return {"model": self.trial.served, "max_tokens": new_tokens, "temperature": 0}

    @functools.cached_property
    def _texts(self) -> Mapping[str, int]:
        return texts_of(self.tokenizer)


def log_probabilities(said: Any, texts: Mapping[str, int]) -> tuple[dict[int, float], int | None]:
    """Log-probabilities of one next token, by token, and the token that was written, which is among them.

    Args:
        said: a choice's `logprobs`, as llama.cpp writes it (`content`, with ids), or as OpenAI's completions have it
            (`top_logprobs`: by `token_id:7` where vLLM was asked for ids, else by text).
        texts: tokens by their text.

    Raises:
        LookupError, TypeError, ValueError: it is none of these.
    """
    if "content" in said:
        first = said["content"][0]
        rows = [(entry.get("id", entry["token"]), entry["logprob"]) for entry in [*first["top_logprobs"], first]]
    else:
        rows = [*(said["top_logprobs"][0] or {}).items(), (said["tokens"][0], said["token_logprobs"][0])]
    found: dict[int, float] = {}
    number = None
    for token, value in rows:
        number = _number(token, texts)
        if number is not None and value is not None and float(value) > NEGLIGIBLE:
            if float(value) > CLOSE:
                raise ValueError(f"a log-probability of {value}")
            found[number] = min(float(value), 0.0)
    return found, number


def texts_of(tokenizer: Any) -> dict[str, int]:
    """Tokens by the text that each adds after a letter; a text of several tokens is nobody's."""
    (before,) = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
    start = len(tokenizer.decode([before]))
    found: dict[str, int | None] = {}
    for token, text in enumerate(tokenizer.batch_decode([[before, token] for token in range(len(tokenizer))])):
        found[text[start:]] = None if text[start:] in found or "\ufffd" in text else token
    return {text: token for text, token in found.items() if text and token is not None}


def _number(token: Any, texts: Mapping[str, int]) -> int | None:
    if isinstance(token, int):
        return token
    match = re.fullmatch(r"token_id:([0-9]+)", token)
    return int(match[1]) if match else texts.get(token)


def _written(said: Any, text: str) -> Written:
    return Written(text, *used(said))


def _message(said: Any) -> str:
    return str(said["choices"][0]["message"]["content"] or "")
