"""Passwords and tokens in addresses: never in a log, an error, a manifest or metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]+:/{1,3})[^\s/?#'\"<>]+@", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<key>[?&](?:[\w-]*token|api[_-]?key|key|password|passwd|pwd|secret|sig|[\w-]*signature|[\w-]*credential)=)"
    r"[^&\s#'\"<>]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text, with user and password of each address in it, and the values of its secret parameters, as `***`."""
    return _QUERY.sub(rf"\g<key>{MASK}", _USER.sub(rf"\g<scheme>{MASK}@", text))


def masked_values(value: Any) -> Any:
    """A document with every text in it masked."""
    if isinstance(value, Mapping):
        return {key: masked_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_values(inner) for inner in value]
    return masked(value) if isinstance(value, str) else value
