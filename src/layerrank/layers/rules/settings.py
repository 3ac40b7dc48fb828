"""What rules have in common, whether they choose a window or heads: their settings as a study gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import jsonschema

from layerrank.core.errors import UserError

FOLDS = 5
"""Folds of a cross-validation, unless a rule says otherwise."""

Settings = Mapping[str, Any]
Schema = Mapping[str, Any]
Sees = Literal["nothing", "signals", "judgements", "test judgements"]
"""What a rule chooses by; of `judgements` never those of a query that it chooses for, of `test judgements` those very
ones, which makes it an upper bound."""

CHOSEN_ON: Mapping[str, Schema] = {
    "chosen_on": {
        "description": "Where the choice is made: `folds` (cross-validation over queries), `others` (the study's "
        "other collections), or a list of collections.",
        "oneOf": [{"enum": ["folds", "others"]}, {"type": "array", "minItems": 1, "items": {"type": "string"}}],
        "default": "folds",
    },
    "folds": {
        "description": "Folds of the cross-validation, at most one a query; 5 where absent, or one a query where there "
        "are fewer.",
        "type": "integer",
        "minimum": 2,
    },
    "seed": {"description": "Seed of the folds.", "type": "integer", "default": 42},
    "orders": {
        "description": "`all`: by the mean over the study's `orders`, on the queries that run in all of them; without "
        "it by the base's order alone.",
        "enum": ["all"],
    },
}
"""What every rule that sees judgements takes: it chooses without those that it is judged on."""
OVER_ORDERS: Mapping[str, Schema] = {"orders": CHOSEN_ON["orders"]}


class Ruled(Protocol):
    """A kind of rule."""

    @property
    def name(self) -> str:
        """As a study writes it."""
        ...

    @property
    def settings(self) -> Mapping[str, Schema]:
        """JSON schema of each setting."""
        ...

    @property
    def required(self) -> tuple[str, ...]:
        """Settings that a study must give."""
        ...


K = TypeVar("K", bound=Ruled)


@dataclass(frozen=True)
class Rule(Generic[K]):
    """A kind with its settings, checked, with the defaults of those that are not given."""

    kind: K
    settings: Settings


def parse(given: Mapping[str, Any], kinds: Mapping[str, K], what: str) -> Rule[K]:
    """The rule that `given` names under `rule`, one of `kinds`, with the settings beside it.

    Raises `UserError` that names `what` it is a rule of, the key, the value and what is allowed.
    """
    name = given.get("rule")
    if not isinstance(name, str) or name not in kinds:
        raise UserError(f"{what} {name!r}: one of {', '.join(kinds)}")
    kind, where = kinds[name], f"{what} {name!r}"
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


def schema(kinds: Mapping[str, K]) -> dict[str, Any]:
    """JSON schema of a rule of `kinds` and its settings, as a study gives them: for each rule its own."""
    named = {
        name: {
            "properties": {"rule": True, **kind.settings},
            "required": list(kind.required),
            "additionalProperties": False,
        }
        for name, kind in kinds.items()
    }
    return {
        "description": "One rule.",
        "type": "object",
        "required": ["rule"],
        "properties": {"rule": {"description": "The rule's name; the others are its settings.", "enum": list(kinds)}},
        "allOf": [
            {"if": {"required": ["rule"], "properties": {"rule": {"const": name}}}, "then": settings}
            for name, settings in named.items()
        ],
    }


def folds_for(settings: Settings, queries: int) -> int:
    """Folds of so many queries: those of the settings, else `FOLDS` or as many as there are queries."""
    return int(settings.get("folds", min(FOLDS, queries)))
