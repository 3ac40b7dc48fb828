import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from layerrank.__main__ import main
from layerrank.core import frames
from layerrank.report.tables import published

REPOSITORY = Path(__file__).parents[2]
REFERENCE = REPOSITORY / ".." / "shared" / "docs" / "reference-numbers.md"
THEOREMS = "bright-theoremqa-theorems"


def means(rows):
    return pd.DataFrame(
        [
            (collection, model, "base", system, "nDCG@10", mean, mean, mean, 76, mean * 76 / 14, 14, 0.9)
            for collection, model, system, mean in rows
        ],
        columns=frames.MEANS,
    )


STUDY = means(
    [
        (THEOREMS, "qwen3-0.6b", "bm25", 0.0214),
        (THEOREMS, "qwen3-0.6b", "listwise-attention-all", 0.02),
        (THEOREMS, "other", "bm25", 0.0214),
        ("pocket", "other", "bm25", 0.5),
    ]
)
PROFILES = pd.DataFrame(columns=frames.PROFILE)


def lines(table):
    return [[cell.value for cell in line.cells] for section in table.sections for line in section.rows]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the page of reference numbers is not here")
def test_figures_are_those_of_the_page():
    text = REFERENCE.read_text()
    for figure in published.published_figures():
        four, five = f"{figure.value:.4f}".lstrip("0"), f"{figure.value:.5f}".lstrip("0")
        percent = f"{figure.value * 100:.1f}"
        assert figure.value == 0 or four in text or five in text or percent in text, figure


def test_figures_are_complete_and_distinct():
    figures = published.published_figures()
    assert len({(f.collection, f.model, f.system, f.measure, f.what) for f in figures}) == len(figures)
    assert {f.denominator for f in figures} == set(published.DENOMINATORS)
    assert {f.kind for f in figures} == set(published.KINDS)
    assert all(0 <= f.value <= 1 and f.source and re.fullmatch(r"[A-Za-z]+@\d+", f.measure) for f in figures)
    layers = [f for f in figures if f.system.startswith("listwise-attention-L")]
    assert len(layers) == 28 and layers[14].value == 0.30023 and layers[14].system == "listwise-attention-L14-14"


def test_published_denominator_is_kept():
    table = published.published_table(STUDY, PROFILES, "base")
    found = {line[0]: line for line in lines(table)}
    assert len(lines(table)) == 2
    bm25 = found["BM25 (first stage)"]
    assert bm25[2:6] == ["all judged queries", 76, 0.0214, pytest.approx(0.0214)]
    attention = found["Listwise attention, all layers"]
    assert attention[2:4] == ["with a relevant candidate", 14]
    assert attention[5] == pytest.approx(0.02 * 76 / 14)
    assert attention[6] == pytest.approx(0.02 * 76 / 14 - 0.10046)


def test_layers_come_from_the_profile_with_the_published_denominator():
    profile = pd.DataFrame({"measure": "nDCG@10", "layer": [0, 14], "mean": [0.0, 0.05]})
    profiles = profile.assign(collection=THEOREMS, model="qwen3-0.6b", variant="base")
    table = published.published_table(STUDY, profiles, "base")
    found = {line[0]: line for line in lines(table)}
    assert found["Listwise attention, layer 14"][4] == 0.30023
    assert found["Listwise attention, layer 14"][5] == pytest.approx(0.05 * 76 / 14)
    assert "Listwise attention, layer 13" not in found


def test_study_without_published_figures_says_so(tmp_path):
    frames.write_frame(tmp_path / "means.tsv", STUDY[STUDY["collection"] == "pocket"])
    outputs = [f"{tmp_path}/p{suffix}" for suffix in (".tsv", ".html", ".tex", ".md")]
    assert main(["published-table", "--means", f"{tmp_path}/means.tsv", "--outputs", *outputs]) == 0
    assert "No published figure" in (tmp_path / "p.html").read_text()
    assert (tmp_path / "p.tsv").read_text().count("\n") == 1


def test_figures_are_those_that_the_catalogue_expects_of_the_first_stage():
    catalogue = yaml.safe_load((REPOSITORY / "config" / "collections.yaml").read_text())
    published_bm25 = {(f.collection, f.measure): f.value for f in published.published_figures() if f.system == "bm25"}
    compared = 0
    for name, entry in catalogue.items():
        for measure, value in entry.get("expected", {}).get("measures", {}).items():
            if (name, measure) in published_bm25:
                assert published_bm25[name, measure] == value, (name, measure)
                compared += 1
    assert compared > 30


def test_models_are_those_of_the_catalogue():
    catalogue = yaml.safe_load((REPOSITORY / "config" / "models.yaml").read_text())
    assert {f.model for f in published.published_figures()} - {""} <= catalogue.keys()
