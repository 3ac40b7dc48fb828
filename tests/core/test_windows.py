"""Windows by name, and the file of a selection."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.figures import selection_of

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.heads import ChosenHeads, HeadSelection, write_head_selection
from layerrank.core.systems import parse_system, whole_list_heads, whole_list_windows
from layerrank.core.windows import (
    LayerWindow,
    by_heads,
    fixed_window,
    head_rule_of,
    heads_for,
    is_upper_bound,
    read_selection,
    rule_of,
    window_label,
    windows_for,
    write_selection,
)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_windows_name_reads_back(start, width):
    window = LayerWindow(start, start + width)
    assert fixed_window(str(window)) == LayerWindow.parse(str(window), 500) == window


@pytest.mark.parametrize("name", ["all", "selected-best", "10-13", "L10", "L13-10", "L010-13", "L1-2-3", "", "Lx-y"])
def test_a_name_that_spells_no_window(name):
    assert fixed_window(name) is None


@pytest.mark.parametrize(
    ("name", "rule", "bound", "label"),
    [
        ("all", None, False, "all layers"),
        ("L10-13", None, False, "layers 10–13"),
        ("L12-12", None, False, "layer 12"),
        ("selected-peak", "peak", False, "peak window"),
        ("selected-label-free", "label-free", False, "label-free window"),
        ("selected-oracle-wide", "oracle-wide", True, "oracle-wide window (upper bound)"),
        ("middle", None, False, "middle"),
    ],
)
def test_names_in_words(name, rule, bound, label):
    assert (rule_of(name), is_upper_bound(name), window_label(name)) == (rule, bound, label)
    assert head_rule_of(name) is None


@pytest.mark.parametrize(
    ("rule", "bound", "label"),
    [
        ("core", False, "core heads"),
        ("label-free", False, "label-free heads"),
        ("oracle", True, "oracle heads (upper bound)"),
    ],
)
def test_names_of_heads_in_a_windows_place(rule, bound, label):
    name = by_heads(rule)
    assert (head_rule_of(name), is_upper_bound(name), window_label(name)) == (rule, bound, label)
    assert rule_of(name) is None and fixed_window(name) is None
    system = parse_system(f"listwise-attention-{name}")
    assert (system.window, system.upper_bound, system.label) == (name, bound, f"Listwise attention, {label}")


def test_windows_and_heads_of_whole_list_attention_are_told_apart():
    names = ["bm25", *(f"listwise-attention-{window}" for window in ("heads-core", "all", "L1-2", "selected-best"))]
    names += ["setwise-attention-heads-core", "heads_listwise-attention-all"]
    assert whole_list_heads(names) == ["listwise-attention-heads-core"]
    assert whole_list_windows(names) == ["listwise-attention-L1-2", "listwise-attention-selected-best"]


def head_selection(rule="core", layers=8, heads=4):
    sets = (ChosenHeads(((5, 1), (2, 3)), ("q1",), "folds"), ChosenHeads(((3, 0),), ("q2", "q3"), "folds"))
    about = {"settings": {}, "chosen_by": "cross-validation", "upper_bound": False, "folds": 2, "seed": 1}
    known = {"collection": "c", "collections": ("c",), "sets": sets, "default": ((7, 3),)}
    return HeadSelection(rule, "core", layers=layers, heads=heads, **about, **known)


def test_each_query_has_its_heads_and_the_layers_that_they_span(tmp_path):
    path = tmp_path / "core.json"
    write_head_selection(path, head_selection())
    queries = ["q1", "q3", "new"]
    assert heads_for("heads-core", queries, 8, 4, path) == {
        "q1": ((5, 1), (2, 3)),
        "q3": ((3, 0),),
        "new": ((7, 3),),
    }
    spans = {"q1": LayerWindow(2, 5), "q3": LayerWindow(3, 3), "new": LayerWindow(7, 7)}
    assert windows_for("heads-core", queries, 8, path) == spans
    assert heads_for("L1-2", queries, 8, 4) is None


@pytest.mark.parametrize(
    ("spec", "layers", "heads", "line"),
    [
        ("heads-core", 9, 4, "chosen for 8 layers of 4 heads, the model has 9 layers of 4 heads"),
        ("heads-core", 8, 5, "the model has 8 layers of 5 heads"),
        ("heads-mine", 8, 4, "holds the heads of rule 'core', 'heads-mine' was asked for"),
    ],
)
def test_heads_of_another_model_or_rule(tmp_path, spec, layers, heads, line):
    path = tmp_path / "core.json"
    write_head_selection(path, head_selection())
    with pytest.raises(UserError, match=line):
        heads_for(spec, ["q1"], layers, heads, path)
    with pytest.raises(UserError, match="needs the file of chosen heads"):
        windows_for(spec, ["q1"], layers)


def test_a_selection_is_written_once_and_read_whole(tmp_path):
    path = tmp_path / "best.json"
    selection = selection_of("best", [(3, 5), (4, 6)], queries=2, layers=8)
    write_selection(path, selection)
    assert read_selection(path) == selection
    document = json.loads(path.read_text())
    assert document["windows"][1]["window"] == [4, 6] and document["regret"]["regret"] == pytest.approx(0.1)
    assert windows_for("selected-best", ["1-0", "new"], 8, path) == {"1-0": LayerWindow(4, 6), "new": LayerWindow(3, 5)}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"rule": None, "windows": 3}, "TypeError"),
        ({"default": [3]}, "ValueError"),
        ({"default": [2, 9]}, "layers 0 to 7"),
        ({"regret": {}}, "KeyError"),
    ],
)
def test_a_malformed_selection_names_its_file(tmp_path, broken, words):
    path = tmp_path / "best.json"
    write_selection(path, selection_of("best", [(3, 5)], layers=8))
    files.write_json(path, files.read_json(path) | broken)
    with pytest.raises(UserError, match=rf"best\.json: not a selection file.*{words}"):
        read_selection(path)


def test_a_selection_beyond_its_layers_is_refused():
    with pytest.raises(UserError, match="L3-5: the model has layers 0 to 4"):
        dataclasses.replace(selection_of("best", [(3, 5)], layers=8), layers=5)
