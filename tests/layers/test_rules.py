import re
from pathlib import Path

import jsonschema
import pytest

from layerrank.core.errors import UserError
from layerrank.layers.rules import RULES, parse_rule, rule_schema

README = Path(__file__).parents[2] / "config" / "README.md"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "None.*one of .*peak"),
        ({"rule": "peek"}, "'peek'.*one of .*peak"),
        ({"rule": ["peak"]}, r"\['peak'\].*one of .*peak"),
        ({"rule": "fixed"}, "'fixed': window is missing"),
        (
            {"rule": "peak", "max_width": 2},
            "'peak': no key 'max_width'; its keys: chosen_on, folds, last_layer, orders, seed, width",
        ),
        ({"rule": "best", "folds": 1}, "'best': folds: 1 is less than the minimum of 2"),
        ({"rule": "best", "folds": True}, "'best': folds: True is not of type 'integer'"),
        ({"rule": "best", "chosen_on": 3}, "chosen_on: 3 is not valid .*`others`"),
        ({"rule": "label-free", "criterion": "taste"}, "criterion: 'taste' is not one of .*agreement"),
    ],
)
def test_a_wrong_rule_is_one_line_that_names_key_value_and_what_is_allowed(given, words):
    with pytest.raises(UserError, match=words) as caught:
        parse_rule(given)
    assert "\n" not in str(caught.value)
    assert list(jsonschema.Draft202012Validator(rule_schema()).iter_errors(given)), "the study's schema lets it pass"


def test_defaults_are_filled_in_and_nothing_else():
    assert parse_rule({"rule": "best", "max_width": 3}).settings == {
        "standard_errors": 0.0,
        "chosen_on": "folds",
        "seed": 42,
        "max_width": 3,
    }
    assert parse_rule({"rule": "oracle"}).settings == {}


def test_rules_that_see_judgements_take_what_keeps_them_from_peeking():
    for kind in RULES.values():
        assert ({"chosen_on", "folds", "seed"} <= kind.settings.keys()) == (kind.sees == "judgements"), kind.name


def test_the_documentation_has_a_row_for_each_rule_that_names_its_settings():
    page = README.read_text(encoding="utf-8").partition("\n## Heads\n")[0]  # rules of heads have names in common
    rows = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| (.*) \|$", page, re.MULTILINE))
    for name, kind in RULES.items():
        assert name in rows, f"config/README.md has no row for the rule {name!r}"
        assert set(kind.settings) <= set(re.findall(r"`(\w+)", rows[name])), name
