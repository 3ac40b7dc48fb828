"""Figures and tables of heads: every number that goes in is there, and what is no result is set back."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from support.figures import means_table, selection_of

from layerrank.__main__ import main
from layerrank.core import frames
from layerrank.core.heads import ChosenHeads, HeadSelection, write_head_selection
from layerrank.core.systems import ALL_LAYERS
from layerrank.evaluation.compare import compare
from layerrank.report.answers.choice import choice
from layerrank.report.figures.heads import draw_head_counts, draw_heads
from layerrank.report.tables.effectiveness import Marks
from layerrank.report.tables.heads import agreement_table, head_transfer_table, heads_table

WHOLE = "listwise-attention"
SYSTEMS = (
    ALL_LAYERS,
    f"{WHOLE}-selected-best",
    f"{WHOLE}-heads-core",
    f"{WHOLE}-heads-within",
    f"{WHOLE}-heads-oracle",
)


def selection(rule="core", window=None, layers=6, heads=4):
    sets = (ChosenHeads(((1, 0), (3, 2)), ("q1",), "c"), ChosenHeads(((1, 0), (5, 1)), ("q2",), "c"))
    about = {"chosen_by": "cross-validation", "upper_bound": rule == "oracle", "folds": 2, "seed": 1}
    known = {"collection": "c", "collections": ("c",), "sets": sets, "default": ((1, 0), (3, 2))}
    settings = {"top": 2} | ({"window": window} if window else {})
    return HeadSelection(rule, "core", settings=settings, layers=layers, heads=heads, **about, **known)


def lines(table):
    return [[cell.value for cell in line.cells] for section in table.sections for line in section.rows]


def values(queries=12):
    random = np.random.default_rng(5)
    base = random.random(queries) * 0.5
    rows = []
    for place, system in enumerate(SYSTEMS):
        own = base + 0.08 * place + random.normal(0, 0.02, queries)
        rows += [("c", "m", "base", system, f"q{i}", "nDCG@10", value, True) for i, value in enumerate(own)]
    return pd.DataFrame(rows, columns=list(frames.VALUES))


def costs():
    layers = dict(zip(SYSTEMS, (30, 12, 20, 10, 25), strict=True))
    cell = dict.fromkeys(frames.SUMMARY, 1.0) | {"collection": "c", "model": "m", "variant": "base"}
    rows = [cell | {"system": name, "layer_tokens": 100.0 * number} for name, number in layers.items()]
    return pd.DataFrame(rows)


def test_windows_heads_and_both_stand_beside_their_work_and_tests():
    own = values()
    tested = compare(own, [ALL_LAYERS], seed=1, resamples=99)
    means = means_table(["c"], ["m"], SYSTEMS)
    chosen = {("c", "m", "core"): selection(), ("c", "m", "within"): selection("within", "selected-best")}
    table = heads_table(means, tested, costs(), chosen, "nDCG@10", Marks("", "t-test", 0.05))
    first, pairs = table.sections
    assert [row[0] for row in lines(table)][:5] == [
        "all layers",
        "best window",
        "core heads",
        "within heads",
        "oracle heads (upper bound)",
    ]
    assert [line.aside for line in first.rows] == [False, False, False, False, True]
    assert [line.cells[2].value for line in first.rows] == pytest.approx([100, 40, 200 / 3, 100 / 3, 250 / 3])
    assert first.rows[2].cells[0].detail == "2 heads, up to layer 3 to 5"
    assert first.rows[3].cells[0].detail == "2 heads within best window, up to layer 3 to 5"
    family = tested[tested["family"] == frames.OF_HEADS].set_index(["baseline", "system"])
    core = family.loc[(ALL_LAYERS, f"{WHOLE}-heads-core")]
    assert first.rows[2].cells[3].value == pytest.approx(core["difference"]) and core["tests"] == 5
    assert first.rows[2].cells[4].value == pytest.approx(core["p_t_holm"])
    assert first.rows[4].cells[3].value is None
    assert [line.cells[0].value for line in pairs.rows] == [
        "core heads − best window",
        "within heads − best window",
        "within heads − core heads",
    ]
    pair = family.loc[(f"{WHOLE}-heads-core", f"{WHOLE}-heads-within")]
    assert pairs.rows[2].cells[3].value == pytest.approx(pair["difference"])
    assert len(table.columns) == 5


def test_heads_are_held_against_windows_in_the_variant_that_is_named():
    own = pd.concat([values(), values(queries=6).assign(variant="linear")])
    tested = compare(own, [ALL_LAYERS], seed=1, resamples=99)
    means = means_table(["c"], ["m"], SYSTEMS).assign(variant="linear")
    marks = Marks("", "t-test", 0.05)
    table = heads_table(means, tested, costs(), {}, "nDCG@10", marks, variant="linear")
    assert table.title.endswith("nDCG@10 · linear")
    family = tested[tested["variant"] == "linear"].set_index(["family", "baseline", "system"])["difference"]
    core = family["heads", ALL_LAYERS, f"{WHOLE}-heads-core"]
    assert table.sections[0].rows[2].cells[3].value == pytest.approx(core)
    said = choice(
        [selection_of("best", [(1, 3)])], means.assign(variant="base"),
        heads=(tested, "nDCG@10", marks), heads_in="linear",
    ).statements  # fmt: skip
    assert f"window (variant linear): nDCG@10 less that of all layers is core heads {core:+.3f}" in " ".join(said)


def test_agreement_between_orders_and_value_over_them_stand_beside_windows_and_heads():
    own = pd.concat([values(), values(queries=6).assign(variant="orders")])
    tested = compare(own, [ALL_LAYERS], seed=1, resamples=99)
    rows = [
        dict.fromkeys(frames.WINDOW_ORDERS, 0.25)
        | {"collection": "c", "model": "m", "variant": "orders", "kind": kind, "window": name}
        | {"tau": tau, "value": value}
        for kind, name, tau, value in [("window", "all", 0.1, 0.3), ("window", "heads-core", 0.6, 0.4)]
    ]
    over_orders = pd.DataFrame(rows)
    means = means_table(["c"], ["m"], SYSTEMS)
    table = heads_table(means, tested, costs(), {}, "nDCG@10", Marks("", "t-test", 0.05), over_orders)
    assert [column.group for column in table.columns] == [""] * 5 + ["Over input orders"] * 3
    every, best, core = ([cell.value for cell in line.cells[5:]] for line in table.sections[0].rows[:3])
    family = tested[(tested["variant"] == "orders")].set_index(["family", "baseline", "system"])["difference"]
    assert every == [0.1, 0.3, None]
    assert best == [None, None, pytest.approx(family["windows", ALL_LAYERS, f"{WHOLE}-selected-best"])]
    assert core == [0.6, 0.4, pytest.approx(family["heads", ALL_LAYERS, f"{WHOLE}-heads-core"])]
    pair = table.sections[1].rows[0].cells
    assert pair[5].value is None
    assert pair[7].value == pytest.approx(family["heads", f"{WHOLE}-selected-best", f"{WHOLE}-heads-core"])


def test_heads_are_a_family_of_their_own_and_oracles_are_not_in_it():
    tested = compare(values(), [ALL_LAYERS], seed=1, resamples=99)
    found = {name: list(zip(part["baseline"], part["system"], strict=True)) for name, part in tested.groupby("family")}
    core, within = f"{WHOLE}-heads-core", f"{WHOLE}-heads-within"
    best = f"{WHOLE}-selected-best"
    assert found["heads"] == [(ALL_LAYERS, core), (best, core), (ALL_LAYERS, within), (best, within), (core, within)]
    assert found["windows"] == [(ALL_LAYERS, best)]


def heads_frame(stable=True, layers=6, heads=4):
    random = np.random.default_rng(2)
    number = layers * heads
    columns = {"layer": np.repeat(np.arange(layers), heads), "head": np.tile(np.arange(heads), layers)}
    columns |= {name: random.random(number) for name in ("mean", "mean_low", "mean_high")}
    columns |= {name: random.random(number) if stable else np.nan for name in ("tau", "tau_low", "tau_high")}
    columns |= dict.fromkeys(("value", "value_low", "value_high"), np.nan)
    columns |= {"measure": "nDCG@10", "strategy": "masked", "queries": 9, "orders": 3}
    return frames.in_cell(pd.DataFrame(columns), frames.HEADS, "c", "m")


@pytest.mark.parametrize("stable", [True, False])
def test_a_map_has_every_head_where_it_is_and_marks_those_chosen(stable):
    frame = heads_frame(stable)
    figure = draw_heads(frame, [selection(), selection("oracle")])
    maps = [axes for axes in figure.axes if axes.get_images()]
    assert len(maps) == 1 + stable
    for axes, column in zip(maps, ("mean", "tau"), strict=False):
        shown = axes.get_images()[0].get_array()
        for row in frame.to_dict("records"):
            assert shown[row["head"], row["layer"]] == pytest.approx(row[column])
        marks = {
            (round(float(line.get_xdata()[0])), int(line.get_ydata()[0])): line.get_markerfacecolor()
            for line in axes.get_lines()
        }
        assert marks == {(1, 0): "white", (3, 2): "none", (5, 1): "none"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["core: 1 in every fold, 3 in any"]


def counts_frame():
    rows = [
        ("c", "m", "base", rule, bound, 4, number, "nDCG@10", "NA_calibration", 0.1 * number**0.2 + add, 0.0, 0.5, 9)
        for rule, bound, add in (("core", False, 0.1), ("oracle", True, 0.2))
        for number in (1, 2, 4, 8)
    ]
    return pd.DataFrame(rows, columns=list(frames.HEAD_COUNTS))


def test_the_number_of_heads_is_a_line_a_rule_with_a_dot_at_its_own():
    frame = counts_frame()
    (axes,) = draw_head_counts(frame).axes
    for rule, part in frame.groupby("rule"):
        label = f"{rule} heads" + (" (upper bound)" if rule == "oracle" else "")
        (line,) = [line for line in axes.get_lines() if line.get_label() == label]
        assert list(line.get_xdata()) == [1, 2, 4, 8] and list(line.get_ydata()) == pytest.approx(list(part["mean"]))
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert sorted(float(dot.get_ydata()[0]) for dot in dots) == pytest.approx(
        sorted(frame[frame["heads"] == 4]["mean"])
    )


def test_the_answer_on_choice_says_what_heads_do_in_place_of_windows():
    tested = compare(values(), [ALL_LAYERS], seed=1, resamples=99)
    means, chosen = means_table(["c"], ["m"], SYSTEMS), [selection_of("best", [(1, 3)])]
    said = choice(chosen, means, heads=(tested, "nDCG@10", Marks("", "t-test", 0.05))).statements
    family = tested[(tested["family"] == frames.OF_HEADS) & (tested["baseline"] == ALL_LAYERS)].set_index("system")
    core, within = (family.loc[f"{WHOLE}-heads-{name}"]["difference"] for name in ("core", "within"))
    assert f"less that of all layers is core heads {core:+.3f} and within heads {within:+.3f}." in said[-3]
    assert said[-2] == "Of 2 comparisons of heads with all layers, 2 are significantly better, 0 worse."
    assert said[-1] == "Of 2 comparisons of heads with a chosen window, 2 are significantly better, 0 worse."
    assert choice(chosen, means).statements == said[:-3]
    blind = choice(chosen, means, heads=(tested, "nDCG@10", Marks("", "randomisation", 1e-9))).statements
    assert "cannot show a difference in a family of 5 tests" in blind[-1]


AGREEMENT = pd.DataFrame(
    [
        ("folds", "core", "m on c", "5 sets", "", 8, 0.75, 0.03, 0.9),
        ("collections", "core", "m", "c", "d", 8, 0.5, 0.03, 0.4),
        ("dtypes", "core", "m on c", "float32", "bfloat16", 8, 0.875, 0.03, 0.99),
    ],
    columns=list(frames.HEAD_AGREEMENT),
)
TRANSFER = pd.DataFrame(
    [
        ("m", "core", "c", "c", "nDCG@10", "NA_calibration", 8, 0.5, 0.4, 0.6, 0.0, 0.0, 0.0, 1.0),
        ("m", "core", "d", "c", "nDCG@10", "NA_calibration", 8, 0.45, 0.35, 0.55, -0.05, -0.1, 0.01, 0.25),
    ],
    columns=list(frames.HEAD_TRANSFER),
)


def test_agreement_and_transfer_say_against_what():
    table = agreement_table(AGREEMENT)
    assert [section.title for section in table.sections] == ["Folds of one collection", "Collections", "Dtypes"]
    assert lines(table) == [
        ["core heads", "5 sets", 8, 75.0, pytest.approx(3.0), 0.9],
        ["core heads", "c and d", 8, 50.0, pytest.approx(3.0), 0.4],
        ["core heads", "float32 and bfloat16", 8, 87.5, pytest.approx(3.0), 0.99],
    ]
    table = head_transfer_table(TRANSFER)
    assert lines(table) == [
        ["core heads", "itself, without the query’s fold", 8, 0.5, None, None],
        ["core heads", "d", 8, 0.45, -0.05, 25.0],
    ]
    assert table.sections[0].rows[1].cells[4].detail == "[−0.100,\u00a0+0.010]"


def test_the_commands(tmp_path):
    frames.write_frame(tmp_path / "heads.tsv", heads_frame())
    frames.write_frame(tmp_path / "counts.tsv", counts_frame())
    frames.write_frame(tmp_path / "agreement.tsv", AGREEMENT)
    frames.write_frame(tmp_path / "transfer.tsv", TRANSFER)
    frames.write_frame(tmp_path / "means.tsv", means_table(["c"], ["m"], SYSTEMS))
    frames.write_frame(tmp_path / "tests.tsv", compare(values(), [ALL_LAYERS], seed=1, resamples=99))
    frames.write_frame(tmp_path / "costs.tsv", costs())
    write_head_selection(tmp_path / "core.json", selection())
    write_head_selection(tmp_path / "within.json", dataclasses.replace(selection(), rule="within"))
    said = {
        "plot-heads": ["--heads", "heads.tsv", "--chosen", "core.json", "--output", "heads.svg"],
        "plot-head-counts": ["--counts", "counts.tsv", "--output", "counts.svg"],
        "head-agreement-table": ["--agreement", "agreement.tsv", "--outputs", "agreement.md"],
        "head-transfer-table": ["--transfer", "transfer.tsv", "--outputs", "transfer.md"],
        "heads-table": [
            *("--means", "means.tsv", "--comparisons", "tests.tsv", "--costs", "costs.tsv"),
            *("--chosen", "m=core.json", "m=within.json", "--measure", "nDCG@10", "--outputs", "heads.md"),
        ],
    }
    for name, words in said.items():
        at = [
            f"m={tmp_path / word[2:]}" if word.startswith("m=") else str(tmp_path / word) if "." in word else word
            for word in words
        ]
        assert main([name, *at]) == 0
    assert "core heads − best window" in (tmp_path / "heads.md").read_text()
    assert (tmp_path / "heads.svg").stat().st_size > 5000
