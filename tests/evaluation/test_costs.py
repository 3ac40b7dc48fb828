import math

import pytest

from layerrank.__main__ import main
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Cost
from layerrank.evaluation import costs
from layerrank.report.tables.costs import cost_table, outcome_table

WRITTEN = {"answers": 8, "well_formed": 6, "repeated": 3, "unparseable": 1}
COSTS = {
    "listwise-attention-all": [Cost("q1", 1, 0, 1, 100, 0, 1.0), Cost("q2", 1, 0, 1, 300, 0, 2.0)],
    "setwise-generation": [
        Cost("q1", 10, 2, 8, 800, 24, 3.0, 1, WRITTEN),
        Cost("q2", 6, 0, 6, 600, 18, 5.0, 0, {"answers": 2, "well_formed": 2}),
    ],
}


def test_summary_by_hand():
    table = costs.summarise(COSTS, "c", "m", "base").set_index("system")
    cell = table.loc["setwise-generation"]
    assert (cell["groups"], cell["memo_hits"], cell["prompt_tokens"], cell["truncated_passages"]) == (8, 1, 700, 0.5)
    assert (cell["seconds"], cell["seconds_median"], cell["seconds_q1"], cell["seconds_q3"]) == (4.0, 4.0, 3.5, 4.5)
    assert (cell["answers"], cell["well_formed"], cell["repeated"], cell["missing"]) == (10, 8, 3, 0)
    assert cell["failure_rate"] == pytest.approx(0.2)
    assert math.isnan(table.loc["listwise-attention-all", "failure_rate"])


def test_unknown_layers_are_no_layers_for_nothing():
    served, local = Cost("q", 1, prompt_tokens=100), Cost("q", 1, prompt_tokens=100, layer_tokens=3000)
    idle = Cost("one candidate")
    table = costs.summarise({"s-l": [served, idle], "p-l": [local, idle]}, "c", "m", "base").set_index("system")
    assert math.isnan(table.loc["s-l", "layer_tokens"]) and table.loc["p-l", "layer_tokens"] == 1500


def test_computed_beside_written_where_they_differ():
    shared = Cost("q", 2, prompt_tokens=1100, layer_tokens=3300, computed_tokens=700, computed_layer_tokens=2100)
    table = costs.summarise({"p-l": [shared], "s-l": [Cost("q", 2, prompt_tokens=1100)]}, "c", "m", "base")
    cells = table.set_index("system")
    assert (cells.loc["p-l", "prompt_tokens"], cells.loc["p-l", "computed_tokens"]) == (1100, 700)
    assert cells.loc["p-l", "computed_layer_tokens"] == 2100 and math.isnan(cells.loc["s-l", "computed_layer_tokens"])
    pairwise, setwise = (line.cells for line in cost_table(table).sections[0].rows)
    assert [(cell.value, cell.detail) for cell in (pairwise[4], pairwise[6])] == [(1100, "700"), (3300, "2,100")]
    assert (setwise[4].detail, setwise[6].detail) == ("", "")


def test_costs_without_what_was_computed_are_read_as_written(tmp_path):
    path = tmp_path / "old.costs.jsonl"
    path.write_text('{"qid": "q", "groups": 2, "prompt_tokens": 10, "layer_tokens": 30, "outcomes": {}}\n')
    (cost,) = files.read_costs(path)
    assert (cost.computed_tokens, cost.computed_layer_tokens) == (10, 30)
    split = Cost("q", prompt_tokens=10, layer_tokens=30, computed_tokens=0, computed_layer_tokens=7)
    files.write_costs(path, [split])
    assert files.read_costs(path) == [split]


def test_system_without_costs_is_named():
    with pytest.raises(UserError, match="a-b has no costs"):
        costs.summarise({"a-b": []}, "c", "m", "base")


def test_cost_table_counts_outcomes_and_marks_the_cheapest():
    table = cost_table(costs.summarise(COSTS, "c", "m", "base"))
    attention, generation = (line.cells for line in table.sections[0].rows)
    assert attention[8].bold and not generation[8].bold
    assert attention[9].value is None and math.isnan(attention[10].value)
    assert generation[9].value == 10 and generation[10].detail == "unparseable\u00a01, repeated\u00a03"


def test_outcome_table_leaves_out_what_writes_nothing():
    table = outcome_table(costs.summarise(COSTS, "c", "m", "grid"))
    (line,) = table.sections[0].rows
    assert [cell.value for cell in line.cells] == ["Setwise generation", 10, 0.8, 0.1, 0, 3, 0]
    assert table.sections[0].title == "c · m · grid · 2 queries"
    silent = costs.summarise({name: COSTS[name] for name in COSTS if "attention" in name}, "c", "m", "base")
    assert outcome_table(silent).sections == () and "No system" in outcome_table(silent).notes[0]


def test_commands_join_cells(tmp_path):
    flags = []
    for system, queries in COSTS.items():
        files.write_costs(tmp_path / f"{system}.costs.jsonl", queries)
        flags.append(f"{system}={tmp_path}/{system}.costs.jsonl")
    for model in ("m", "n"):
        named = ["--collection", "c", "--model", model]
        assert main(["summarise-costs", *named, "--costs", *flags, "--output", f"{tmp_path}/{model}.tsv"]) == 0
    outputs = [f"{tmp_path}/costs{suffix}" for suffix in (".tsv", ".html", ".tex", ".md")]
    assert main(["cost-table", "--costs", f"{tmp_path}/m.tsv", f"{tmp_path}/n.tsv", "--outputs", *outputs]) == 0
    assert main(["outcome-table", "--costs", f"{tmp_path}/m.tsv", "--outputs", f"{tmp_path}/outcomes.html"]) == 0
    assert "80.0%" in (tmp_path / "outcomes.html").read_text()
    assert "20.0%" in (tmp_path / "costs.md").read_text() and r"20.0\%" in (tmp_path / "costs.tex").read_text()
    assert len((tmp_path / "costs.tsv").read_text().splitlines()) == 1 + 4
