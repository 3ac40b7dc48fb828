import re
from pathlib import Path

import pytest
import yaml

from layerrank.collections import entries
from layerrank.core.errors import UserError
from layerrank.study import config as study_config
from layerrank.study import load as studies
from layerrank.study import systems

BASE = Path(__file__).parents[2]


@pytest.fixture
def config():
    return yaml.safe_load((BASE / "config/config.yaml").read_text())


def load(config):
    return studies.load_study(config, BASE)


def test_defaults_are_filled_at_any_depth():
    study = load({"collections": ["pocket"], "models": ["smollm2-135m-instruct"]})
    assert study.config["first_stage"] == {"depth": 100, "k1": 0.9, "b": 0.4, "check": "warn"}
    assert study.config["catalogues"]["models"] == ["config/models.yaml"]
    assert list(systems.systems(study, "base")) == ["listwise-attention-all"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colections": ["pocket"]}, ["key colections", "did you mean 'collections'"]),
        ({"first_stage": {"depht": 3}}, ["key first_stage.depht", "did you mean 'depth'"]),
        ({"first_stage": {"depth": 0}}, ["first_stage.depth", "0 is less than the minimum of 1"]),
        (
            {
                "first_stage": {"depth": 1},
                "variants": {"grid": {"depth": 1}},
                "layers": {"selection": {"label-free": {"rule": "label-free"}}},
            },
            ["first_stage.depth: 1", "layers.selection.label-free", "two candidates"],
        ),
        (
            {
                "variants": {"one": {"depth": 1}},
                "heads": {"variant": "one", "selection": {"label-free": {"rule": "label-free"}}},
            },
            ["variants.one.depth: 1", "heads.selection.label-free", "two candidates"],
        ),
        ({"first_stage": {"depth": "many"}}, ["first_stage.depth", "'many' is not of type 'integer'"]),
        ({"collections": ["pockt"]}, ["collections", "'pockt'", "did you mean 'pocket'"]),
        ({"models": ["gpt"]}, ["models", "'gpt'", "smollm2-135m-instruct"]),
        ({"collections": []}, ["collections"]),
        ({"variants": {"deep": {"depth": 500}}}, ["variants.deep.depth", "500", "first_stage.depth"]),
        ({"variants": {"none": {}}}, ["variants.none"]),
        ({"systems": {"windows": ["10..13"]}}, ["systems.windows", "10..13"]),
        ({"systems": {"windows": ["selected-pek"]}}, ["systems.windows", "'pek'", "did you mean 'peak'"]),
        ({"layers": {"strategy": "masked"}}, ["layers.strategy", "'masked'", "query_last"]),
        ({"variants": {"x": {"strategy": "y"}}}, ["variants.x.strategy", "'y'", "query_last"]),
        ({"systems": {"variant": "small"}}, ["systems.variant", "'small'"]),
        ({"systems": {"frameworks": {"triplewise": {}}}}, ["systems.frameworks.triplewise", "pointwise"]),
        ({"systems": {"frameworks": {"setwise": {"childen": 2}}}}, ["systems.frameworks.setwise", "'childen'"]),
        ({"systems": {"mechanisms": {"magic": {}}}}, ["systems.mechanisms.magic", "likelihood"]),
        ({"systems": {"cells": {"setwise-atention": False}}}, ["systems.cells", "did you mean 'setwise-attention'"]),
        ({"evaluation": {"baseline": "bm26"}}, ["evaluation.baseline", "did you mean 'bm25'"]),
        ({"evaluation": {"measures": ["nDGC@10"]}}, ["evaluation.measures", "nDGC@10"]),
        ({"layers": {"selection": {"given": {"rule": "fixed"}}}}, ["layers.selection.given", "'window' is missing"]),
        ({"layers": {"selection": {"x": {"rule": "peak", "folds": 1}}}}, ["selection.x.folds", "1", "minimum of 2"]),
        ({"layers": {"selection": {"x": {"rule": "peak", "windth": 1}}}}, ["selection.x.windth", "mean 'width'"]),
        ({"layers": {"selection": {"x": {"rule": "best", "criterion": "y"}}}}, ["selection.x.criterion", "folds"]),
        ({"layers": {"selection": {"x": {"rule": "peek"}}}}, ["selection.x.rule", "'peek'", "label-free"]),
        (
            {"layers": {"selection": {"away": {"rule": "best", "chosen_on": "others"}}}},
            ["selection.away.chosen_on", "two collections"],
        ),
        (
            {"define": {"collections": {"pocket": {"source": "beir", "path": None}}}},
            ["collections entry pocket", "path"],
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(config, change, words):
    from snakemake.utils import update_config

    update_config(config, change)
    with pytest.raises(UserError) as caught:
        load(config)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.fixture
def four(config):
    """A study of two collections, two models, and the pairs but one."""
    config["define"] = {
        "collections": {name: {"source": "beir", "path": name, "instruction": "IE"} for name in ("long", "short")},
        "models": {
            name: {"source": "folder", "path": name, "family": "chatml", "dtype": "float32"} for name in ("a", "b")
        },
    }
    config |= {"collections": ["long", "short"], "models": ["a", "b"]}
    config["leave_out"] = [{"collections": ["long"], "models": ["b"], "because": "prompts beyond its context"}]
    return config


def test_a_pair_can_be_left_out(four):
    study = load(four)
    assert study.pairs == (("long", "a"), ("short", "a"), ("short", "b"))
    assert study.collections_of("b") == ["short"]


def test_a_window_from_elsewhere_is_chosen_on_what_the_model_runs_on(four):
    four["collections"].append("third")
    four["define"]["collections"]["third"] = four["define"]["collections"]["long"]
    four["layers"]["selection"]["away"] = {"rule": "best", "chosen_on": "others"}
    four["layers"]["selection"]["listed"] = {"rule": "best", "chosen_on": ["third", "short"]}
    study = load(four)
    assert study_config.chosen_on(study, "layers", "away", "short", "a") == ["long", "third"]
    assert study_config.chosen_on(study, "layers", "away", "short", "b") == ["third"]
    assert study_config.chosen_on(study, "layers", "listed", "short", "a") == ["third"]
    assert study_config.chosen_on(study, "layers", "peak", "long", "a") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"collections": ["lnog"]}, ["leave_out.0.collections", "did you mean 'long'"]),
        ({"models": ["c"]}, ["leave_out.0.models", "'c'", "known: a, b"]),
        ({"models": ["a", "b"]}, ["leave_out", "nothing of 'long'", "collections"]),
        ({"collections": ["long", "short"]}, ["leave_out", "nothing of 'b'", "models"]),
    ],
)
def test_what_is_left_out_must_be_there_and_leave_something(four, change, words):
    four["leave_out"][0] |= change
    with pytest.raises(UserError) as caught:
        load(four)
    for word in words:
        assert word in str(caught.value)


