import numpy as np
import pandas as pd
import pytest

from layerrank.__main__ import main
from layerrank.core import frames
from layerrank.core.errors import UserError
from layerrank.evaluation import sensitivity
from layerrank.report.tables.sensitivity import sensitivity_table, setting


def rows(variant, system, scores, first=0):
    return [
        ("c", "m", variant, system, f"q{number}", "nDCG@10", score, 1) for number, score in enumerate(scores, first)
    ]


ATTENTION = "listwise-attention-all"
VALUES = pd.DataFrame(
    [
        *rows("base", "bm25", [0.5, 0.5, 0.5, 0.5]),
        *rows("base", ATTENTION, [0.1, 0.4, 0.6, 0.8]),
        *rows("base", "ceiling", [1, 1, 1, 1]),
        *rows("few", ATTENTION, [0.5, 0.6], first=1),
        *rows("seed1", ATTENTION, [0.3, 0.2, 0.6, 0.8]),
        *rows("seed2", ATTENTION, [0.1, 0.4, 0.6, 0.4]),
        *rows("seed1", "ceiling", [1, 1, 1, 1]),
        *rows("seed1", "setwise-generation", [0, 0, 0, 0]),
    ],
    columns=frames.VALUES,
)
SETTINGS = {
    "few": {"order": "reversed", "queries": 2},
    "seed1": {"order": "shuffled", "seed": 1},
    "seed2": {"order": "shuffled", "seed": 2},
    "grid": {"queries": 2},
}


def test_differences_by_hand():
    table = sensitivity.sensitivity(VALUES, seed=1, resamples=200).set_index(["variant", "system"])
    assert list(table.index) == [("few", ATTENTION), ("seed1", ATTENTION), ("seed2", ATTENTION)]
    few = table.loc["few", ATTENTION]
    assert (few["queries"], few["wins"], few["ties"], few["losses"]) == (2, 1, 1, 0)
    assert (few["base"], few["value"], few["difference"]) == pytest.approx((0.5, 0.55, 0.05))
    hidden = table.loc["seed1", ATTENTION]
    assert hidden["difference"] == pytest.approx(0.0) and hidden["changed"] == pytest.approx(0.1)
    assert hidden["low"] < 0 < hidden["high"]


def test_a_variant_against_another_than_the_base():
    own = [*rows("grid", "setwise-generation", [0.2, 0.4]), *rows("grid-reversed", "setwise-generation", [0.5, 0.5])]
    values = pd.concat([VALUES, pd.DataFrame(own, columns=frames.VALUES)])
    values = values[values["variant"].isin(["base", "grid-reversed", "grid"]) & (values["system"] != "bm25")]
    with pytest.raises(UserError, match="variant grid shares no query"):
        sensitivity.sensitivity(values, seed=1, against={"grid-reversed": "grid"})
    base = pd.DataFrame(rows("base", "setwise-generation", [0.2, 0.4]), columns=frames.VALUES)
    table = sensitivity.sensitivity(pd.concat([values, base]), seed=1, against={"grid-reversed": "grid"})
    found = table.set_index("variant").loc["grid-reversed"]
    assert (found["base"], found["value"], found["difference"]) == pytest.approx((0.3, 0.5, 0.2))


def test_variant_without_a_base_is_named():
    with pytest.raises(UserError, match="variant few shares no query"):
        sensitivity.sensitivity(VALUES[VALUES["variant"] == "few"], seed=1)


def test_a_model_that_runs_no_base_is_left_out():
    served = VALUES[VALUES["variant"] == "few"].assign(model="served")
    found = sensitivity.sensitivity(pd.concat([VALUES, served]), seed=1, resamples=200)
    assert "few" in set(found["variant"]) and "served" not in set(found["model"])


def test_table_words_variants_and_gathers_seeds():
    table = sensitivity_table(sensitivity.sensitivity(VALUES, seed=1, resamples=200), "nDCG@10", SETTINGS)
    lines = [line.cells for line in table.sections[0].rows]
    words = ["order reversed", "order shuffled, seed 1", "order shuffled, seed 2", "order shuffled, 2 seeds"]
    assert [cells[0].value for cells in lines] == words
    assert lines[0][1].value == 2 and lines[1][1].value == 4
    assert lines[1][2].value == 1.0
    assert lines[3][3].value == pytest.approx(-0.05)
    assert lines[3][3].detail == "[−0.100,\u00a0+0.000]"
    assert [column.title for column in table.columns[3:]] == ["Listwise attention, all layers"]


def test_settings_in_words():
    assert setting({"query_span": "query_only", "queries": 5}) == "query span query_only"
    assert setting({"queries": 5}) == ""


def test_commands_and_a_study_without_variants(tmp_path):
    frames.write_frame(tmp_path / "base.tsv", VALUES[VALUES["variant"] == "base"])
    frames.write_frame(tmp_path / "all.tsv", VALUES)
    for name in ("base", "all"):
        files = ["--evaluations", f"{tmp_path}/{name}.tsv", "--output", f"{tmp_path}/{name}.out.tsv"]
        assert main(["sensitivity", *files, "--resamples", "100"]) == 0
        flags = ["--differences", f"{tmp_path}/{name}.out.tsv", "--measure", "nDCG@10"]
        variants = '{"seed1": {"order": "shuffled", "seed": 1}}' if name == "all" else "{}"
        outputs = [f"{tmp_path}/{name}{suffix}" for suffix in (".html", ".md", ".tex")]
        assert main(["sensitivity-table", *flags, "--variants", variants, "--outputs", *outputs]) == 0
    assert "no variant" in (tmp_path / "base.html").read_text()
    assert "order shuffled, seed 1" in (tmp_path / "all.html").read_text()
    whole = frames.read_frame(tmp_path / "all.out.tsv", frames.SENSITIVITY)
    assert np.isfinite(whole["difference"]).all() and len(whole) == 3
