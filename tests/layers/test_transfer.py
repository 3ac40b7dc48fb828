import numpy as np
import pytest

from layerrank.__main__ import main
from layerrank.attention.scores import all_windows
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow, write_selection
from layerrank.layers.rules import parse_rule
from layerrank.layers.selection import select
from layerrank.layers.sweep import Sweep, write_sweep
from layerrank.layers.transfer import at_depth, transfer


def constant(scores, layers, measure="nDCG@10"):
    """A sweep of six queries whose windows have these values, {(start, end): value}, and 0 elsewhere."""
    row = [scores.get((window.start, window.end), 0.0) for window in all_windows(layers)]
    values = np.array([row] * 6, dtype=np.float32)
    return Sweep(tuple(f"q{i}" for i in range(6)), values, measure, "query_last", layers, 6)


BEST = parse_rule({"rule": "best"})
SWEEPS = {
    "news/small": constant({(1, 2): 0.50, (0, 1): 0.40, (0, 2): 0.25}, 3),
    "web/small": constant({(0, 1): 0.75, (1, 2): 0.50, (0, 2): 0.25}, 3),
    "news/large": constant({(2, 4): 0.75, (0, 2): 0.50, (1, 1): 1.0, (0, 4): 0.25}, 5),
}


def cell(table, source, target):
    (found,) = table[(table["source"] == source) & (table["target"] == target)].to_dict("records")
    return found


@pytest.mark.parametrize(
    ("window", "layers", "other", "expected"),
    [
        ((1, 2), 3, 3, (1, 2)),
        ((1, 2), 3, 5, (2, 4)),
        ((10, 13), 30, 36, (12, 16)),
        ((0, 29), 30, 16, (0, 15)),
        ((0, 0), 1, 8, (0, 0)),
        ((3, 7), 8, 1, (0, 0)),
    ],
)
def test_relative_depth(window, layers, other, expected):
    assert at_depth(LayerWindow(*window), layers, other) == LayerWindow(*expected)


def test_the_matrix_by_hand():
    table = transfer(SWEEPS, BEST)
    assert list(table.columns) == list(frames.TRANSFER)
    assert cell(table, "news/small", "web/small")["regret"] == pytest.approx(0.25)
    assert cell(table, "web/small", "news/small")["regret"] == pytest.approx(0.10)
    scaled = cell(table, "news/small", "news/large")
    assert (scaled["window"], scaled["value"], scaled["oracle_window"]) == ("L2-4", 0.75, "L1-1")
    assert scaled["regret"] == pytest.approx(0.25) and scaled["relative_depth"] == 1 and scaled["same_queries"] == 0
    back = cell(table, "news/large", "web/small")  # layer 1 of 0-4 lies at a quarter: half of 0-2's first step
    assert (back["window"], back["value"]) == ("L1-1", 0.0)
    for name in SWEEPS:
        own = cell(table, name, name)
        assert own["regret"] == 0 and own["same_queries"] == 0  # every fold's queries choose alike
        assert cell(table, "all layers", name)["value"] == 0.25


def test_selections_stand_below_without_upper_bounds():
    own = SWEEPS["web/small"]
    fixed = select("early", parse_rule({"rule": "fixed", "window": "1-2"}), "web", own)
    criterion = np.arange(6.0)
    free = select("free", parse_rule({"rule": "label-free"}), "web", own, criterion=criterion)
    oracle = select("oracle", parse_rule({"rule": "oracle"}), "web", own)
    table = transfer(SWEEPS, BEST, [("web/small", selection) for selection in (fixed, free, oracle)])
    assert cell(table, "early", "web/small")["regret"] == pytest.approx(0.25)
    assert cell(table, "free", "web/small")["window"] == "L2-2"
    assert cell(table, "free", "web/small")["regret"] == pytest.approx(0.75)
    assert "oracle" not in set(table["source"])


def swept(values):
    """A sweep of two layers: its queries' values under L0-0, L0-1 and L1-1."""
    return Sweep(tuple(f"q{i}" for i in range(len(values))), np.array(values, np.float32), "AP", "query_last", 2, 3)


