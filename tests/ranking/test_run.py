"""One cell from files to files: resume, digests, failures, TREC runs, the command line and the Python interface."""

import dataclasses
import gzip
import json
import logging
import subprocess
import sys

import pytest
from support.killed import killed_after
from support.tiny import save_tiny

import layerrank
from layerrank.__main__ import main
from layerrank.core import files, lists, sampling
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Cost, Passage, Query, Ranking
from layerrank.core.windows import LayerWindow
from layerrank.first_stage.candidates import candidates_of_run
from layerrank.models.folder import load_tokenizer
from layerrank.prompts.icr import fitting_family
from layerrank.ranking import engine as engines
from layerrank.ranking.cells import Cell, cut_tokens, make_cell
from layerrank.ranking.journal import Journal
from layerrank.ranking.run import join_shards, rerank

TEXTS = ["wings make lift", "bread rises", "", "air flows over the wing", "yeast turns sugar", "layers grow"]


def rows(count=4):
    return [
        Candidates(
            Query(f"q{number}", f"what is lift {number}"),
            tuple(Passage(f"d{place}", f"{text} {number}".strip()) for place, text in enumerate(TEXTS)),
            tuple(float(-place) for place in range(len(TEXTS))),
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama", "gpt2", layers=3)


def attention(**changes):
    return Cell("setwise", "attention", {"k": 2}, {}, family="chatml", windows=LayerWindow(0, 1), **changes)


def run(tmp_path, model, cell=None, **options):
    output, costs = tmp_path / "run.txt", tmp_path / "run.costs.jsonl"
    rerank(rows(), cell or attention(), model, output=output, costs=costs, tag="cell", **options)
    return output, costs


def by_itself(path):
    """Costs without what depends on the queries that were ranked beside one: seconds, and tokens computed once."""
    own = {"seconds": 0, "computed_tokens": 0, "computed_layer_tokens": 0}
    return [{**row, **own} for row in files.read_jsonl(path)]


def test_a_run_is_written_whole_in_the_order_of_the_candidates(tmp_path, model):
    output, costs = run(tmp_path, model)
    rankings = files.read_run(output)
    assert [ranking.qid for ranking in rankings] == ["q0", "q1", "q2", "q3"]
    assert all(sorted(ranking.pids) == [f"d{place}" for place in range(6)] for ranking in rankings)
    assert [cost.qid for cost in files.read_costs(costs)] == ["q0", "q1", "q2", "q3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.costs.jsonl", "run.txt"]
    first = output.read_bytes(), by_itself(costs)
    run(tmp_path, model, batch_tokens=1, queries_at_once=1)
    assert (output.read_bytes(), by_itself(costs)) == first


def parts_of(tmp_path, model, cell, shards):
    """Runs and costs of a cell by shard."""
    runs, spent = [], []
    for shard in range(shards):
        runs.append(tmp_path / f"run.shard-{shard}.txt")
        spent.append(tmp_path / f"run.shard-{shard}.costs.jsonl")
        part = sampling.shard_of(rows(), shard, shards)
        rerank(part, cell, model, output=runs[-1], costs=spent[-1], tag="cell")
    return runs, spent


@pytest.mark.parametrize("shards", [1, 3, 6])
def test_the_parts_of_a_run_make_the_whole_one(tmp_path, model, shards):
    whole, costs = run(tmp_path, model)
    runs, spent = parts_of(tmp_path, model, attention(), shards)
    joined, joined_costs = tmp_path / "joined.txt", tmp_path / "joined.costs.jsonl"
    join_shards(runs, spent, output=joined, costs=joined_costs, tag="cell")
    assert joined.read_bytes() == whole.read_bytes()
    groups = [
        [(cost.qid, cost.groups, cost.prompt_tokens) for cost in files.read_costs(path)]
        for path in (costs, joined_costs)
    ]
    assert groups[0] == groups[1]


def test_failures_are_judged_over_all_parts(tmp_path, model):
    cell = Cell("setwise", "generation", {"k": 1}, {}, name="cell")
    runs, spent = parts_of(tmp_path, model, cell, 2)
    with pytest.raises(UserError, match="cell"):
        join_shards(runs, spent, output=tmp_path / "o", costs=tmp_path / "c", tag="cell", max_failure_rate=0.0)
    assert not (tmp_path / "o").exists()


def test_parts_must_be_of_the_same_queries(tmp_path, model):
    runs, spent = parts_of(tmp_path, model, attention(), 2)
    with pytest.raises(UserError, match="other queries"):
        join_shards(runs, spent[::-1], output=tmp_path / "o", costs=tmp_path / "c", tag="cell")


def test_a_killed_cell_goes_on_from_its_finished_queries(tmp_path, model, monkeypatch):
    whole = tmp_path / "whole"
    expected = run(whole, model)[0].read_bytes()
    with killed_after(3):
        run(tmp_path, model, queries_at_once=1)
    partial = tmp_path / ".run.txt.partial.jsonl"
    assert len(partial.read_text().splitlines()) == 4
    with partial.open("a") as stream:
        stream.write('{"ranking": {"qid": "q9"')  # a line that the kill cut off
    seen = []
    ranked = engines.Engine.rank
    monkeypatch.setattr(engines.Engine, "rank", lambda self, rows: (seen.extend(rows), ranked(self, rows))[1])
    output, costs = run(tmp_path, model)
    assert [row.query.qid for row in seen] == ["q3"]
    assert output.read_bytes() == expected
    assert by_itself(costs) == by_itself(whole / "run.costs.jsonl")
    assert not partial.exists()


def test_a_finished_cell_that_was_kept_is_not_ranked_again(tmp_path, model, monkeypatch):
    output, costs = run(tmp_path, model, keep=True)
    written = output.read_bytes(), costs.read_bytes()
    output.unlink()
    costs.unlink()
    monkeypatch.setattr(engines.Engine, "rank", lambda self, rows: pytest.fail("a query is ranked"))
    for keep in (True, False):
        run(tmp_path, model, keep=keep)
        assert (output.read_bytes(), costs.read_bytes()) == written
        assert [path.name for path in tmp_path.glob(".*")] == ([".run.txt.jsonl.whole"] if keep else [])


@pytest.mark.parametrize(
    "change",
    [
        {"cell": Cell("setwise", "attention", {"k": 3}, {}, family="chatml", windows=LayerWindow(0, 1))},
        {"cell": Cell("setwise", "attention", {"k": 2}, {}, family="chatml", windows=LayerWindow(0, 2))},
        {
            "cell": Cell(
                "setwise", "attention", {"k": 2}, {}, family="qwen", windows=LayerWindow(0, 1), instruction="QA"
            )
        },
        {"code": "edited"},
        {"dtype": "bfloat16"},
    ],
)
def test_defect_9_what_was_begun_with_other_settings_is_set_aside(tmp_path, model, monkeypatch, caplog, change):
    with killed_after(2):
        run(tmp_path, model, queries_at_once=1)
    fresh = run(tmp_path / "fresh", model, **change)[0].read_bytes()
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, model, **change)[0].read_bytes() == fresh
    assert "set aside" in caplog.text
    assert (tmp_path / ".run.txt.partial.jsonl.stale").exists()


COST = Cost("q", 3, 1, 4, 50, 6, 0.25, 2, {"answers": 3})


def test_the_journal_keeps_every_field(tmp_path):
    ranking = Ranking("q", ("a", "b"), (0.1, -2.5e-7))
    with Journal(tmp_path / "p", "digest") as journal:
        journal.add(ranking, COST)
    with Journal(tmp_path / "p", "digest") as journal:
        assert journal.finished == {"q": (ranking, COST)}


def test_a_damaged_line_of_the_journal_is_ranked_again_and_the_others_are_not(tmp_path, caplog):
    path = tmp_path / "p"
    with Journal(path, "digest") as journal:
        for qid in ("q1", "q2", "q3"):
            journal.add(Ranking(qid, ("a", "b"), (0.75, 0.5)), dataclasses.replace(COST, qid=qid))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2].replace("0.75", "0.25"), lines[3]]))
    with Journal(path, "digest") as journal:
        assert list(journal.finished) == ["q1", "q3"]
        assert "1 lines are damaged" in caplog.text
        journal.add(Ranking("q2", ("a", "b"), (0.75, 0.5)), COST)
    with Journal(path, "digest") as journal:
        assert sorted(journal.finished) == ["q1", "q2", "q3"]


