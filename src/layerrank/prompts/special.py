"""Which tokens of a tokenizer are special: what no passage and no query may forge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def special_tokens(tokenizer: Any) -> Mapping[int, str]:
    """Return id → text of every special token.

    `all_special_tokens` names only those with a role (start, end, padding …); Llama 3's `<|eot_id|>` or
    `<|start_header_id|>` have none, and are special all the same.
    """
    return {
        **dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)),
        **{index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special},
    }