def test_between_models_of_a_collection_no_window_is_chosen_on_the_query_it_is_used_on():
    small = swept([[0.6, 0.0, 0.9], [0.6, 0.0, 0.0], [0.6, 0.0, 0.8]])
    large = swept([[0.1, 0.2, 1.0], [0.3, 0.2, 0.5], [0.5, 0.2, 0.0]])
    table = transfer({"small": small, "large": large}, parse_rule({"rule": "best", "folds": 3}), same_collection=True)
    # small, without q0: .6 .4 -> L0-0; without q1: .6 .85 -> L1-1; without q2: .6 .45 -> L0-0.
    over = cell(table, "small", "large")
    assert over["value"] == pytest.approx((0.1 + 0.5 + 0.5) / 3)
    assert over["window"] == "2 windows" and over["oracle_window"] == "L1-1"
    assert over["regret"] == pytest.approx(0.5 - 1.1 / 3)
    assert cell(table, "small", "small")["value"] == pytest.approx((0.6 + 0.0 + 0.6) / 3)
    assert cell(table, "all layers", "large")["value"] == pytest.approx(0.2)
    assert not table["same_queries"].any()
    apart = transfer({"small": small, "large": large}, parse_rule({"rule": "best", "folds": 3}))
    assert cell(apart, "small", "large")["value"] == pytest.approx(0.3)  # small's mean: .6 .57


def test_the_diagonal_is_the_selection_by_the_same_rule():
    rng = np.random.default_rng(0)
    own = Sweep(tuple(f"q{i}" for i in range(12)), rng.random((12, 10), dtype=np.float32), "AP", "query_last", 4, 12)
    rule = parse_rule({"rule": "best", "folds": 4, "seed": 7})
    selection = select("best", rule, "web", own)
    assert cell(transfer({"web": own}, rule), "web", "web")["value"] == pytest.approx(selection.selected)


def test_a_single_query_is_marked():
    one = swept([[0.1, 0.2, 0.3]])
    own = cell(transfer({"web": one}, BEST), "web", "web")
    assert own["same_queries"] == 1 and own["regret"] == 0


def test_what_cannot_be_compared_is_refused():
    other = Sweep(("q0", "x"), np.zeros((2, 6), np.float32), "nDCG@10", "query_last", 3, 2)
    with pytest.raises(UserError, match="different queries: news/small, web/small, other"):
        transfer(
            {**{name: SWEEPS[name] for name in ("news/small", "web/small")}, "other": other},
            BEST,
            same_collection=True,
        )
    with pytest.raises(UserError, match="AP"):
        transfer({**SWEEPS, "x": constant({}, 3, "AP")}, BEST)
    selection = select("early", parse_rule({"rule": "fixed", "window": "1-2"}), "x", constant({}, 3, "AP"))
    with pytest.raises(UserError, match="AP"):
        transfer(SWEEPS, BEST, [("web/small", selection)])
    with pytest.raises(UserError, match="elsewhere"):
        transfer(SWEEPS, BEST, [("elsewhere", selection)])


def test_command(tmp_path):
    named = []
    for name, sweep in SWEEPS.items():
        path = tmp_path / f"{name.replace('/', '-')}.arrow"
        write_sweep(path, sweep)
        named.append(f"{name}={path}")
    selection = select("early", parse_rule({"rule": "fixed", "window": "1-2"}), "web", SWEEPS["web/small"])
    write_selection(tmp_path / "s.json", selection)
    arguments = ["transfer", "--sweeps", *named, "--selections", f"web/small={tmp_path / 's.json'}"]
    assert main([*arguments, "--output", str(tmp_path / "t.tsv")]) == 0
    table = frames.read_frame(tmp_path / "t.tsv", frames.TRANSFER)
    assert len(table) == 9 + 3 + 1
    assert main([*arguments, "--rule", '{"rule": "oracle"}', "--output", str(tmp_path / "t.tsv")]) == 2
