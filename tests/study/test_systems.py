"""The table of what each variant runs."""

from pathlib import Path

import pytest

from layerrank.core.systems import ALL_LAYERS, by_mechanism, parse_system
from layerrank.study.load import load_study
from layerrank.study.systems import systems, trained

BASE = Path(__file__).parents[2]
NAMED = {"collections": ["pocket"], "models": ["smollm2-135m-instruct"], "first_stage": {"depth": 8}}


def table(of="base", **own):
    return systems(load_study(NAMED | {"systems": own, "variants": {"short": {"depth": 5}}}, BASE), of)


def test_the_whole_list_with_all_layers_is_always_there_and_first():
    for own in ({}, {"cached_windows": []}, {"cached_windows": ["L1-2", "all"]}):
        assert next(iter(table(**own))) == ALL_LAYERS
    assert list(table(cached_windows=["L1-2", "all"])) == [ALL_LAYERS, "listwise-attention-L1-2"]


GRID = {"variant": "base", "mechanisms": {"attention": {}}, "windows": ["all", "L1-2"]}


@pytest.mark.parametrize(
    ("settings", "changed", "cached"),
    [
        ({"size": 8}, {}, ["listwise-attention-all", "listwise-attention-L1-2"]),
        ({"size": "whole"}, {}, ["listwise-attention-all", "listwise-attention-L1-2"]),
        ({"size": 5}, {}, ["sliding_listwise-attention-all", "sliding_listwise-attention-L1-2"]),
        ({"size": 8, "repeats": 2}, {}, ["repeated_listwise-attention-all", "repeated_listwise-attention-L1-2"]),
        ({"size": 8}, {"query_tokens": 4}, ["cut_listwise-attention-all", "cut_listwise-attention-L1-2"]),
    ],
)
def test_listwise_attention_is_named_by_how_it_reads_the_list(settings, changed, cached):
    found = table(**GRID | {"frameworks": {"listwise": settings}, "mechanisms": {"attention": changed}})
    grid = {name: run for name, run in found.items() if name in cached}
    assert list(grid) == cached
    assert all(run.cached == name.startswith("listwise-") for name, run in grid.items())
    assert found[ALL_LAYERS].cached
    assert found[ALL_LAYERS].framework_settings == {"size": "whole"}
    assert found[ALL_LAYERS].mechanism_settings == {"strategy": "masked_NA_calibration"}


def test_a_name_means_one_thing_in_every_variant():
    own = GRID | {"frameworks": {"listwise": {"size": 5, "step": 2}}, "variant": "short"}
    base, short = table("base", **own), table("short", **own)
    assert base.keys() <= short.keys()
    assert all(base[name] == short[name] for name in base)


RULES = {"core": {"rule": "core", "top": 4}, "oracle": {"rule": "oracle", "top": 4}}
HEADS = ["listwise-attention-heads-core", "listwise-attention-heads-oracle"]


def of_heads(of="base", layers=None, where="base", **own):
    variants = {"short": {"depth": 5}, "linear": {"strategy": "NA_calibration"}}
    study = NAMED | {
        "heads": {"selection": RULES, "variant": where},
        "variants": variants,
        "systems": own,
        "layers": layers or {},
    }
    return {name: run for name, run in systems(load_study(study, BASE), of).items() if "heads" in name}


def test_chosen_heads_are_a_pass_of_the_base_and_cached_where_a_linear_strategy_reads_them():
    assert {name: run.cached for name, run in of_heads().items()} == dict.fromkeys(HEADS, False)
    assert not of_heads("short")
    assert {name: run.cached for name, run in of_heads("linear").items()} == dict.fromkeys(HEADS, True)
    linear = {"strategy": "query_last"}
    for variant in ("base", "short", "linear"):
        assert {name: run.cached for name, run in of_heads(variant, linear).items()} == dict.fromkeys(HEADS, True)
    for where in ("linear", "short"):
        assert not of_heads("base", where=where) and list(of_heads(where, where=where)) == HEADS
    assert not of_heads("short", where="short")[HEADS[0]].cached
    run = of_heads()[HEADS[0]]
    assert (run.framework_settings, run.window) == ({"size": "whole"}, "heads-core")


def test_cells_read_chosen_heads_where_a_window_would_stand():
    linear = {"mechanism": "attention", "strategy": "NA_only", "heads": [[1, 2]]}
    own = GRID | {"frameworks": {"setwise": {}, "listwise": {"size": 5}}, "windows": ["all", "heads-core"]}
    found = of_heads(**own | {"mechanisms": {"attention": {}, "linear": linear}})
    cached = {
        **dict.fromkeys(HEADS, False),
        "setwise-attention-heads-core": False,
        "setwise-linear-heads-core": False,
        "sliding_listwise-attention-heads-core": False,
    }
    assert {name: run.cached for name, run in found.items() if name in cached} == cached
    assert "heads" not in found["setwise-linear-heads-core"].mechanism_settings


def test_whole_list_attention_reads_what_the_study_says_of_attention():
    own = GRID | {
        "frameworks": {"setwise": {}, "listwise": {}},
        "mechanisms": {"attention": {"strategy": "query_last", "heads": [[1, 2]], "passage_tokens": 9}},
        "cells": {"listwise-attention": {"mechanism": {"heads": [[0, 0]]}}},
    }
    found = table(**own)
    assert found[ALL_LAYERS].mechanism_settings == {"strategy": "query_last", "heads": [[0, 0]]}
    assert found["setwise-attention-all"].mechanism_settings["heads"] == [[1, 2]]
    assert found["cut_listwise-attention-all"].mechanism_settings["passage_tokens"] == 9


def test_models_trained_to_rank_run_pointwise_and_have_a_name_of_their_own():
    own = {"bge-reranker-v2-m3": {}, "qwen3-reranker-0.6b": {"passage_tokens": 64}}
    study = load_study(NAMED | {"systems": {"trained": own}}, BASE)
    found = trained(study)
    assert list(found) == list(own) and list(study.trained) == list(own)
    assert {run.framework for run in found.values()} == {"pointwise"}
    assert [(run.mechanism, run.mechanism_settings) for run in found.values()] == [
        ("cross_encoder", {}),
        ("likelihood", {"prompt": "qwen3_reranker", "passage_tokens": 64}),
    ]
    systems_ = [parse_system(run.name) for run in found.values()]
    assert [system.label for system in systems_] == [
        "Pointwise, trained: bge-reranker-v2-m3",
        "Pointwise, trained: qwen3-reranker-0.6b",
    ]
    assert not any(system.aside or system.mechanism for system in systems_)
    assert by_mechanism([run.name for run in found.values()]) == {}
