"""Framework prompts: data with declared placeholders, shown through the model's own chat template, exact in tokens.

What a model's template may lack is made up for:

- A template that refuses or drops a system turn gets that text at the head of the first user turn.
- A template that takes no notice of `add_generation_prompt` is continued where an assistant's turn would begin
  (nothing is added where such a turn has no header of its own, as after Mistral's `[/INST]`).
- A base model without a template gets the turns' texts joined by blank lines, a line break, and its tokenizer's own
  special tokens.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from layerrank.errors import UserError
from layerrank.records import Passage, Query

_MARK = "layerrank-marks-this-turn"


@dataclass(frozen=True, slots=True)
class FrameworkPrompt:
    """One entry of prompts/frameworks.yaml, whose head explains the fields."""

    name: str
    framework: str
    turns: tuple[Mapping[str, str], ...]
    labels: str | tuple[str, ...]
    answer: str
    passage: str
    options: str | tuple[str, ...] | None
    pattern: str | None
    ranking: Mapping[str, str] | None
    think: bool

    def label_names(self, n: int) -> list[str]:
        """What the n passages of a prompt are called, in its order."""
        if self.labels == "numbers":
            return [str(number) for number in range(1, n + 1)]
        if n > len(self.labels):
            raise ValueError(f"prompt {self.name}: {n} passages, {len(self.labels)} labels")
        return list(self.labels[:n])

    def conversation(self, query: Query, passages: Sequence[Passage]) -> list[dict[str, str]]:
        """Turns {role, content} that show the passages, in the order given."""
        rows = [
            {"label": label, "text": passage.content}
            for label, passage in zip(self.label_names(len(passages)), passages, strict=True)
        ]
        values = {"query": query.text.strip(), "n": str(len(passages))}
        if self.passage:
            values["passages"] = "\n\n".join(self.passage.format_map(row) for row in rows)
        elif len(rows) == 1:
            values["text"] = rows[0]["text"]
        turns: list[dict[str, str]] = []
        block: list[Mapping[str, str]] = []
        for turn in [*self.turns, None]:
            if turn is not None and "each" in turn:
                block.append(turn)
                continue
            turns += [_turn(part, {**values, **row}) for row in rows for part in block] if block else []
            block = []
            if turn is not None:
                turns.append(_turn(turn, values))
        return turns

    def option_texts(self, query: Query, n: int) -> list[str]:
        """The texts whose probability after `answer` likelihood takes: one a passage, the choices, or the query."""
        if self.options is None:
            raise ValueError(f"prompt {self.name} has no options")
        if not isinstance(self.options, str):
            return list(self.options)
        return [self.options.format(label=label, query=query.text.strip()) for label in self.label_names(n)]

    def answer_parts(self, n: int) -> list[str]:
        """Texts that answers about n passages consist of: one of them, or all of them where a ranking is asked for."""
        if self.ranking is not None:
            return [self.ranking["item"].format(label=label) + self.ranking["between"] for label in self.label_names(n)]
        if isinstance(self.options, tuple):
            return list(self.options)
        return [" " + label for label in self.label_names(n)]


@functools.cache
def load_prompts() -> Mapping[str, FrameworkPrompt]:
    """All framework prompts by name, their placeholders checked against those declared (`ValueError`)."""
    text = resources.files("layerrank.prompts").joinpath("frameworks.yaml").read_text(encoding="utf-8")
    return {name: _parse(name, entry) for name, entry in yaml.safe_load(text).items()}


def find_prompt(framework: str, mechanism: str, name: str | None = None) -> FrameworkPrompt:
    """The prompt `name`, or the first that fits, of a framework for generation or likelihood; else `UserError`."""
    needed = {"generation": "pattern", "likelihood": "options"}[mechanism]
    known = load_prompts()
    fitting = [key for key, entry in known.items() if entry.framework == framework and getattr(entry, needed)]
    if name is None:
        return known[fitting[0]]
    if name not in fitting:
        raise UserError(f"{framework}-{mechanism}: prompt: {name!r}: expected one of {', '.join(fitting)}")
    return known[name]


class Chat:
    """A model's own way of showing a conversation, and the tokens of it.

    Args:
        tokenizer: A fast tokenizer of transformers; one without chat template is a base model's.
        arguments: Further names for the template, such as `{"enable_thinking": False}`; a template ignores strangers.
    """

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        self.arguments = dict(arguments or {})
        self.has_template = tokenizer.chat_template is not None
        self.takes_system = self.has_template and self._takes_system()
        self._tail_cache: dict[tuple[str, tuple[str, ...]], tuple[int, tuple[tuple[int, ...], ...]]] = {}

    def text(self, turns: Sequence[Mapping[str, str]], answer: str = "") -> str:
        """The conversation as the model reads it, up to and with `answer`, the beginning of its own next turn."""
        if not self.has_template:
            return "\n\n".join(turn["content"] for turn in turns) + "\n" + answer
        if not self.takes_system:
            turns = _without_system(turns)
        text = self._render(turns, True)
        if text == self._render(turns, False):
            text += self._assistant_header(turns, text)
        return text + answer

    def ids(self, text: str) -> list[int]:
        """Token ids of a text made by `text`: special tokens come from the template, or else from the tokenizer."""
        return list(self.tokenizer(text, add_special_tokens=not self.has_template, verbose=False)["input_ids"])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]] if texts else []

    def continuations(self, text: str, options: Sequence[str]) -> tuple[list[int], list[tuple[int, ...]]]:
        """Tokens of `text` and of each option after it, as one tokenisation of the whole would have them.

        Only the text's tail is tokenised again with the options: the shortest tail of 16, 32, … tokens that gives the
        same tokens on its own.

        Returns:
            prefix: token ids that `text` and every `text + option` begin with.
            branches: for each option the token ids of `text + option` after the prefix.
        """
        encoded = self.tokenizer(
            text, add_special_tokens=not self.has_template, return_offsets_mapping=True, verbose=False
        )
        ids = list(encoded["input_ids"])
        length = 16
        while length < len(ids):
            tail = text[encoded["offset_mapping"][-length][0] :]
            if self.tokenizer(tail, add_special_tokens=False)["input_ids"] == ids[-length:]:
                key = (tail, tuple(options))
                if key not in self._tail_cache:
                    if len(self._tail_cache) >= 4096:
                        self._tail_cache.clear()
                    joint = [self.tokenizer(tail + option, add_special_tokens=False)["input_ids"] for option in options]
                    self._tail_cache[key] = _shared(ids[-length:], joint)
                shared, branches = self._tail_cache[key]
                if shared:
                    return ids[: len(ids) - length + shared], list(branches)
            length *= 2
        shared, branches = _shared(ids, [self.ids(text + option) for option in options])
        return ids[:shared], list(branches)

    def _render(self, turns: Sequence[Mapping[str, str]], generation_prompt: bool) -> str:
        import jinja2

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [dict(turn) for turn in turns],
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                    **self.arguments,
                )
            )
        except jinja2.TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns[:4])
            raise UserError(f"the model's chat template refuses a conversation of turns {roles}, …: {error}") from None

    def _takes_system(self) -> bool:
        try:
            text = self._render([{"role": "system", "content": _MARK}, {"role": "user", "content": "?"}], True)
        except UserError:
            return False
        return _MARK in text

    def _assistant_header(self, turns: Sequence[Mapping[str, str]], text: str) -> str:
        """What the template writes before an assistant's text, where it does so after `text`; else nothing."""
        answered = self._render([*turns, {"role": "assistant", "content": _MARK}], False)
        if not answered.startswith(text) or _MARK not in answered:
            return ""
        header = answered[len(text) : answered.index(_MARK)]
        return header if header.strip() else ""