def test_a_rule_without_any_other_collection_left_is_an_error(four):
    four["layers"]["selection"]["away"] = {"rule": "best", "chosen_on": "others"}
    with pytest.raises(
        UserError, match=r"selection\.away\.chosen_on: no other collection is left of it for 'b' on 'short'"
    ):
        load(four)


def test_a_collection_can_be_cut_shorter_for_every_model(four):
    four["passages"]["shorter"] = {"long": 60}
    four["variants"]["brief"] = {"words": 20}
    study = load(four)
    words = {
        (name, v): study_config.passage_words(study, name, v) for name in ("long", "short") for v in ("base", "brief")
    }
    assert words == {("long", "base"): 60, ("long", "brief"): 20, ("short", "base"): 100, ("short", "brief"): 20}
    four["passages"]["shorter"] = {"lnog": 60}
    with pytest.raises(UserError, match=r"passages\.shorter: unknown name 'lnog', did you mean 'long'"):
        load(four)


def test_every_way_to_sort_pairs_can_be_said(config):
    config["systems"]["frameworks"]["pairwise"] = {"sort": "allpair"}
    runs = systems.systems(load(config), "grid")
    assert runs["pairwise-likelihood"].framework_settings == {"sort": "allpair"}


def test_null_is_no_entry(config):
    config["variants"]["order-reversed"] = None
    with pytest.raises(UserError, match=r"variants\.order-reversed: None is not of type 'object'"):
        load(config)


