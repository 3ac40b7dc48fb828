"""Windows by name, and the file of a selection."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.figures import selection_of

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.windows import (
    LayerWindow,
    fixed_window,
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
