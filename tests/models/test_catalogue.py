"""The catalogue of models, against its schema."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from layerrank.prompts.icr import FAMILIES, QUERY_SPANS
from layerrank.study.schema import entry_schema

BASE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema():
    return entry_schema(BASE, "models")


def entries():
    return yaml.safe_load((BASE / "config/models.yaml").read_text())


@pytest.mark.parametrize("name", sorted(entries()))
def test_entries_are_valid(schema, name):
    jsonschema.Draft202012Validator(schema).validate(entries()[name])


def test_schema_knows_the_families_and_describes_every_key(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$defs"]["family"]["enum"] == list(FAMILIES)
    assert schema["properties"]["query_span"]["enum"] == list(QUERY_SPANS)

    def described(properties):
        for key, value in properties.items():
            assert value.get("description"), key
            described(value.get("properties", {}))

    described(schema["properties"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"revison": "x"}, "revison"),
        ({"revision": "main"}, "main"),
        ({"source": "hub", "repo": None}, "repo"),
        ({"family": "vicuna"}, "vicuna"),
        ({"rope_scaling": {"type": "yarn"}}, "type"),
        ({"adapter": {"source": "hub", "repo": "a/b"}}, "revision"),
    ],
)
def test_mistakes_are_found(schema, change, message):
    entry = {**entries()["qwen3-0.6b"], **change}
    entry = {key: value for key, value in entry.items() if value is not None}
    with pytest.raises(jsonschema.ValidationError, match=message):
        jsonschema.Draft202012Validator(schema).validate(entry)
