"""Rules that choose a window of layers: one module a rule, all in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from layerrank.core.errors import UserError
from layerrank.layers.rules import best, depth, fixed, label_free, oracle, peak
from layerrank.layers.rules.kind import Kind, Seen, Settings

__all__ = ["RULES", "Kind", "Rule", "Seen", "parse_rule", "rule_schema"]

RULES: Mapping[str, Kind] = {
    kind.name: kind for kind in (fixed.KIND, depth.KIND, peak.KIND, best.KIND, label_free.KIND, oracle.KIND)
}


@dataclass(frozen=True)
class Rule:
    """A rule with its settings, checked, with the defaults of those that are not given."""

    kind: Kind
    settings: Settings


def parse_rule(given: Mapping[str, Any]) -> Rule:
    """The rule that `given` names under `rule`, with the settings beside it.

    Raises `UserError` that names the key, the value and what is allowed.
    """
    name = given.get("rule")
    if not isinstance(name, str) or name not in RULES:
        raise UserError(f"selection rule {name!r}: one of {', '.join(RULES)}")
    kind, where = RULES[name], f"selection rule {name!r}"
    own = {key: value for key, value in given.items() if key != "rule"}
    for key, value in own.items():
        if key not in kind.settings:
            raise UserError(f"{where}: no key {key!r}; its keys: {', '.join(sorted(kind.settings))}")
        if errors := list(jsonschema.Draft202012Validator(kind.settings[key]).iter_errors(value)):
            raise UserError(f"{where}: {key}: {errors[0].message} ({kind.settings[key]['description']})")
    for key in kind.required:
        if key not in own:
            raise UserError(f"{where}: {key} is missing ({kind.settings[key]['description']})")
    defaults = {key: schema["default"] for key, schema in kind.settings.items() if "default" in schema}
    return Rule(kind, {**defaults, **own})


def rule_schema() -> dict[str, Any]:
    """JSON schema of a rule and its settings, as a study gives them: for each rule its own."""
    named = {
        name: {
            "properties": {"rule": True, **kind.settings},
            "required": list(kind.required),
            "additionalProperties": False,
        }
        for name, kind in RULES.items()
    }
    return {
        "description": "One rule.",
        "type": "object",
        "required": ["rule"],
        "properties": {"rule": {"description": "The rule's name; the others are its settings.", "enum": list(RULES)}},
        "allOf": [
            {"if": {"properties": {"rule": {"const": name}}}, "then": settings} for name, settings in named.items()
        ],
    }
