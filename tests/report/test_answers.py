"""Answers in words: what they say must follow from the numbers, and what is not shown must be said not to be."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.figures import selection_of

from layerrank.core import frames
from layerrank.evaluation.compare import compare
from layerrank.evaluation.values import aggregate
from layerrank.report.answers.choice import choice
from layerrank.report.answers.mechanisms import mechanisms
from layerrank.report.answers.page import write
from layerrank.report.answers.where import where
from layerrank.report.answers.windows import windows
from layerrank.report.tables.effectiveness import Marks

MARKS = Marks("", "randomisation", 0.05)
QUERIES = 40


def results_of(systems, collection="c", model="m", variant="base"):
    """Means and comparisons of these systems, {name: value of each query}."""
    rows = [
        (collection, model, variant, system, f"q{number}", "nDCG@10", value, True)
        for system, values in systems.items()
        for number, value in enumerate(values)
    ]
    values = pd.DataFrame(rows, columns=list(frames.VALUES))
    return aggregate(values, seed=1, resamples=100), compare(values, ["bm25"], seed=1, resamples=500)


def costs_of(layer_tokens, **more):
    rows = [
        {"collection": "c", "model": "m", "system": name, "layer_tokens": tokens, "forward_passes": 2.0}
        | {"answers": 0, "failure_rate": float("nan")}
        | more.get(name.replace("-", "_"), {})
        for name, tokens in layer_tokens.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(0, 0.02, (8, QUERIES))


def cells(answer, title):
    [row] = [row for section in answer.table.sections for row in section.rows if row.cells[0].value == title]
    return row


def test_mechanisms_are_compared_within_each_framework(noise):
    base = np.linspace(0.2, 0.6, QUERIES)
    systems = {
        "bm25": base,
        "setwise-attention-selected-peak": base + 0.5,
        "setwise-attention-all": base + 0.2 + noise[0],
        "setwise-attention-selected-oracle": base + 0.9,
        "setwise-likelihood": base + noise[1],
        "setwise-generation": base + 0.2 + noise[2],
        "listwise-attention-all": base + noise[3],
        "listwise-generation": base + 0.3 + noise[4],
        "ceiling": base + 1,
    }
    written = {"setwise_generation": {"answers": 100, "failure_rate": 0.25}}
    answer = mechanisms(
        *results_of(systems), costs_of(dict.fromkeys(systems, 1.0), **written), "nDCG@10", "base", MARKS
    )
    said = " ".join(answer.statements)
    assert (
        "Attention (all layers) is better than another mechanism in 1 of 3 comparisons: setwise against likelihood."
        in said
    )
    assert "worse in 1 of 3 comparisons: listwise against generation." in said
    assert "No difference is shown in 1 of 3 comparisons" in said
    assert "25% of the answers that generation wrote are not well-formed" in said
    row = cells(answer, "setwise")
    assert row.cells[1].value == pytest.approx(systems["setwise-attention-all"].mean())
    difference = (systems["setwise-attention-all"] - systems["setwise-likelihood"]).mean()
    assert (row.cells[4].value, row.cells[4].marks) == (pytest.approx(difference), "↑")
    assert row.cells[5].marks == ""
    assert cells(answer, "listwise").cells[2].value is None
    assert "over 3 comparisons" in answer.table.notes[0]


def test_a_window_is_judged_by_what_it_saves_and_loses(noise):
    base = np.linspace(0.2, 0.6, QUERIES)
    systems = {
        "bm25": base,
        "listwise-attention-all": base,
        "listwise-attention-L1-2": base - 0.2 + noise[0],
        "listwise-attention-selected-peak": base + noise[1],
        "listwise-attention-selected-oracle": base + 0.1,
    }
    costs = costs_of({name: 100.0 if name.endswith("all") else 40.0 for name in systems})
    latency = pd.DataFrame(
        [
            ("listwise-attention-all", "load", 9.0),
            ("listwise-attention-all", "prefill", 3.0),
            ("listwise-attention-all", "score", 1.0),
            ("listwise-attention-L1-2", "load", 5.0),
            ("listwise-attention-L1-2", "prefill", 1.5),
            ("listwise-attention-L1-2", "score", 0.5),
            ("listwise-attention-L0-3", "prefill", 3.0),
        ],
        columns=["system", "stage", "median"],
    ).assign(collection="c", model="m")
    answer = windows(*results_of(systems), costs, latency, "nDCG@10", "base", MARKS)
    fixed = cells(answer, "layers 1–2")
    assert fixed.cells[2].marks == "↓"
    assert (fixed.cells[4].value, fixed.cells[5].value) == (40.0, 50.0)
    peak = cells(answer, "peak window")
    assert peak.cells[2].marks == "" and peak.cells[3].value > 0.05
    oracle = cells(answer, "oracle window (upper bound)")
    assert oracle.aside and oracle.cells[3].value is None
    assert cells(answer, "layers 0–3 (timed only)").cells[5].value == 75.0
    [said] = answer.statements
    assert "the peak window takes 40% of the work" in said and said.endswith("no difference shown.")


def test_too_few_queries_are_said_to_show_nothing(noise):
    systems = {
        "bm25": [0.1, 0.2, 0.3],
        "setwise-attention-all": [0.4, 0.5, 0.6],
        "setwise-likelihood": [0.1, 0.2, 0.2],
        "listwise-attention-all": [0.5, 0.5, 0.5],
        "listwise-attention-selected-peak": [0.1, 0.1, 0.2],
    }
    means, comparisons = results_of(systems)
    costs = costs_of(dict.fromkeys(systems, 1.0))
    said = " ".join(mechanisms(means, comparisons, costs, "nDCG@10", "base", MARKS).statements)
    # One test of three queries: 2 of the 8 sign patterns.
    assert "3 queries cannot show a difference in a family of 1 test: the smallest corrected p" in said
    assert "is 0.25, and α is 0.05" in said and "No difference is shown" not in said
    latency = pd.DataFrame(columns=list(frames.LATENCY))
    said = " ".join(windows(means, comparisons, costs, latency, "nDCG@10", "base", MARKS).statements)
    assert "too few queries to show a difference" in said and "no difference shown" not in said


def test_choices_are_held_against_the_best_single_window_and_all_layers():
    steady = replace(selection_of("fixed", [(1, 2)]), selected=0.5, oracle=0.6)
    torn = replace(selection_of("best", [(1, 2), (2, 3)]), selected=0.55, oracle=0.6)
    bound = replace(selection_of("oracle", [(2, 3)]), selected=0.6, oracle=0.6)
    answer = choice([steady, torn, bound], MEANS)
    assert "window of the same queries: fixed 0.100 and best 0.050." in answer.statements[0]
    assert answer.statements[1] == "Reading all layers, which is no choice, loses 0.200."
    assert "Folds disagree about the window: best for m on c (2 windows)." in answer.statements[2]
    assert [line.aside for section in answer.table.sections for line in section.rows] == [False, False, True]
    assert choice([bound], MEANS).statements == ("This study chooses no window.",)


def shape_of(verdict, reason="", best=2, collection="c"):
    row = {"collection": collection, "model": "m", "variant": "base"}
    row |= {"measure": "nDCG@10", "layers": 5, "verdict": verdict, "reason": reason, "best_layer": best}
    row |= {"best_low": best - 1, "best_high": best}
    for name, value in (("best_depth", best / 4), ("rise", 0.2), ("fall", 0.1)):
        row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
    return pd.DataFrame([row])


def profile_of(collection="c"):
    layers = np.arange(5)
    return pd.DataFrame(
        {"measure": "nDCG@10", "layer": layers, "relative_depth": layers / 4, "mean": 0.1 * layers}
    ).assign(low=0.0, high=0.5, collection=collection, model="m", variant="base")


MEANS = pd.DataFrame(
    [("c", "m", "base", "bm25", "nDCG@10", 0.3), ("c", "m", "base", "listwise-attention-all", "nDCG@10", 0.4)],
    columns=["collection", "model", "variant", "system", "measure", "mean"],
)


def test_one_profile_says_its_shape_and_why():
    answer = where(shape_of("none shown", "too few queries"), profile_of(), MEANS, "nDCG@10")
    assert answer.statements[0] == "The profile is not shown to have a shape: too few queries."
    assert "relative depth of 0.50 [0.40" in answer.statements[1]
    assert "says nothing about others" in answer.statements[-1]
    row = cells(answer, "m on c")
    assert [cell.value for cell in row.cells[-3:]] == [pytest.approx(0.2), 0.4, 0.3]


def test_several_profiles_are_counted():
    shapes = pd.concat([shape_of("bell"), shape_of("flat", best=4, collection="d")])
    answer = where(shapes, pd.concat([profile_of(), profile_of("d")]), MEANS, "nDCG@10")
    assert answer.statements[0] == "Of 2 profiles, 1 is a bell curve (m on c) and 1 is flat (m on d)."
    assert "0.50 to 1.00" in answer.statements[1] and "do not share a depth." in answer.statements[1]


def test_the_page_holds_words_table_and_figure(tmp_path):
    figure = tmp_path / "figure.svg"
    figure.write_text('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><text>drawn</text></svg>')
    answer = where(shape_of("bell", "one peak"), profile_of(), MEANS, "nDCG@10")
    write(tmp_path / "page.html", answer, figure)
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "<?xml" not in page
    for part in (answer.question, "The profile is a bell curve: one peak.", "<text>drawn</text>", "m on c"):
        assert part in page
