"""A study against its schemas: defaults filled in, text taken for the number that it is, what is wrong in one line."""

from __future__ import annotations

import copy
import datetime
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from layerrank.attention.scores import STRATEGIES
from layerrank.collections import entries
from layerrank.core.errors import UserError
from layerrank.core.secrets import MASK, masked
from layerrank.first_stage.settings import SETTINGS as BM25
from layerrank.layers.head_rules import head_rule_schema
from layerrank.layers.rules import rule_schema
from layerrank.prompts.icr import FAMILIES
from layerrank.ranking.cells import MECHANISMS
from layerrank.ranking.frameworks import KINDS
from layerrank.study.config import Entry
from layerrank.study.reading import number_of, read_mapping

KINDS_OF = ("type", "enum", "const")
WORDS = {"true": True, "false": False, "null": None}
SHOWN, LISTED = 200, 40
HALF = re.compile("[\ud800-\udfff]")


def study_schema(base: Path) -> Entry:
    """The schema of a study: workflow/schemas/config.schema.yaml, and in its `$defs` what the library's tables hold."""
    return _with_tables(read_mapping(base / "workflow" / "schemas" / "config.schema.yaml"))


def entry_schema(base: Path, kind: str) -> Entry:
    """The schema of a catalogue's entry: of `collections`, which stands with their sources, or of `models`."""
    if kind == "collections":
        return _with_tables(dict(entries.SCHEMA))
    return _with_tables(read_mapping(base / "workflow" / "schemas" / f"{kind}.schema.yaml"))


def _with_tables(schema: Entry) -> Entry:
    tables = {
        **BM25,
        "rule": rule_schema(),
        "head_rule": head_rule_schema(),
        "strategy": {"enum": list(STRATEGIES)},
        "family": {"enum": list(FAMILIES)},
        "framework": {"enum": list(KINDS)},
        "mechanism": {"enum": list(MECHANISMS)},
    }
    return schema | {"$defs": schema.get("$defs", {}) | tables}


