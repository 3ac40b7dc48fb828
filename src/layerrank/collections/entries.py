"""The keys of a collection's entry in a catalogue, as schema.yaml beside this file has them: what each source takes.

Two words there are ours: `sources` lists the sources that a key is for (all of them where it is absent), and
`prepared: false` marks what a prepared collection does not depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from layerrank.core.errors import UserError
from layerrank.core.reading import shown

PATH = Path(__file__).with_name("schema.yaml")
SCHEMA: Mapping[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
"""The schema of an entry."""

_KEYS: Mapping[str, Mapping[str, Any]] = SCHEMA["properties"]

COMMON = frozenset(key for key, schema in _KEYS.items() if "sources" not in schema)
"""Keys that an entry of any source may have."""

BESIDES = frozenset(key for key, schema in _KEYS.items() if not schema.get("prepared", True))
"""Keys among them that a prepared collection does not depend on."""

DEFAULTS: Mapping[str, Any] = {
    key: schema.get("default") for key, schema in _KEYS.items() if key in COMMON - BESIDES - {"source", "strict"}
}
"""The settings that a prepared collection records, with their defaults."""


def own_keys(kind: str) -> frozenset[str]:
    """The keys of a source beside those that all have."""
    return frozenset(key for key, schema in _KEYS.items() if kind in schema.get("sources", ()))


def needed_keys(kind: str) -> list[str]:
    """Those of them that an entry must have."""
    parts = (part for part in SCHEMA["allOf"] if part["if"]["properties"]["source"]["const"] == kind)
    return sorted(key for part in parts for key in part["then"]["required"])


def check_keys(kind: str, entry: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Raise `UserError` for a key that is not known, and for one that the source needs and that is missing."""
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; source {kind} takes {', '.join(sorted(known))}")
    for key in needed_keys(kind):
        if key not in entry:
            raise UserError(f"{where}: key {key!r} is missing; source {kind} needs it")


def check_values(entry: Mapping[str, Any], where: str) -> None:
    """Raise `UserError` for the first value that is of another kind than its key takes."""
    import jsonschema

    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(entry):
        key = ".".join(map(str, error.absolute_path))
        allowed = " ".join(str(error.message).split())
        if error.validator == "enum":
            allowed = f"allowed are {', '.join(map(str, error.validator_value))}"
        raise UserError(f"{where}: {key} is {shown(error.instance)}; {allowed}" if key else f"{where}: {allowed}")
