"""How sets of heads are written and read: ours, published ones, and the files of others."""

from __future__ import annotations

import json

import pytest

from layerrank.core.errors import UserError
from layerrank.core.heads import (
    ChosenHeads,
    HeadSelection,
    check_published,
    heads_named,
    parse_heads,
    published_heads,
    read_head_selection,
    read_heads,
    write_head_selection,
)

SELECTION = HeadSelection(
    *("eight", "core", {"rule": "core", "tau": 0.1, "top": 2}, "cross-validation", False, 4, 3, 2, 42, "pocket"),
    ("pocket",),
    (ChosenHeads(((3, 2), (0, 1)), ("q1",), "a"), ChosenHeads(((2, 0), (0, 1)), ("q2", "q3"), "b")),
    ((0, 1), (1, 1)),
)


@pytest.mark.parametrize(
    "value", ["13-18,14-1", " 13-18 , 14-1", ["13-18", "14-1"], [[13, 18], [14, 1]], [(13, 18), "14-1"]]
)
def test_heads_as_people_write_them(value):
    assert parse_heads(value) == ((13, 18), (14, 1))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ([], "the set is empty"),
        ("", "LAYER-HEAD"),
        ("13", "LAYER-HEAD"),
        ([[1.0, 2]], "whole numbers"),
        ([[1.5, 2]], "whole numbers"),
        ([[True, 2]], "whole numbers"),
        ([[-1, 2]], "whole numbers"),
        ([[1, 2, 3]], "LAYER-HEAD"),
        (["1_0-2"], "LAYER-HEAD"),
        (["١-2"], "LAYER-HEAD"),
        ("1-2,1-2", "1-2 comes twice"),
        ("4-0", "layers 0 to 3"),
        ("0-3", "heads 0 to 2"),
        (7, "expected a list"),
        (None, "expected a list"),
        ({"1-2": 0.5}, "expected a list"),
    ],
)
def test_what_is_no_set_of_heads(value, line):
    with pytest.raises(UserError, match=line):
        parse_heads(value, 4, 3)


def test_published_sets_are_whole():
    for name, published in published_heads().items():
        assert len(published.heads) == (8 if name.startswith("core-") else 16)
        assert published.model.count("/") == 1
    by_layer = [layer for layer, _ in published_heads()["qrhead-qwen2.5-7b"].heads]
    assert {layer: by_layer.count(layer) for layer in set(by_layer)} == {15: 1, 16: 8, 17: 1, 18: 1, 19: 4, 20: 1}
    assert heads_named("core-llama-3.1-8b", 2) == ((13, 18), (13, 1))


@pytest.mark.parametrize(
    ("text", "top", "found"),
    [
        ('attn_head_set: "14-22,13-16,14-28" # top16\nmodel_base_class: "x"', None, ((14, 22), (13, 16), (14, 28))),
        ('{"0-0": 0.1, "13-18": 0.9, "2-1": 0.5, "1-7": 0.5}', 3, ((13, 18), (1, 7), (2, 1))),
        ('["13-18", [14, 1]]', None, ((13, 18), (14, 1))),
    ],
)
def test_files_of_others(tmp_path, text, top, found):
    (tmp_path / "heads").write_text(text)
    assert read_heads(tmp_path / "heads", top) == found == heads_named(tmp_path / "heads", top)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"0-0": 0.1, "1-0": 0.2}', "scores of 2 heads; say how many"),
        ("{}", "holds no set"),
        ("7", "holds no set"),
        ("attn_head_set: [1]", "LAYER-HEAD"),
        ("a: [", "neither JSON nor YAML"),
    ],
)
def test_files_that_hold_none(tmp_path, text, line):
    (tmp_path / "heads").write_text(text)
    with pytest.raises(UserError, match=line):
        read_heads(tmp_path / "heads")


def test_an_unknown_name_lists_the_published_ones():
    with pytest.raises(UserError, match="no published set; those are core-llama"):
        heads_named("core-gpt")


@pytest.mark.parametrize(
    ("value", "repo"),
    [
        ("qrhead-qwen3-8b", "Qwen/Qwen3-8B"),
        ("qrhead-qwen3-8b", None),
        ("21-31,21-18", "Qwen/Qwen3-4B"),
        ([[21, 31]], "Qwen/Qwen3-4B"),
    ],
)
def test_a_published_set_is_taken_for_its_model_and_others_for_any(value, repo):
    check_published(value, repo)


def test_a_published_set_is_refused_for_another_model():
    with pytest.raises(UserError, match="'qrhead-qwen3-8b': they are of Qwen/Qwen3-8B, not of Qwen/Qwen3-4B"):
        check_published("qrhead-qwen3-8b", "Qwen/Qwen3-4B")


def test_a_selection_comes_back(tmp_path):
    write_head_selection(tmp_path / "eight.json", SELECTION)
    assert read_head_selection(tmp_path / "eight.json") == SELECTION
    assert SELECTION.of(["q2", "new"]) == {"q2": ((2, 0), (0, 1)), "new": ((0, 1), (1, 1))}
    assert SELECTION.last_layer == 3
    assert read_heads(tmp_path / "eight.json") == ((0, 1), (1, 1))
    document = json.loads((tmp_path / "eight.json").read_text())
    for change in ({"default": ["4-0"]}, {"sets": [{}]}, {"layers": None}):
        (tmp_path / "bad.json").write_text(json.dumps(document | change))
        with pytest.raises(UserError, match=r"bad.json: not a file of chosen heads"):
            read_head_selection(tmp_path / "bad.json")