def test_two_jobs_on_one_output_lock_each_other_out_and_neither_loses_work(tmp_path, model, monkeypatch):
    whole = engines.Engine.rank
    refused = []

    def rank(self, rows):
        for ranked in whole(self, rows):
            yield ranked
            with pytest.raises(UserError, match=r"\.run\.txt\.partial\.jsonl: another process is writing this run"):
                run(tmp_path, model)
            refused.append(ranked)

    expected = run(tmp_path / "alone", model)[0].read_bytes()
    monkeypatch.setattr(engines.Engine, "rank", rank)
    assert run(tmp_path, model, keep=True)[0].read_bytes() == expected
    assert len(refused) == 4


def test_too_many_bad_answers_name_the_cell_and_lose_no_work(tmp_path, model, monkeypatch):
    def cell(rate):
        return Cell("setwise", "generation", {"k": 1}, {"max_failure_rate": rate})

    with pytest.raises(UserError, match=r"cell: .* of its answers are not well-formed \(.*max_failure_rate: 0.01"):
        run(tmp_path, model, cell(0.01))
    assert not (tmp_path / "run.txt").exists()
    monkeypatch.setattr(engines.Engine, "rank", None)
    output, costs = run(tmp_path, model, cell(1.0))
    assert len(files.read_run(output)) == 4
    assert sum(cost.outcomes["answers"] for cost in files.read_costs(costs)) > 4


