"""Trials of a model's prompts before anything is run: does changing the query, or a passage, change what it reads?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.records import Passage, Query
from layerrank.prompts.chat import Chat, FrameworkPrompt
from layerrank.prompts.icr import PromptSettings, build_icr

WORDS = 60
"""Words of a trial's passages; what changes stands at their end."""

Ids = Callable[[Query, Sequence[Passage]], object]


def check_chat(chat: Chat, prompt: FrameworkPrompt, model: str) -> None:
    """Refuse a model whose chat template or tokenizer drops the query or a passage of a framework's prompt.

    Raises:
        UserError: the model, and what its prompt leaves out; or a template that fails, or does not end.
    """

    def ids(query: Query, passages: Sequence[Passage]) -> object:
        shown = chat.show(prompt.conversation(query, passages), prompt.answer)
        if isinstance(prompt.options, str):
            return chat.continuations(shown, prompt.option_texts(query, len(passages)))
        return chat.ids(shown)

    size = {"pointwise": 1, "pairwise": 2}.get(prompt.framework, 3)
    _check(ids, size, f"model {model}: prompt {prompt.name}")


def check_icr(tokenizer: Any, settings: PromptSettings, model: str) -> None:
    """The same for the prompt of in-context re-ranking, where a tokenizer can drop what differs."""

    def ids(query: Query, passages: Sequence[Passage]) -> object:
        prompt = build_icr(tokenizer, settings.family, query, passages, settings.instruction, settings.query_span)
        return list(prompt.tree.prefix), [list(branch) for branch in prompt.tree.branches]

    _check(ids, 3, f"model {model}: prompt family {settings.family}")


def check_pair(tokenizer: Any, model: str) -> None:
    """The same for a cross-encoder's pair of query and passage, which its tokenizer has to tell apart."""
    if tokenizer.num_special_tokens_to_add(pair=True) < 2:
        raise UserError(f"model {model}: its tokenizer sets nothing between query and passage: it is made for a prompt")

    def ids(query: Query, passages: Sequence[Passage]) -> object:
        return list(tokenizer(query.text, passages[0].content, split_special_tokens=True, verbose=False)["input_ids"])

    _check(ids, 1, f"model {model}: its pair of query and passage")


def _check(ids: Ids, size: int, where: str) -> None:
    """Whether the tokens change with the query and with each of `size` passages."""
    query = Query("trial", "what is this about")
    passages = [_passage(place, "one") for place in range(size)]
    plain = ids(query, passages)
    if ids(Query("trial", "what is that about"), passages) == plain:
        raise UserError(f"{where}: the query makes no difference to what the model reads")
    for place in range(size):
        changed = [*passages[:place], _passage(place, "another"), *passages[place + 1 :]]
        if ids(query, changed) == plain:
            raise UserError(f"{where}: passage {place + 1} makes no difference to what the model reads")


def _passage(place: int, last: str) -> Passage:
    return Passage(str(place), " ".join([f"passage {place}"] * (WORDS // 2) + [last]))
