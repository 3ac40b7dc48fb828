"""In-context re-ranking's prompt (semantics.md §1): text → tokens → exact spans.

The whole prompt is tokenised once with the query and once with `N/A` in its place; spans are read off character offsets
of that one tokenisation, so they are right for any tokenizer, however it splits separators in context.

Passages and queries cannot forge special tokens. Where their text contains the name of one (`<|im_end|>`, say), what
lies between the template's own special tokens is tokenised with special tokens switched off. On any other text this
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.prompts.special import Tokens, keeping, special_tokens, tokenised
from layerrank.prompts.tree import Tree

OPENING = " Here are some paragraphs:"
INSTRUCTIONS: Mapping[str, str] = {
    "QA": "Please answer the following question based on the information in the paragraphs above.",
    "IE": "Please find information that are relevant to the following query in the paragraphs above.",
}
CONTENT_FREE = "N/A"
QUERY_SPANS = ("instruction_to_end", "query_only")


@dataclass(frozen=True, slots=True)
class Family:
    """The strings that a model's chat format puts around the prompt, and the span whose attention is read."""

    name: str
    prefix: str
    suffix: str
    separator: str
    bos: bool
    query_span: str


def _families() -> dict[str, Family]:
    text = resources.files("layerrank.prompts").joinpath("families.yaml").read_text(encoding="utf-8")
    return {name: Family(name=name, **fields) for name, fields in yaml.safe_load(text).items()}


FAMILIES: Mapping[str, Family] = _families()


@dataclass(frozen=True, eq=False)
class IcrPrompt:
    """One query over N passages, as tokens.

    Attributes:
        qid: the query.
        pids: passages in input order, the first stage's best first.
        tree: the passages as prefix, the query and `N/A` as its two branches; both start at the same position.
        spans: int[N, 2], [begin, end) of each passage's tokens in the prefix, `[i] ` and title included; input order.
        rows: for the query and for `N/A`: [begin, end) of the span whose attention is read, within its branch.
        prompt_tokens: tokens of the whole prompt with the query, of the longer one if `N/A` makes it longer.
    """

    qid: str
    pids: tuple[str, ...]
    tree: Tree
    spans: npt.NDArray[np.int64]
    rows: tuple[tuple[int, int], tuple[int, int]]
    prompt_tokens: int


def family_named(name: str) -> Family:
    """Return the family; `UserError` lists the known ones."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UserError(f"prompt family {name!r}: one of {', '.join(FAMILIES)}") from None


def _checked(family: str | Family, instruction: str, query_span: str | None) -> tuple[Family, str]:
    """The family, and how its query's span is taken; `UserError` lists what is known where a name is not."""
    found = family_named(family) if isinstance(family, str) else family
    span_rule = found.query_span if query_span is None else query_span
    if span_rule not in QUERY_SPANS:
        raise UserError(f"query_span {span_rule!r}: one of {', '.join(QUERY_SPANS)}")
    if instruction not in INSTRUCTIONS:
        raise UserError(f"instruction {instruction!r}: one of {', '.join(INSTRUCTIONS)}")
    return found, span_rule


def build_icr(
    tokenizer: Any,
    family: str | Family,
    query: Query,
    passages: Sequence[Passage],
    instruction: str = "IE",
    query_span: str | None = None,
) -> IcrPrompt:
    """Build the prompt of one query. `passages` come best first; the prompt shows them reversed, numbered from 1.

    Args:
        tokenizer: a fast tokenizer of transformers (it knows character offsets).
        family: name of a prompt family, or one of your own.
        query: stripped before use.
        passages: N ≥ 0 passages, texts already truncated.
        instruction: "IE" or "QA".
        query_span: overrides the family's.

    Raises:
        UserError: an unknown family, instruction or span, or a tokenizer without offsets.
    """
    family, span_rule = _checked(family, instruction, query_span)
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"tokenizer {type(tokenizer).__name__}: it has no character offsets; a fast tokenizer is needed"
        )

    shared, bounds = _shared_text(family, passages)
    tails = [_Tail.of(family, INSTRUCTIONS[instruction], text, len(shared)) for text in (query.text, CONTENT_FREE)]
    start = _start_tokens(tokenizer) if family.bos else []
    encoded = [_encode(tokenizer, shared + tail.text, len(family.prefix), tail.trusted) for tail in tails]
    spans = _spans(bounds, encoded[0])

    begins, ends = [], []
    for tail, tokens in zip(tails, encoded, strict=True):
        characters = (tail.instruction, tail.end) if span_rule == "instruction_to_end" else tail.query
        begin, end = _covering(*characters, tokens)
        begins.append(begin)
        ends.append(len(tokens.ids) if span_rule == "instruction_to_end" else end)
    branch = min(_common(encoded[0].ids, encoded[1].ids), *begins)
    if len(spans) and branch < spans.max():
        raise UserError(
            f"query {query.qid}: the tokenizer merges the last passage with what follows it; "
            f"family {family.name!r} cannot be used with this model"
        )
    branches = tuple(tokens.ids[branch:end] for tokens, end in zip(encoded, ends, strict=True))
    return IcrPrompt(
        qid=query.qid,
        pids=tuple(passage.pid for passage in passages),
        tree=Tree(start + encoded[0].ids[:branch], branches),
        spans=spans[::-1] + len(start),
        rows=(
            (begins[0] - branch, ends[0] - branch),
            (begins[1] - branch, ends[1] - branch),
        ),
        prompt_tokens=len(start) + max(len(tokens.ids) for tokens in encoded),
    )