def test_a_query_that_comes_twice_is_named(tmp_path, model):
    with pytest.raises(UserError, match="'q0'"):
        rerank([*rows(1), *rows(1)], attention(), model, output=tmp_path / "r", costs=tmp_path / "c", tag="cell")


def test_a_trec_run_with_texts(tmp_path):
    (tmp_path / "run.txt").write_text("q1 Q0 d2 1 9.5 x\nq1 Q0 d1 2 9.0 x\nq1 Q0 d3 3 8.0 x\nq2 Q0 d1 1 4 x\n")
    (tmp_path / "topics.jsonl").write_text('{"_id": "q1", "text": "one"}\n{"qid": "q2", "text": "two"}\n')
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt") as stream:
        for place in range(9):
            stream.write(
                json.dumps({"_id": f"d{place}", "title": "T" if place == 2 else None, "text": "a b c d"}) + "\n"
            )
    found = candidates_of_run(
        tmp_path / "run.txt", tmp_path / "topics.jsonl", tmp_path / "corpus.jsonl.gz", depth=2, words=3
    )
    assert [(row.query.text, [passage.pid for passage in row.passages]) for row in found] == [
        ("one", ["d2", "d1"]),
        ("two", ["d1"]),
    ]
    assert found[0].passages[0] == Passage("d2", "a b c", "T")
    (tmp_path / "topics.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(UserError, match=r"topics.jsonl:1: expected one of the fields _id, id, qid, query_id"):
        candidates_of_run(tmp_path / "run.txt", tmp_path / "topics.jsonl", tmp_path / "corpus.jsonl.gz")


def test_the_command_on_a_trec_run(tmp_path, model, capsys):
    (tmp_path / "run.txt").write_text("".join(f"q1 Q0 d{place} {place + 1} {9 - place} x\n" for place in range(6)))
    (tmp_path / "topics.jsonl").write_text('{"qid": "q1", "text": "what is lift"}\n')
    files.write_jsonl(tmp_path / "corpus.jsonl", ({"_id": f"d{at}", "text": text} for at, text in enumerate(TEXTS)))
    command = ["rerank", "--run", str(tmp_path / "run.txt"), "--model", str(model), "--framework", "pointwise"]
    command += ["--mechanism", "attention", "--window", "1", "--output", str(tmp_path / "new.txt"), "--depth", "4"]
    assert main(command) == 2
    assert "--run needs --topics and --passages" in capsys.readouterr().err
    command += ["--topics", str(tmp_path / "topics.jsonl"), "--passages", str(tmp_path / "corpus.jsonl")]
    assert main(command) == 0
    (ranking,) = files.read_run(tmp_path / "new.txt")
    assert sorted(ranking.pids) == ["d0", "d1", "d2", "d3"]


def test_the_command_from_lists_with_texts_to_lists_with_texts(tmp_path, model, capsys):
    given = [Candidates(row.query, row.passages, row.scores) for row in rows(2)]
    lists.write_lists(tmp_path / "in.json", given, [lists.ranking_of(row) for row in given])
    command = ["rerank", "--lists", str(tmp_path / "in.json"), "--model", str(model), "--framework", "pointwise"]
    command += ["--mechanism", "attention", "--window", "1", "--depth", "4", "--words", "2"]
    assert main([*command, "--output", str(tmp_path / "run.txt")]) == 0
    assert main([*command, "--output", str(tmp_path / "out.jsonl.gz"), "--format", "rank_llm"]) == 0
    written = list(lists.read_lists(tmp_path / "out.jsonl.gz"))
    assert [row.query for row in written] == [row.query for row in given]
    texts = {passage.pid: " ".join(passage.text.split(" ")[:2]) for passage in given[0].passages[:4]}
    assert {passage.pid: passage.text for passage in written[0].passages} == texts
    run_ = files.read_run(tmp_path / "run.txt")
    assert [lists.ranking_of(row).pids for row in written] == [ranking.pids for ranking in run_]
    assert lists.ranking_of(written[0]).scores == pytest.approx(run_[0].scores, rel=1e-8)
    assert len(files.read_costs(tmp_path / "out.jsonl.costs.jsonl")) == 2
    again = [*command, "--output", str(tmp_path / "again.txt")]
    again[2] = str(tmp_path / "out.jsonl.gz")
    assert main(again) == 0  # pointwise scores do not depend on the order that the lists come in
    assert [ranking.pids for ranking in files.read_run(tmp_path / "again.txt")] == [each.pids for each in run_]
    capsys.readouterr()
    for wrong, words in (
        (["--topics", str(tmp_path / "in.json")], "--topics: goes with --run, not with --lists"),
        (["--format", "csv"], "--format: invalid choice: 'csv' (choose from"),
    ):
        assert main([*command, "--output", str(tmp_path / "x"), *wrong]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "in.json").write_text('[{"query": {"qid": "q", "text": " "}, "hits": []}]')
    assert main([*command, "--output", str(tmp_path / "x")]) == 2
    assert "the text of query 'q' is blank" in capsys.readouterr().err
    (tmp_path / "in.json").write_text("[]")
    assert main([*command, "--output", str(tmp_path / "x")]) == 2
    assert "in.json: no candidates of any query" in capsys.readouterr().err


def heads(listed):
    return ["--mechanism", "attention", "--mechanism-settings", f'{{"strategy": "NA_only", "heads": {listed}}}']


def test_the_command(tmp_path, model, capsys):
    files.write_candidates(tmp_path / "candidates.jsonl.gz", rows())
    common = ["rerank", "--candidates", str(tmp_path / "candidates.jsonl.gz"), "--model", str(model)]
    out = ["--output", str(tmp_path / "run.txt")]
    settings = ["--framework", "setwise", "--framework-settings", '{"k": 2, "c": 3}', "--tag", "mine"]
    assert main([*common, *settings, "--mechanism", "attention", "--window", "L0-1", *out]) == 0
    assert {line.split()[-1] for line in (tmp_path / "run.txt").read_text().splitlines()} == {"mine"}
    assert len(files.read_costs(tmp_path / "run.costs.jsonl")) == 4
    for arguments, words in [
        ([*settings, "--mechanism", "attention", "--window", "L0-3"], "layers 0 to 2"),
        ([*settings, "--mechanism", "attention", "--window", "selected-peak"], "--selection"),
        ([*settings, "--mechanism", "generation", "--max-failure-rate", "0"], "mine: 100.0% of its answers"),
        ([*settings, "--mechanism", "intuition"], "generation, likelihood, attention"),
        ([*settings, "--mechanism", "likelihood", "--window", "L0-1"], "window 'L0-1': likelihood has no layer window"),
        ([*settings, *heads("[]"), "--window", "L0-1"], "heads: the set is empty"),
        ([*settings, *heads("[[0, 0.5]]"), "--window", "L0-1"], "head [0, 0.5]: expected"),
        ([*settings, *heads("[[0, 99]]"), "--window", "L0-1"], "head 0-99: the model has heads 0 to"),
        ([*settings, *heads("[[3, 0]]"), "--window", "L0-1"], "head 3-0: the model has layers 0 to 2"),
        ([*settings, *heads("[[2, 0]]"), "--window", "L0-1"], "heads: none of 2-0 lies in window"),
        (
            ["--framework", "listwise", "--framework-settings", '{"step": 30}', "--mechanism", "likelihood"],
            "at most size",
        ),
    ]:
        assert main([*common, *arguments, *out]) == 2
        message = capsys.readouterr().err.strip().splitlines()[-1]
        assert message.startswith("layerrank rerank: ")
        assert words in message


def test_defect_10_a_prompt_beyond_the_context_stops_the_cell_before_it_runs(tmp_path, model, monkeypatch):
    long = Candidates(Query("q9", "lift"), (Passage("d", "bread " * 6000),), (1.0,))
    monkeypatch.setattr(engines.Engine, "rank", None)
    with pytest.raises(
        UserError, match=r"query q9: 1 passages take \d+ tokens, the model has room for 4096: lower pass"
    ):
        rerank(
            [*rows(), long],
            Cell("pointwise", "likelihood"),
            model,
            output=tmp_path / "r",
            costs=tmp_path / "c",
            tag="x",
        )


def test_texts_cut_by_tokens_are_counted(tmp_path, model):
    tokenizer = load_tokenizer(model)
    assert cut_tokens(tokenizer, "wings make lift", 2) == tokenizer.decode(
        tokenizer("wings make lift")["input_ids"][1:3]
    )
    assert cut_tokens(tokenizer, "wings", 100) == cut_tokens(tokenizer, "wings", None) == "wings"
    cell = Cell("pointwise", "likelihood", {}, {"passage_tokens": 4, "query_tokens": 3})
    _, costs = run(tmp_path, model, cell)
    counts = [cost.truncated_passages for cost in files.read_costs(costs)]
    long = sum(len(tokenizer(f"{text} 0".strip(), add_special_tokens=False)["input_ids"]) > 4 for text in TEXTS)
    assert 0 < long < 6
    assert counts == [long] * 4


def test_cells_are_checked_and_complete(model):
    cell = make_cell(model, ["q"], framework="setwise", mechanism="attention", window="all")
    assert (cell.family, cell.windows, cell.layers) == ("qwen", {"q": LayerWindow(0, 2)}, 3)
    assert dict(cell.framework_settings) == {"c": 2, "k": 10}
    assert cell.name == "setwise-attention"
    assert make_cell(model, [], framework="setwise", mechanism="likelihood").head
    tokenizer = load_tokenizer(model)
    tokenizer.chat_template = "{{ messages }}"
    with pytest.raises(UserError, match="name one of llama3"):
        fitting_family(tokenizer)
    for settings, words in [
        ({"max_new_tokens": 0}, "max_new_tokens: 0: expected a whole number from 1"),
        ({"max_failure_rate": 2}, "max_failure_rate: 2: expected a number from 0 to 1"),
        ({"prompt": "qlm"}, "prompt: 'qlm': expected one of setwise, setwise_reasoning"),
        ({"temperature": 1}, "unknown setting 'temperature'"),
    ]:
        with pytest.raises(UserError, match=words):
            Cell("setwise", "generation", {}, settings)


@pytest.mark.parametrize("mechanism", ["generation", "likelihood", "attention"])
@pytest.mark.parametrize("framework", ["pointwise", "pairwise", "setwise", "listwise"])
def test_the_python_interface(model, framework, mechanism):
    reranker = layerrank.Reranker(model, framework=framework, mechanism=mechanism)
    texts = [f"{text} {place}" for place, text in enumerate(TEXTS * 2)]
    many = reranker.rank_many(
        [("what is lift", texts), ("bread", []), ("air", [Passage("x", "air", "T")]), ("a", ["b", "b"])]
    )
    assert [len(results) for results in many] == [12, 0, 1, 2]
    assert sorted(result.index for result in many[0]) == list(range(12))
    assert all(result.passage == texts[result.index] for result in many[0])
    scores = [result.score for result in many[0]]
    assert scores == sorted(scores, reverse=True)
    assert many[2][0].passage == Passage("x", "air", "T")
    assert [cost.qid for cost in reranker.costs] == ["0", "1", "2", "3"]
    alone = reranker.rank("what is lift", texts)
    assert [result.index for result in alone] == [result.index for result in many[0]]


@pytest.mark.parametrize("mechanism", ["generation", "likelihood", "attention"])
@pytest.mark.parametrize("count", [26, 120])
def test_many_passages_in_one_group(tmp_path, mechanism, count):
    folder = save_tiny(tmp_path / "long", "llama", "gpt2", layers=1, max_position_embeddings=32768)
    reranker = layerrank.Reranker(folder, mechanism=mechanism, framework_settings={"size": "whole"})
    results = reranker.rank("lift", [f"wing {place}" for place in range(count)])
    assert sorted(result.index for result in results) == list(range(count))
    assert reranker.costs[0].groups == 1
    if mechanism != "generation":
        assert len({result.score for result in results}) == count


def test_the_python_interface_takes_a_window(model):
    reranker = layerrank.Reranker(model, window="0-1")
    assert reranker.decoder.loaded_layers == 2
    assert reranker.cell.framework_settings["size"] == "whole"
    with pytest.raises(UserError, match="has no layer window"):
        layerrank.Reranker(model, mechanism="likelihood", window="0-1")
    with pytest.raises(AttributeError):
        layerrank.Ranker  # noqa: B018


def test_importing_the_package_stays_light():
    heavy = (
        "import sys, layerrank, layerrank.ranking.frameworks; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", heavy], check=True)
