import numpy as np
import pandas as pd
import pytest

from layerrank.__main__ import main
from layerrank.core import frames
from layerrank.core.windows import LayerWindow, write_selection
from layerrank.layers.rules import parse_rule
from layerrank.layers.selection import select
from layerrank.layers.sweep import Sweep
from layerrank.report.tables.layers import selection_table, shape_table, transfer_table

WINDOWS = tuple(LayerWindow(start, end) for start in range(3) for end in range(start, 3))
FORMATS = (".tsv", ".html", ".tex", ".md")


def selections():
    rng = np.random.default_rng(3)
    values = rng.random((10, len(WINDOWS))).astype(np.float32)
    own = Sweep(tuple(f"q{n}" for n in range(10)), values, "nDCG@10", "masked_NA_calibration", layers=3, stored=10)
    rules = {
        "oracle": parse_rule({"rule": "oracle"}),
        "best": parse_rule({"rule": "best", "folds": 2}),
        "mid": parse_rule({"rule": "fixed", "window": "1-2"}),
    }
    return {name: select(name, rule, "pocket", own, model="m") for name, rule in rules.items()}


def lines(table):
    return [[cell.value for cell in line.cells] for section in table.sections for line in section.rows]


def test_selection_table_names_how_and_sets_the_oracle_back():
    found = selections()
    table = selection_table(list(found.values()))
    rows = {line[0]: line for line in lines(table)}
    assert list(rows) == ["best", "mid", "oracle (upper bound)"]
    assert [line.aside for line in table.sections[0].rows] == [False, False, True]
    assert rows["best"][1] == "2-fold cross-validation over queries"
    assert rows["mid"][1:3] == ["given beforehand", "L1–2 (10)"]
    assert sum(int(part.rpartition("(")[2].rstrip(")")) for part in rows["best"][2].split(", ")) == 10
    assert rows["mid"][5] == pytest.approx(found["mid"].regret)
    assert rows["oracle (upper bound)"][5] == pytest.approx(0.0)


def test_selection_table_over_orders():
    row = dict.fromkeys(frames.WINDOW_ORDERS, 0.25) | {"collection": "pocket", "model": "m", "variant": "orders"}
    row |= {"kind": "window", "window": "selected-best", "value": 0.4, "regret": 0.125, "oracle_window": "L1-2"}
    table = selection_table(list(selections().values()), pd.DataFrame([row]))
    found = {line[0]: line[6:] for line in lines(table)}
    assert found["best"] == [0.25, 0.4, 0.125] and found["mid"] == [None, None, None]
    [cells] = [line.cells for line in table.sections[0].rows if line.cells[0].value == "best"]
    assert cells[8].detail == "L1–2" and "Over input orders" in table.notes[-1]


SHAPE = {
    **{"collection": "a", "model": "m", "variant": "base"},
    **{"measure": "nDCG@10", "verdict": "bell", "reason": "", "best_layer": 14, "best_low": 12, "best_high": 15},
    **{"r2_bell": 0.9, "r2_asymmetric": 0.95, "r2_monotone": 0.2},
    **{
        f"{name}{end}": value
        for name in ("best_depth", "rise", "fall", "lost_first", "lost_last")
        for end, value in (("", 0.5), ("_low", 0.4), ("_high", 0.6))
    },
}


def test_shape_table_says_why_and_counts():
    other = SHAPE | {
        "collection": "b",
        "verdict": "other",
        "reason": "two peaks",
        "best_low": np.nan,
        "best_high": np.nan,
    }
    table = shape_table(pd.DataFrame([SHAPE, other]))
    first, second = table.sections[0].rows
    assert first.cells[1].bold and not second.cells[1].bold
    assert second.cells[1].detail == "two peaks"
    assert "12" in first.cells[2].detail and "15" in first.cells[2].detail and second.cells[2].detail == ""
    assert table.notes[0] == "Shapes counted: nDCG@10: bell 1, other 1."
    assert not shape_table(pd.DataFrame([SHAPE])).notes[0].startswith("Shapes")


def transferred():
    rows = [
        ("chosen on a sweep", "a", "a", 0.0, "L1-2", 1),
        ("chosen on a sweep", "a", "b", 0.1, "L1-2", 0),
        ("chosen on a sweep", "b", "a", 0.05, "L0-0", 0),
        ("chosen by a rule", "label-free", "a", 0.0, "3 windows", 0),
    ]
    table = pd.DataFrame(rows, columns=["kind", "source", "target", "regret", "window", "same_queries"])
    return table.assign(measure="nDCG@10", value=0.5, oracle_window="L2-2", oracle=0.6, relative_depth=0)


def test_transfer_matrix_places_regrets_shades_them_and_marks_what_was_seen():
    table = transfer_table(transferred(), "smollm2")
    assert table.title == "What carries over: regret in nDCG@10 · smollm2"
    assert [section.title for section in table.sections] == ["Chosen on a sweep", "Chosen by a rule", "For comparison"]
    assert lines(table)[:3] == [["a", 0.0, 0.1], ["b", 0.05, None], ["label-free", 0.0, None]]
    shades = [[cell.shade for cell in line.cells] for section in table.sections[:2] for line in section.rows]
    assert shades == [[None, None, 1.0], [None, 0.5, None], [None, 0.0, None]]
    marks = [cell.marks for section in table.sections for line in section.rows for cell in line.cells]
    assert marks.count("†") == 1
    assert table.sections[-1].rows[0].aside and lines(table)[-1][1:] == [0.6, 0.6]


def test_commands_write_all_formats(tmp_path):
    flags = []
    for name, selection in selections().items():
        write_selection(tmp_path / f"{name}.json", selection)
        flags.append(f"{tmp_path}/{name}.json")
    shape = pd.DataFrame([dict.fromkeys(frames.SHAPE, 0.5) | SHAPE])
    frames.write_frame(tmp_path / "shape.tsv", shape)
    frames.write_frame(tmp_path / "transfer.tsv", transferred())
    commands = {
        "selection-table": ["--selections", *flags],
        "shape-table": ["--shapes", f"{tmp_path}/shape.tsv"],
        "transfer-table": ["--table", f"{tmp_path}/transfer.tsv"],
    }
    for name, arguments in commands.items():
        outputs = [f"{tmp_path}/{name}{suffix}" for suffix in FORMATS]
        assert main([name, *arguments, "--outputs", *outputs]) == 0
    assert "nan" not in (tmp_path / "shape-table.html").read_text()
    twice = [f"{tmp_path}/shape.tsv"] * 2
    assert main(["shape-table", "--shapes", *twice, "--outputs", f"{tmp_path}/x.md"]) == 2
