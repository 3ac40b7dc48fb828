import csv
import io
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from layerrank.__main__ import main
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.report.tables import effectiveness, render
from layerrank.report.tables.describe import P_VALUE, Cell, Column, Section, Table, embolden, interval, row

COLUMNS = (Column("System"), Column("nDCG@10", ".3f", group="cranfield", detail="95% interval"), Column("n", ",d"))
TABLE = Table(
    "Scores & more: 50% of <all>",
    COLUMNS,
    (
        Section("model_a", (row(["bm25 | x_y", Cell(0.5, marks="↑", detail="[0.4, 0.6]"), 12345]),)),
        Section("", (row(["ceiling", Cell(-0.25, bold=True, shade=0.5), None], aside=True),)),
    ),
    ("Small: 95% bootstrap interval.",),
)


class Tags(HTMLParser):
    """Counts what opens and checks that everything closes in order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(html):
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.open == []
    return tags


def test_tsv_is_data():
    rows = list(csv.reader(io.StringIO(render.to_tsv(TABLE)), delimiter="\t"))
    assert rows[0] == [
        "section",
        "System",
        "cranfield: nDCG@10",
        "cranfield: nDCG@10 95% interval",
        "cranfield: nDCG@10 significance",
        "n",
    ]
    assert rows[1] == ["model_a", "bm25 | x_y", "0.500000", "[0.4, 0.6]", "↑", "12345"]
    assert rows[2] == ["", "ceiling", "-0.250000", "", "", ""]


def test_html_is_whole_and_needs_nothing_from_outside():
    page = render.to_html(TABLE)
    tags = parse(page)
    assert "Scores &amp; more: 50% of &lt;all&gt;" in page and "<all>" not in page
    assert not re.search(r"https?://|src=|href=|@import|url\(", page)
    assert "<b>−0.250</b>" in page and "<sup>↑</sup>" in page and "12,345" in page and "–" in page
    assert [attrs for tag, attrs in tags.seen if tag == "tr" and attrs.get("class") == "aside"]
    spans = [int(attrs["colspan"]) for tag, attrs in tags.seen if attrs.get("scope") == "colgroup"]
    assert sum(spans) == len(COLUMNS)


def test_markdown_has_one_field_a_column():
    lines = [line for line in render.to_markdown(TABLE).splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {len(COLUMNS) + 2}
    assert "**−0.250**" in lines[-1] and "*ceiling*" in lines[-1]
    assert "50% of \\<all\\>" in render.to_markdown(TABLE)


def test_latex_escapes_and_balances():
    text = render.to_latex(TABLE)
    assert r"Scores \& more: 50\% of $<$all$>$" in text and r"model\_a" in text
    assert text.count(r"\begin{") == text.count(r"\end{") and text.count("{") == text.count("}")
    assert r"\toprule" in text and r"\bottomrule" in text and r"\cmidrule(lr){2-2}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(COLUMNS) - 1}


def latex_is_here():
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not latex_is_here(), reason="pdflatex with booktabs is not installed")
def test_latex_compiles(tmp_path):
    document = r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(document + render.to_latex(TABLE) + r"\end{document}")
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_formats_are_deterministic_and_unknown_ones_are_named(tmp_path):
    paths = [tmp_path / f"t{suffix}" for suffix in render.FORMATS]
    render.write(TABLE, paths)
    first = [path.read_bytes() for path in paths]
    render.write(TABLE, paths)
    assert first == [path.read_bytes() for path in paths]
    with pytest.raises(UserError, match=r"\.tsv, \.html, \.tex, \.md"):
        render.write(TABLE, [tmp_path / "new.tsv", tmp_path / "t.docx"])
    assert not (tmp_path / "new.tsv").exists()


def test_row_of_another_length_is_a_defect():
    with pytest.raises(ValueError, match="2 cells in a row of 3 columns"):
        Table("t", COLUMNS, (Section("", (row(["a", 1.0]),)),))


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (".3f", 0.12345, "0.123"),
        ("+.2f", -0.5, "−0.50"),
        (".3f", None, "–"),
        (".3f", math.nan, "–"),
        ("+.2f", -0.001, "+0.00"),
        (".3f", -0.0001, "0.000"),
        (P_VALUE, 0.0004, "<0.001"),
        (P_VALUE, 0.04, "0.040"),
        (",d", 12345, "12,345"),
    ],
)
def test_numbers_as_shown(form, value, shown):
    assert Column("", form).show(value) == shown


def test_interval_keeps_the_digits_and_vanishes_where_undefined():
    assert interval(-0.1, 0.25, "+.3f") == "[−0.100,\u00a0+0.250]"
    assert interval(math.nan, math.nan, ".3f") == ""


def bold(columns, rows, **options):
    return [[cell.bold for cell in line.cells] for line in embolden(columns, rows, range(len(columns)), **options)]


def test_best_is_as_printed_and_upper_bounds_do_not_compete():
    columns = (Column("a", ".3f"), Column("b", ".3f"))
    rows = [row([0.50004, 0.1]), row([0.49996, None]), row([0.4, math.nan]), row([0.9, 0.9], aside=True)]
    assert bold(columns, rows) == [[True, False], [True, False], [False, False], [False, False]]
    assert bold(columns, rows, lowest=True)[2] == [True, False]
    assert bold((Column("a", ".3f"),), [row([0.5]), row([0.5001])]) == [[False], [False]]
    assert bold((Column("a", "+.1f"),), [row([-0.2]), row([-0.1])]) == [[False], [True]]
    assert bold((Column("a", ",.0f"),), [row([12345.0]), row([1234.0])]) == [[True], [False]]


SYSTEMS = {
    "bm25": 0.4,
    "listwise-attention-all": 0.5,
    "listwise-attention-selected-oracle": 0.7,
    "setwise-generation": 0.3,
    "ceiling": 0.8,
}


def means(collections=("cranfield",), models=("m",), measures=("nDCG@10",), systems=SYSTEMS):
    return pd.DataFrame(
        [
            (collection, model, "base", system, measure, mean, mean - 0.1, mean + 0.1, 10, mean * 2, 5, 0.8)
            for collection in collections
            for model in models
            for system, mean in systems.items()
            for measure in measures
        ],
        columns=frames.MEANS,
    )


def comparisons(table, p=0.01):
    rows = []
    for line in table.to_dict("records"):
        if line["system"] in ("listwise-attention-all", "setwise-generation"):
            difference = line["mean"] - 0.4
            cell = [(line | {"family": frames.AGAINST_BASELINE})[name] for name in frames.FAMILY]
            numbers = [
                10,
                0.4,
                line["mean"],
                difference,
                difference - 0.05,
                difference + 0.05,
                0.5,
                6,
                1,
                3,
                p,
                p,
                p,
                1.0,
            ]
            rows.append([*cell, "bm25", line["system"], *numbers, 0.004, 2])
    return pd.DataFrame(rows, columns=frames.COMPARISON)


def results(table, p=0.01, measures=("nDCG@10",), **marks):
    return effectiveness.Results.of(table, comparisons(table, p), measures, "base", effectiveness.Marks(**marks))


def cells(table):
    return {line.cells[0].value: line.cells[1:] for section in table.sections for line in section.rows}


def test_effectiveness_marks_and_bolds_what_it_should():
    table = effectiveness.effectiveness_table(results(means()), ["nDCG@10"], "base")
    found = cells(table)
    assert list(found)[-1] == "Ideal re-ranking (ceiling)"
    assert found["Listwise attention, all layers"][0] == Cell(0.5, bold=True, marks="↑", detail="[0.400,\u00a00.600]")
    assert found["Setwise generation"][0].marks == "↓"
    oracle = found["Listwise attention, oracle window (upper bound)"][0]
    assert not oracle.bold and not oracle.marks
    assert [line.aside for line in table.sections[0].rows] == [False, False, False, True, True]
    assert any("Holm" in note and "2 tests" in note for note in table.notes)


def test_a_measure_that_no_system_changes_is_said_and_not_shown():
    table = means(measures=("nDCG@10",))
    recall = means(measures=("R@15",)).assign(mean=0.7274, low=0.6, high=0.8)
    found = results(pd.concat([table, recall]), measures=("nDCG@10", "R@15"))
    shown = effectiveness.effectiveness_table(found, ["nDCG@10", "R@15"], "base")
    assert [column.title for column in shown.columns][1] == "nDCG@10" and not any(
        "R@15" in c.name for c in shown.columns
    )
    assert "Not shown: R@15, which is 0.727 for every system." in shown.notes
    alone = effectiveness.effectiveness_table(results(recall, measures=("R@15",)), ["R@15"], "base")
    assert alone.columns[1].title == "R@15"


def test_a_measure_that_no_system_changes_may_differ_between_collections():
    table = means(collections=("cranfield", "fiqa"), measures=("nDCG@10", "R@15"))
    for name, level in (("cranfield", 0.264), ("fiqa", 0.344)):
        table.loc[(table["measure"] == "R@15") & (table["collection"] == name), "mean"] = level
    own = results(table, measures=("nDCG@10", "R@15"))
    shown = effectiveness.effectiveness_table(own, ["nDCG@10", "R@15"], "base")
    assert not any("R@15" in column.name for column in shown.columns)
    assert "Not shown: R@15, which is 0.264 on cranfield, 0.344 on fiqa for every system." in shown.notes
    table.loc[(table["measure"] == "R@15").idxmax(), "mean"] = 0.3  # one system on one of them
    own = results(table, measures=("nDCG@10", "R@15"))
    shown = effectiveness.effectiveness_table(own, ["nDCG@10", "R@15"], "base")
    assert any("R@15" in column.name for column in shown.columns)


def test_controls_are_greyed_out_and_marks_say_where_nothing_can_be_shown():
    systems = {"bm25": 0.4, "listwise-attention-all": 0.5, "random": 0.9, "ceiling": 0.95}
    table = means(systems=systems)
    tests = comparisons(table).assign(p_attainable=0.25)
    found = effectiveness.Results.of(table, tests, ["nDCG@10"], "base", effectiveness.Marks())
    shown = effectiveness.effectiveness_table(found, ["nDCG@10"], "base")
    assert [line.aside for line in shown.sections[0].rows] == [False, False, True, True]
    assert not cells(shown)["Control: random order"][0].bold
    assert any("whatever the data are, for cranfield (10 queries, p ≥ 0.25)" in note for note in shown.notes)


@pytest.mark.parametrize(("p", "marks"), [(0.2, {}), (0.01, {"test": "t-test"}), (0.01, {"alpha": 0.001})])
def test_nothing_is_marked_without_significance(p, marks):
    table = effectiveness.effectiveness_table(results(means(), p, **marks), ["nDCG@10"], "base")
    assert not any(cell.marks for line in cells(table).values() for cell in line)


def test_mean_over_collections_only_where_all_are_there():
    whole = means(("a", "b"))
    partly = whole[~((whole["collection"] == "b") & (whole["system"] == "setwise-generation"))]
    table = effectiveness.effectiveness_table(results(partly), ["nDCG@10"], "base")
    found = cells(table)
    assert [column.title for column in table.columns] == ["System", "a", "b", "mean"]
    assert found["Listwise attention, all layers"][-1].value == pytest.approx(0.5)
    assert [cell.value for cell in found["Setwise generation"]] == [0.3, None, None]


def test_several_models_share_one_first_stage():
    table = effectiveness.effectiveness_table(results(means(models=("m", "n"))), ["nDCG@10"], "base")
    assert [section.title for section in table.sections] == ["All models", "m", "n"]
    labels = [line.cells[0].value for section in table.sections for line in section.rows]
    assert labels.count("BM25 (first stage)") == labels.count("Ideal re-ranking (ceiling)") == 1


def test_other_values_of_the_same_table():
    part = effectiveness.effectiveness_table(results(means()), ["nDCG@10"], "base", "with-relevant-candidate")
    assert cells(part)["BM25 (first stage)"][0].value == pytest.approx(0.8)
    assert "5 of 10" in part.notes[0]
    differences = cells(effectiveness.effectiveness_table(results(means()), ["nDCG@10"], "base", "differences"))
    assert differences["Setwise generation"][0].value == pytest.approx(-0.1)
    assert "BM25 (first stage)" not in differences
    with pytest.raises(UserError, match="known: means"):
        effectiveness.effectiveness_table(results(means()), ["nDCG@10"], "base", "median")


def test_several_measures_of_several_collections_are_grouped():
    measures = ("nDCG@10", "RR@10")
    table = effectiveness.effectiveness_table(
        results(means(("a", "b"), measures=measures), 0.01, measures), measures, "base"
    )
    assert table.groups == (("", 1), ("a", 2), ("b", 2), ("mean", 2))
    assert cells(table)["BM25 (first stage)"][-1].value == pytest.approx(0.4)


def test_grid_has_windows_as_rows_and_one_best_cell():
    systems = SYSTEMS | {
        "setwise-attention-L10-13": 0.45,
        "setwise3bubble-likelihood": 0.2,
        "pointwise-likelihood": 0.1,
    }
    table = effectiveness.grid_table(results(means(systems=systems)), "nDCG@10", "base")
    assert [column.title for column in table.columns[1:]] == ["pointwise", "setwise", "setwise3bubble", "listwise"]
    found = cells(table)
    assert list(found) == [
        "Attention, all layers",
        "Attention, layers 10–13",
        "Attention, oracle window (upper bound)",
        "Likelihood",
        "Generation",
    ]
    assert [cell.value for cell in found["Attention, layers 10–13"]] == [None, 0.45, None, None]
    assert sum(cell.bold for line in found.values() for cell in line) == 1
    assert found["Attention, all layers"][-1].bold
    assert "BM25 0.400 · ceiling 0.800 · 10 queries" in table.sections[0].title


def test_comparison_table_holds_every_number():
    table = effectiveness.comparison_table(results(means()), ["nDCG@10"], "base")
    line = cells(table)["Setwise generation"]
    assert [line[place].value for place in (0, 3, 4, 5)] == [0.3, 6, 1, 3]
    assert line[1].value == pytest.approx(-0.1) and "family of 2 tests" in table.sections[0].title


def test_measure_that_was_not_taken_is_named():
    with pytest.raises(UserError, match="known: nDCG@10"):
        results(means(), measures=["AP"])


def test_commands_write_all_formats(tmp_path):
    table = means(("a", "b"))
    frames.write_frame(tmp_path / "means.tsv", table)
    frames.write_frame(tmp_path / "comparisons.tsv", comparisons(table))
    inputs = ["--means", f"{tmp_path}/means.tsv", "--comparisons", f"{tmp_path}/comparisons.tsv"]
    for command in (
        ["effectiveness-table", "--measures", "nDCG@10"],
        ["grid-table", "--measure", "nDCG@10"],
        ["comparison-table", "--measures", "nDCG@10"],
    ):
        outputs = [f"{tmp_path}/{command[0]}{suffix}" for suffix in render.FORMATS]
        assert main([*command, *inputs, "--outputs", *outputs]) == 0
        parse((tmp_path / f"{command[0]}.html").read_text())
        assert len(pd.read_csv(tmp_path / f"{command[0]}.tsv", sep="\t")) >= 2
    assert main(["grid-table", "--measure", "AP", *inputs, "--outputs", f"{tmp_path}/x.tsv"]) == 2


def test_analysis_does_not_import_torch():
    code = (
        "import sys, layerrank.evaluation.compare, layerrank.evaluation.values;"
        "import layerrank.report.tables.effectiveness, layerrank.report.tables.render;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shapes_of_frames_survive_a_round_trip(tmp_path):
    table = means().assign(mean_with_relevant_candidate=np.nan)
    frames.write_frame(tmp_path / "means.tsv", table)
    back = frames.read_means([tmp_path / "means.tsv"])
    pd.testing.assert_frame_equal(table, back, check_dtype=False)


def test_one_collection_shows_the_published_denominator_beside():
    table = effectiveness.effectiveness_table(results(means()), ["nDCG@10"], "base")
    assert table.columns[-1].title == "nDCG@10 where a relevant passage was retrieved"
    assert cells(table)["BM25 (first stage)"][-1].value == pytest.approx(0.8)
    assert any("5 of 10" in note for note in table.notes)