def test_the_grid_has_every_cell_once_and_knows_what_the_signal_answers(config):
    cells = systems.systems(load(config), "grid")
    pairs = {(cell.framework, cell.mechanism) for cell in cells.values()}
    assert len(pairs) == 12
    assert cells["listwise-attention-all"].cached
    assert not cells["setwise-attention-all"].cached
    assert cells["setwise-generation"].window is None
    assert cells["pairwise-attention-selected-peak"].window == "selected-peak"


def test_a_sliding_listwise_attention_cell_is_not_cached(config):
    config["systems"]["frameworks"]["sliding"] = {"framework": "listwise", "size": 4, "step": 2}
    cells = systems.systems(load(config), "grid")
    assert not cells["sliding-attention-all"].cached
    assert cells["sliding-attention-all"].framework == "listwise"


def test_cells_can_be_left_out_or_changed(config):
    config["systems"]["cells"] = {
        "pointwise-generation": False,
        "setwise-likelihood": {"framework": {"c": 9}},
    }
    cells = systems.systems(load(config), "grid")
    assert "pointwise-generation" not in cells
    assert cells["setwise-likelihood"].framework_settings["c"] == 9
    assert cells["setwise-generation"].framework_settings["c"] == 2


def test_a_variant_of_the_strategy_alone_shares_the_stored_signal(config):
    config["heads"] = {}  # which the embedded study holds against windows in a variant
    config["variants"] = {
        "grid": {"queries": 8},
        "last": {"strategy": "query_last"},
        "last-grid": {"queries": 8, "strategy": "query_last"},
        "short": {"words": 20, "strategy": "query_last"},
    }
    study = load(config)
    shared = {name: study_config.signal_variant(study, name) for name in study.config["variants"]}
    assert shared == {"grid": "grid", "last": "base", "last-grid": "grid", "short": "short"}
    assert systems.systems(study, "last")["listwise-attention-all"].mechanism_settings["strategy"] == "query_last"


def test_every_key_of_every_schema_has_a_description():
    def walk(schema, path):
        for key, inner in schema.get("properties", {}).items():
            assert inner.get("description") or "$ref" in inner, f"{path}.{key}"
            walk(inner, f"{path}.{key}")
        for side in ("additionalProperties", "items"):
            if isinstance(schema.get(side), dict):
                walk(schema[side], f"{path}.*")

    for path in [*sorted((BASE / "workflow/schemas").glob("*.yaml")), entries.PATH]:
        walk(yaml.safe_load(path.read_text()), path.name)


def schemas():
    """Every part of every schema, with where it stands."""

    def walk(part, where):
        if isinstance(part, dict):
            yield where, part
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(inner, dict | list):
                yield from walk(inner, f"{where}.{key}")

    for path in [*sorted((BASE / "workflow/schemas").glob("*.yaml")), entries.PATH]:
        yield from walk(yaml.safe_load(path.read_text()), path.name)


def test_a_choice_between_schemas_says_in_words_what_is_allowed():
    """A validator's own words for these are "not valid under any of the given schemas" and "False schema"."""
    for where, part in schemas():
        if {"oneOf", "anyOf", "not"} & part.keys() and not where.endswith((".if", ".if.not")):
            assert part.get("words"), where
        for key, inner in part.get("properties", {}).items():
            assert inner is not False, f"{where}.{key}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"explorer": {"chosen": "bset"}}, "explorer.chosen: 'bset': changed, unstable, worst, all, or a list of ids"),
        ({"explorer": {"chosen": 3}}, "explorer.chosen: 3: changed,"),
        ({"systems": {"cells": {"setwise-likelihood": True}}}, "setwise-likelihood: True: false leaves the cell out"),
        ({"systems": {"frameworks": {"listwise": {"size": [2]}}}}, "listwise.size: [2]: a number of passages"),
        ({"title": 7}, "title: 7 (YAML reads it as a number: quote it): one line of text"),
        ({"title": ["a"]}, "title: ['a']: one line of text"),
    ],
)
def test_advice_to_quote_is_for_what_is_a_text(config, change, said):
    from snakemake.utils import update_config

    update_config(config, change)
    with pytest.raises(UserError, match=re.escape(said)):
        load(config)