def _turn(turn: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {"role": turn["role"], "content": turn["text"].format_map(values)}


def _without_system(turns: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The turns with a leading system turn's text at the head of the first user turn."""
    if not turns or turns[0]["role"] != "system":
        return list(turns)
    system, first, *others = turns
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *others]


def _shared(ids: Sequence[int], joint: Sequence[Sequence[int]]) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """How many tokens all begin with, and what each of `joint` has after them."""
    shared = 0
    for column in zip(ids, *joint, strict=False):
        if len(set(column)) != 1:
            break
        shared += 1
    return shared, tuple(tuple(row[shared:]) for row in joint)


def _parse(name: str, entry: Mapping[str, Any]) -> FrameworkPrompt:
    labels, options, ranking = entry["labels"], entry.get("options"), entry.get("ranking")
    texts = [turn["text"] for turn in entry["turns"]]
    texts += [entry.get("passage", ""), *([options] if isinstance(options, str) else [])]
    texts += [ranking["item"]] if ranking else []
    used = {field for text in texts for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    if used != set(entry["placeholders"]):
        raise ValueError(f"prompt {name}: placeholders {sorted(used)} used, {sorted(entry['placeholders'])} declared")
    return FrameworkPrompt(
        name=name,
        framework=entry["framework"],
        turns=tuple(entry["turns"]),
        labels=labels if isinstance(labels, str) else tuple(labels),
        answer=entry["answer"],
        passage=entry.get("passage", ""),
        options=tuple(options) if isinstance(options, list) else options,
        pattern=entry.get("pattern"),
        ranking=ranking,
        think=entry.get("think", False),
    )
