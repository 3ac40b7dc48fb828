"""Framework prompts: data with declared placeholders, shown through the model's own chat template, exact in tokens.

What a model's template may lack is made up for:

- A template that refuses or drops a system turn gets that text at the head of the first user turn.
- A template that takes no notice of `add_generation_prompt` is continued where an assistant's turn would begin
  (nothing is added where such a turn has no header of its own, as after Mistral's `[/INST]`).
- A base model without a template gets the turns' texts joined by blank lines, a line break, and its tokenizer's own
  special tokens.
"""

from __future__ import annotations

import ctypes
import functools
import re
import string
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import yaml

from layerrank.core.errors import UserError
from layerrank.core.records import Passage, Query
from layerrank.prompts.special import Tokens, keeping, special_tokens, tokenised

RENDER_SECONDS = 10
RENDER_CHARACTERS = 100_000
"""What a chat template may take, and write beside the texts it shows."""

_WRONG = (
    *(jinja2.TemplateError, ArithmeticError, AttributeError, LookupError),
    *(MemoryError, RuntimeError, TypeError, ValueError),
)
"""What a template raises, by itself or by a mistake in it."""


class _Stopped(BaseException):
    """Ends a template that would not."""


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


@dataclass(frozen=True, slots=True)
class Shown:
    """A conversation as the model reads it.

    masked: the same text, character by character, with private-use characters wherever a passage or query holds the
        name of a special token; equal to `text` where none does.
    """

    text: str
    masked: str

    def __add__(self, more: Shown) -> Shown:
        return Shown(self.text + more.text, self.masked + more.masked)


class Chat:
    """A model's own way of showing a conversation, and the tokens of it.

    Passages and queries cannot forge special tokens: where their text holds the name of one, what lies between the
    template's own is tokenised with special tokens switched off.

    Args:
        tokenizer: A fast tokenizer of transformers; one without chat template is a base model's.
        arguments: Further names for the template, such as `{"enable_thinking": False}`; a template ignores strangers.
    """

    def __init__(self, tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        self.arguments = dict(arguments or {})
        self.has_template = tokenizer.chat_template is not None
        self.takes_system = self.has_template and self._takes_system()
        names = sorted(special_tokens(tokenizer).values(), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self._tail_cache: dict[tuple[str, tuple[str, ...]], tuple[int, tuple[tuple[int, ...], ...]]] = {}

    def show(self, turns: Sequence[Mapping[str, str]], answer: str = "") -> Shown:
        """The conversation as the model reads it, up to and with `answer`, the beginning of its own next turn."""
        text = self._text(turns) + answer
        masked_turns = [{**turn, "content": self._mask(turn["content"])} for turn in turns]
        if all(turn["content"] == other["content"] for turn, other in zip(turns, masked_turns, strict=True)):
            return Shown(text, text)
        masked = self._text(masked_turns) + answer
        if len(masked) != len(text):
            raise UserError("the model's chat template rewrites texts that hold names of special tokens")
        return Shown(text, masked)

    def ids(self, shown: Shown) -> list[int]:
        """Token ids of what is shown: special tokens come from the template, or else from the tokenizer."""
        return self._encode(shown).ids

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        if not texts:
            return []
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    def continuations(self, shown: Shown, options: Sequence[str]) -> tuple[list[int], list[tuple[int, ...]]]:
        """Tokens of what is shown and of each option after it, as one tokenisation of the whole would have them.

        Only the tail is tokenised again with the options: the shortest of 16, 32, … tokens that gives the same tokens
        on its own.

        Returns:
            prefix: token ids that the prompt and every prompt with an option begin with.
            branches: for each option the token ids of prompt and option after the prefix.
        """
        encoded = self._encode(shown)
        ids, begins = encoded.ids, encoded.begins
        length = 16
        while length < len(ids):
            tail = shown.text[begins[-length] :]
            if tail == shown.masked[begins[-length] :] and self._plain(tail) == ids[-length:]:
                key = (tail, tuple(options))
                if key not in self._tail_cache:
                    if len(self._tail_cache) >= 4096:
                        self._tail_cache.clear()
                    self._tail_cache[key] = _shared(ids[-length:], [self._plain(tail + each) for each in options])
                shared, branches = self._tail_cache[key]
                if shared:
                    return ids[: len(ids) - length + shared], list(branches)
            length *= 2
        whole = [self.ids(shown + Shown(option, self._mask(option))) for option in options]
        shared, branches = _shared(ids, whole)
        return ids[:shared], list(branches)

    def _encode(self, shown: Shown) -> Tokens:
        """Tokens of what is shown, those of the template special and no others."""
        start = not self.has_template
        if shown.masked == shown.text:
            return tokenised(self.tokenizer, shown.text, add_special_tokens=start)
        trusted = tokenised(self.tokenizer, shown.masked, add_special_tokens=start)
        special = special_tokens(self.tokenizer)
        found = zip(trusted.ids, trusted.begins.tolist(), trusted.ends.tolist(), strict=True)
        return keeping(self.tokenizer, shown.text, [mark for mark in found if mark[0] in special])

    def _plain(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _mask(self, text: str) -> str:
        return self._special.sub(lambda match: "\ue000" * len(match[0]), text)

    def _text(self, turns: Sequence[Mapping[str, str]]) -> str:
        if not self.has_template:
            return "\n\n".join(turn["content"] for turn in turns) + "\n"
        if not self.takes_system:
            turns = _without_system(turns)
        text = self._render(turns, True)
        if text == self._render(turns, False):
            text += self._assistant_header(turns, text)
        return text

    def _render(self, turns: Sequence[Mapping[str, str]], generation_prompt: bool) -> str:
        roles = f"a conversation of turns {', '.join(turn['role'] for turn in turns[:4])}, …"
        found: list[str] = []
        wrong: list[BaseException] = []

        def render() -> None:
            try:
                shown = self.tokenizer.apply_chat_template(
                    [dict(turn) for turn in turns],
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                    **self.arguments,
                )
                found.append(str(shown))
            except _WRONG as error:
                wrong.append(error)
            except _Stopped:
                return

        # A template is a program of the model's: it gets a thread, which can be left behind, and so much time.
        thread = threading.Thread(target=render, daemon=True)
        thread.start()
        thread.join(RENDER_SECONDS)
        if wrong:
            words = " ".join(str(wrong[0]).split())[:200]
            raise UserError(f"the model's chat template refuses {roles}: {words}")
        if not found:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stopped))
            raise UserError(f"the model's chat template does not end for {roles}, within {RENDER_SECONDS} seconds")
        most = RENDER_CHARACTERS + 20 * sum(len(turn["content"]) for turn in turns)
        if len(found[0]) > most:
            raise UserError(f"the model's chat template writes {len(found[0]):,} characters for {roles}")
        return found[0]

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