def validated(value: Any, schema: Entry, what: str) -> Any:
    """`value` with the schema's defaults, at any depth; `UserError` names the first key that is wrong.

    Where the schema takes a number, a truth value or null and no text, a text that spells one is taken for it: what
    `--config` holds below its first level arrives as text.
    """
    _check_plain(value, what, ())
    walk = _Walk(schema)
    filled = walk.filled(value, schema)
    errors = sorted(walk.validator.iter_errors(filled), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        raise UserError(masked(_one_line(jsonschema.exceptions.best_match(errors), what)))
    return filled


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean …`, where a known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}" if close else ""


def check_known(name: str, known: Iterable[str], where: str) -> None:
    """Raise `UserError` with what is known, unless `name` is."""
    names = sorted(known)
    if name not in names:
        listed = ", ".join(names) if len(names) <= LISTED else f"{len(names)} names"
        raise UserError(f"{where}: unknown name {shown(name)}{nearest(name, names)}; known: {listed}")


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _check_plain(value: Any, what: str, path: tuple[str, ...]) -> None:
    """Refuse what no schema could speak of: names that are no text, numbers that are not finite."""
    where = f"{what} key {'.'.join(path)}" if path else what
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UserError(f"{where}: the name {key} is no text ({_kind(key)}): quote it")
            _check_plain(inner, what, (*path, key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _check_plain(inner, what, (*path, str(place)))
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {value} is no number to compute with")
    elif isinstance(value, str) and (half := HALF.search(value)):
        raise UserError(f"{where}: {half[0]!a} is half a character, which no file can hold")


def _kind(value: Any) -> str:
    kinds = {bool: "a truth value", int: "a number", float: "a number", type(None): "null", datetime.date: "a date"}
    return f"YAML reads it as {kinds.get(type(value), type(value).__name__)}"


class _Walk:
    """Fills in defaults and types beside a schema whose references it follows."""

    def __init__(self, schema: Entry) -> None:
        self.schema = schema
        self.validator = jsonschema.Draft202012Validator(schema)

    def filled(self, value: Any, schema: Any) -> Any:
        options = list(self._options(value, schema))
        if isinstance(value, Mapping):
            found = dict(value)
            for option in options:
                for key, inner in option.get("properties", {}).items():
                    default = self._default(inner)
                    if key not in found and default is not None:
                        found[key] = copy.deepcopy(default["default"])
            return {key: self._below(key, inner, options) for key, inner in found.items()}
        if isinstance(value, list | tuple):
            items = next((option["items"] for option in options if isinstance(option.get("items"), Mapping)), None)
            return [self.filled(inner, items) for inner in value] if items is not None else list(value)
        return self._typed(value, schema)

    def _below(self, key: str, value: Any, options: list[Entry]) -> Any:
        for option in options:
            inner = option.get("properties", {}).get(key, option.get("additionalProperties"))
            if isinstance(inner, Mapping):
                return self.filled(value, inner)
        return value

    def _options(self, value: Any, schema: Any) -> Iterator[Entry]:
        """The schema, and those of its parts that speak of this value."""
        if not isinstance(schema, Mapping):
            return
        if "$ref" in schema:
            yield from self._options(value, self._resolved(schema["$ref"]))
        yield dict(schema)
        for part in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
            yield from self._options(value, part)
        for part in schema.get("allOf", ()):
            if "if" not in part or self._valid(value, part["if"]):
                yield from self._options(value, part.get("then", part))

    def _default(self, schema: Any) -> Entry | None:
        if not isinstance(schema, Mapping):
            return None
        if "default" in schema:
            return dict(schema)
        return self._default(self._resolved(schema["$ref"])) if "$ref" in schema else None

    def _resolved(self, reference: str) -> Any:
        found: Any = self.schema
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found

    def _valid(self, value: Any, schema: Any) -> bool:
        return bool(self.validator.evolve(schema=schema).is_valid(value))

    def _typed(self, value: Any, schema: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            kinds = self._kinds(schema)
            return int(value) if self._valid(1, kinds) and not self._valid(0.5, kinds) else value
        if not isinstance(value, str) or not isinstance(schema, Mapping) or self._valid(value, schema):
            return value
        word = WORDS[value.strip()] if value.strip() in WORDS else number_of(value.strip())
        spelt = word is not None or value.strip() == "null"
        return word if spelt and self._valid(word, self._kinds(schema)) else value

    def _kinds(self, schema: Any) -> Entry:
        """What kinds of values a schema takes, whatever their bounds."""
        said = [{key: option[key] for key in KINDS_OF if key in option} for option in self._options(None, schema)]
        return {"anyOf": [kind for kind in said if kind] or [{}]}


def _one_line(error: jsonschema.ValidationError, what: str) -> str:
    """What is wrong, as `config key first_stage.depht: …`."""
    path = ".".join(str(part) for part in error.absolute_path)
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        allowed = sorted(schema.get("properties", {}))
        unknown = sorted(str(key) for key in error.instance.keys() - set(allowed))[0]
        full = f"{path}.{unknown}" if path else unknown
        return f"{what} key {full}: no such key{nearest(unknown, allowed)}; known: {', '.join(allowed)}"
    where = f"{what} key {path}" if path else what
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: {missing[0]!r} is missing"
    if "words" in schema:
        quote = schema.get("type") == "string" and not isinstance(error.instance, str | list | dict)
        read = f" ({_kind(error.instance)}: quote it)" if quote else ""
        return f"{where}: {MASK if schema.get('secret') else shown(error.instance)}{read}: {schema['words']}"
    message = " ".join(error.message.split())
    if error.instance is False and "off" in schema.get("enum", ()):
        message += " (YAML reads off as a truth value: quote it)"
    return f"{where}: {message if len(message) <= 2 * SHOWN else message[: 2 * SHOWN] + '…'}"
