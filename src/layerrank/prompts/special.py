"""Which tokens of a tokenizer are special: what no passage and no query may forge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Tokens:
    """Token ids with the characters [begin, end) that each one covers."""

    ids: list[int]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


def special_tokens(tokenizer: Any) -> Mapping[int, str]:
    """Return id → text of every special token.

    `all_special_tokens` names only those with a role (start, end, padding …); Llama 3's `<|eot_id|>` or
    `<|start_header_id|>` have none, and are special all the same.
    """
    return {
        **dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)),
        **{index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special},
    }


def tokenised(tokenizer: Any, text: str, offset: int = 0, **options: Any) -> Tokens:
    """Tokens of a text that begins at character `offset`; by default none is added that it does not hold."""
    encoding = tokenizer(
        text, **{"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False, **options}
    )
    offsets = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2) + offset
    return Tokens(list(encoding["input_ids"]), offsets[:, 0], offsets[:, 1])


def keeping(tokenizer: Any, text: str, marks: Iterable[tuple[int, int, int]]) -> Tokens:
    """Tokens of a text in which nothing is special but `marks`: (token, begin, end), in their order in the text."""
    parts: list[Tokens] = []
    at = 0
    for token, begin, end in [*marks, (None, len(text), len(text))]:
        if begin > at:
            parts.append(tokenised(tokenizer, text[at:begin], at, split_special_tokens=True))
        if token is not None:
            parts.append(Tokens([token], np.array([begin]), np.array([end])))
        at = max(at, end)
    return Tokens(
        [token for part in parts for token in part.ids],
        np.concatenate([part.begins for part in parts]),
        np.concatenate([part.ends for part in parts]),
    )
