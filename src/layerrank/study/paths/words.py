"""Words that rules hand on: of command lines, of settings as parameters, and patterns of wildcards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

NOTHING = "(?!)"
"""A pattern that nothing is like."""


def as_json(value: Any) -> str:
    """A setting as one word, with sorted keys, so that equal settings are equal parameters."""
    return json.dumps(value, sort_keys=True)


def without(entry: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The entry but for these keys."""
    return {key: value for key, value in entry.items() if key not in keys}


def named(names: Iterable[str], paths: Iterable[str]) -> list[str]:
    """`name=path` of each."""
    return [f"{name}={path}" for name, path in zip(names, paths, strict=True)]


def flags(values: Mapping[str, Any]) -> list[str]:
    """`--query-span VALUE` of each; a value None says nothing."""
    return [
        word
        for key, value in sorted(values.items())
        if value is not None
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]


def one_of(names: Iterable[str]) -> str:
    """A pattern of these names, for a wildcard."""
    found = "|".join(re.escape(name) for name in names)
    return f"(?:{found})" if found else NOTHING


def in_variants(names: Mapping[str, Iterable[str]]) -> str:
    """A pattern of names, each after its own variant in a path."""
    each = [f"(?<=/{variant}/){one_of(own)}" for variant, own in names.items() if own]
    return f"(?:{'|'.join(each)})" if each else NOTHING