def passage_pieces(
    tokenizer: Any,
    family: str | Family,
    query: Query,
    passages: Sequence[Passage],
    instruction: str = "IE",
) -> list[list[str]]:
    """Each passage's text as the prompt shows it (`[i] ` and title included), cut into its tokens; input order.

    A piece for each token of the passage's span in `build_icr`'s prompt: joined, they give the text. A character that
    takes several tokens stands with the first of them, and the others are empty; text that no token covers stands with
    the token after it.

    Raises:
        UserError: as `build_icr`.
    """
    family = family_named(family) if isinstance(family, str) else family
    shared, bounds = _shared_text(family, passages)
    tail = _Tail.of(family, INSTRUCTIONS[instruction], query.text, len(shared))
    tokens = _encode(tokenizer, shared + tail.text, len(family.prefix), tail.trusted)
    found = []
    for (begin, end), (first, past) in zip(bounds, _spans(bounds, tokens).tolist(), strict=True):
        cuts = np.clip(np.maximum.accumulate(tokens.ends[first:past]), begin, end).tolist()
        if cuts:
            cuts[-1] = end
        found.append([shared[a:b] for a, b in zip([begin, *cuts[:-1]], cuts, strict=True)])
    return found[::-1]


@dataclass(frozen=True)
class _Tail:
    """What follows the passages, with its places as character offsets in the whole prompt."""

    text: str
    instruction: int
    query: tuple[int, int]
    trusted: int
    end: int

    @classmethod
    def of(cls, family: Family, instruction: str, query: str, offset: int) -> _Tail:
        head = f"{instruction}{family.separator}Query:"
        asked = f" {query.strip()}"
        text = f"{head}{asked}{family.suffix}"
        begin = offset + len(head)
        return cls(text, offset, (begin, begin + len(asked)), begin + len(asked), offset + len(text))


def _shared_text(family: Family, passages: Sequence[Passage]) -> tuple[str, list[tuple[int, int]]]:
    """The prompt up to the instruction, and [begin, end) of each passage's characters, in prompt order."""
    text = family.prefix + OPENING + family.separator
    bounds = []
    for number, passage in enumerate(reversed(passages), 1):
        shown = f"[{number}] {passage.content}"
        bounds.append((len(text), len(text) + len(shown)))
        text += shown + family.separator
    return text, bounds


def _start_tokens(tokenizer: Any) -> list[int]:
    """The start token, if the tokenizer puts one before a text of its own accord."""
    added = list(tokenizer("", add_special_tokens=True)["input_ids"])
    return added[:1] if added and added[0] == tokenizer.bos_token_id else []


def _encode(tokenizer: Any, text: str, trusted_until: int, trusted_from: int) -> Tokens:
    """Tokenise a whole prompt. Special tokens count in the template alone: to `trusted_until`, from `trusted_from`."""
    tokens = tokenised(tokenizer, text)
    known = list(special_tokens(tokenizer))
    special = np.isin(np.array(tokens.ids, dtype=np.int64), known) & (tokens.ends > tokens.begins)
    forged = special & (tokens.ends > trusted_until) & (tokens.begins < trusted_from)
    if not forged.any():
        return tokens
    kept = np.flatnonzero(special & ~forged).tolist()
    return keeping(tokenizer, text, [(tokens.ids[i], int(tokens.begins[i]), int(tokens.ends[i])) for i in kept])


def _covering(begin: int, end: int, tokens: Tokens) -> tuple[int, int]:
    """[first, past) of the tokens that carry a character of [begin, end); offsets rise with the tokens."""
    first = int(np.searchsorted(np.maximum.accumulate(tokens.ends), begin, side="right"))
    past = int(np.searchsorted(np.maximum.accumulate(tokens.begins), end, side="left"))
    return first, max(first, past)


def _spans(bounds: Sequence[tuple[int, int]], tokens: Tokens) -> npt.NDArray[np.int64]:
    """int[N, 2] in prompt order. A token across two passages would count for the first."""
    spans = np.zeros((len(bounds), 2), dtype=np.int64)
    last = 0
    for index, (begin, end) in enumerate(bounds):
        first, past = _covering(begin, end, tokens)
        first = max(first, last)
        last = max(first, past)
        spans[index] = first, last
    return spans


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of tokens that two sequences share from the start."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


@dataclass(frozen=True)
class PromptSettings:
    """What shapes the prompts of a signal; `UserError` for a name that is not known."""

    family: str
    instruction: str = "IE"
    query_span: str | None = None

    def __post_init__(self) -> None:
        _checked(self.family, self.instruction, self.query_span)

    def build(self, tokenizer: Any, row: Candidates) -> IcrPrompt:
        """The prompt of one query."""
        return build_icr(tokenizer, self.family, row.query, row.passages, self.instruction, self.query_span)


def fitting_family(tokenizer: Any) -> str:
    """The first prompt family whose opening mark is in the model's chat template; `UserError` where none is."""
    from layerrank.prompts.icr import FAMILIES

    template = str(tokenizer.chat_template or "")
    for name, family in FAMILIES.items():
        if family.prefix.partition("user")[0].strip() in template:
            return name
    raise UserError(f"family: no prompt family fits the model's chat template; name one of {', '.join(FAMILIES)}")
