import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerrank.attention.scores import all_windows
from layerrank.layers.rules import Seen, parse_rule
from layerrank.layers.selection import select
from layerrank.layers.sweep import Sweep


def window(centre, share, layers):
    rule = parse_rule({"rule": "depth", "centre": centre, "share": share})
    return rule.kind.pick(Seen(all_windows(layers), layers), rule.settings)


@pytest.mark.parametrize(
    ("centre", "share", "layers", "expected"),
    [
        (0.43, 0.14, 28, "L10-13"),  # the published window of Qwen3-0.6B: round(.14 · 28) = 4 layers around 11.6
        (0.557, 0.11, 36, "L18-21"),  # and of Qwen3-8B
        (0, 0.25, 8, "L0-1"),
        (1, 0.25, 8, "L6-7"),
        (0.5, 0.001, 9, "L4-4"),
        (0.3, 1, 30, "L0-29"),
        (0.5, 0.5, 1, "L0-0"),
    ],
)
def test_a_share_of_the_layers_around_a_depth(centre, share, layers, expected):
    assert str(window(centre, share, layers)) == expected


@given(st.floats(0, 1), st.floats(0.001, 1), st.integers(1, 80))
def test_it_lies_inside_the_model_and_mirrors_with_its_centre(centre, share, layers):
    one, other = window(centre, share, layers), window(1 - centre, share, layers)
    assert 0 <= one.start <= one.end < layers
    assert one.width == other.width
    assert abs(one.start - (layers - 1 - other.end)) <= 1  # halves go to the later layer


def test_it_reads_no_judgement_and_says_so():
    values = np.random.default_rng(3).random((6, 10), dtype=np.float32)
    rule = parse_rule({"rule": "depth", "centre": 0.5, "share": 0.5})
    found = [
        select("mid", rule, "own", Sweep(tuple("abcdef"), part, "AP", "query_last", 4, 6))
        for part in (values, 1 - values)
    ]
    assert [str(each.default) for each in found] == ["L1-2", "L1-2"]
    assert found[0].chosen_by == "none" and not found[0].upper_bound
