"""The transformer in PyTerrier's pipelines, by PyTerrier's own checks, and the experiment of docs/pyterrier.md."""

import math
import re
import subprocess
import sys
import unittest

import pandas as pd
import pytest
from support.studies import CHECKOUT
from support.tiny import save_tiny

import layerrank
from layerrank.core import files
from layerrank.core.formats import read_documents, read_queries
from layerrank.core.records import Ranking

pt = pytest.importorskip("pyterrier")

FRAME = pd.DataFrame(
    [
        ["2", "what is lift", "x", "", "wings make lift", 3.0, 0, "kept"],
        ["2", "what is lift", "y", "Oven", "bread rises", 2.0, 1, "too"],
        ["10", "how does bread rise", "y", "Oven", "bread rises", 9.0, 0, "a"],
        ["2", "what is lift", "z", "", "air flows", 1.0, 2, "b"],
        ["10", "how does bread rise", "x", "", "wings make lift", 8.0, 1, "c"],
    ],
    columns=["qid", "query", "docno", "title", "text", "score", "rank", "year"],
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama", "byte_level", layers=3)


@pytest.fixture(scope="module")
def transformer(model):
    return layerrank.pyterrier.LayerRank(layerrank.Reranker(model))


def test_a_frame_comes_back_as_rank_many_ranks_it(transformer):
    found = transformer(FRAME)
    assert sorted(found.columns) == sorted(FRAME.columns)
    passages = {
        qid: part[["docno", "title", "text"]].to_dict("records") for qid, part in FRAME.groupby("qid", sort=False)
    }
    many = transformer.reranker.rank_many([("what is lift", passages["2"]), ("how does bread rise", passages["10"])])
    for qid, results in zip(("2", "10"), many, strict=True):
        part = found[found["qid"] == qid]
        assert list(part["docno"]) == results.ids
        assert list(part["score"]) == pytest.approx([result.score for result in results], abs=1e-5)
        assert list(part["rank"]) == list(range(len(results)))
        assert list(pt.model.add_ranks(part.copy())["rank"]) == list(part["rank"])  # PyTerrier's own idea of it
    assert dict(zip(found["docno"] + found["qid"], found["year"], strict=True)) == dict(
        zip(FRAME["docno"] + FRAME["qid"], FRAME["year"], strict=True)
    )
    assert len(transformer.reranker.costs) == 2


def test_pipelines_cut_compose_and_search(transformer):
    first = pt.Transformer.from_df(FRAME.drop(columns="query"))
    topics = FRAME[["qid", "query"]].drop_duplicates()
    whole = (first >> transformer)(topics)
    best = (first >> transformer % 1)(topics)
    assert list(best["docno"]) == list(whole[whole["rank"] == 0].sort_values("qid")["docno"])
    two = (first % 2 >> transformer)(topics)
    assert sorted(two[two["qid"] == "2"]["docno"]) == ["x", "y"]
    again = (first >> transformer % 2 >> transformer)(topics)
    assert len(again) == 4 and set(again["rank"]) == {0, 1}


@pytest.mark.parametrize("columns", [["qid", "query", "docno", "text"], list(FRAME.columns)])
def test_a_frame_without_rows_gives_one_without_rows(transformer, columns):
    found = transformer(pd.DataFrame(columns=columns))
    assert set(found.columns) == {*columns, "score", "rank"} and len(found) == 0
    assert (found["score"].dtype.kind, found["rank"].dtype.kind) == ("f", "i")


@pytest.mark.parametrize("column", ["qid", "query", "docno", "text"])
def test_a_missing_column_is_pyterriers_error(transformer, column):
    with pytest.raises(pt.validate.InputValidationError, match=column):
        transformer(FRAME.drop(columns=column))


def test_a_blank_text_is_named(transformer):
    with pytest.raises(layerrank.UserError, match=r"queries\[1\]: passages\[1\]: text: the text is empty"):
        transformer(FRAME.assign(title="", text=[*FRAME["text"][:4], " "]))


def test_inspection(transformer):
    assert pt.inspect.transformer_inputs(transformer) == [["qid", "docno", "query", "text"]]
    outputs = pt.inspect.transformer_outputs(transformer, ["qid", "query", "docno", "text"])
    assert outputs == ["qid", "query", "docno", "text", "score", "rank"]
    assert [each.name for each in pt.inspect.transformer_attributes(transformer)] == ["reranker"]


def test_pyterriers_own_suite_for_transformers(transformer, monkeypatch):
    monkeypatch.setenv("PT_TEST_TRANSFORMER_REPORTS", "0")
    case = pt.testing.transformer_test_class(lambda: transformer)
    result = unittest.defaultTestLoader.loadTestsFromTestCase(case).run(unittest.TestResult())
    assert result.testsRun == 2
    assert result.errors + result.failures == []


def bm25(documents, queries, k1=0.9, b=0.4):
    """The hundred best of each query by the sum over its words, as Robertson has it: no stemming, no stop words."""
    words = {each.pid: re.findall(r"\w+", each.content.lower()) for each in documents}
    mean = sum(map(len, words.values())) / len(words)
    for query in queries:
        scores = dict.fromkeys(words, 0.0)
        for term in set(re.findall(r"\w+", query.text.lower())):
            holding = [pid for pid, own in words.items() if term in own]
            idf = math.log(1 + (len(words) - len(holding) + 0.5) / (len(holding) + 0.5))
            for pid in holding:
                count = words[pid].count(term)
                scores[pid] += idf * count / (count + k1 * (1 - b + b * len(words[pid]) / mean))
        best = sorted((pid for pid in scores if scores[pid]), key=lambda pid: (-scores[pid], pid))[:100]
        yield Ranking(query.qid, tuple(best), tuple(scores[pid] for pid in best))


EMBEDDED = sorted((CHECKOUT / "resources" / "models").glob("smollm2-135m-instruct-*/config.json"))


@pytest.mark.parametrize(
    "kind",
    ["tiny", pytest.param("embedded", marks=pytest.mark.skipif(not EMBEDDED, reason="needs the model of `make run`"))],
)
def test_the_experiment_of_the_page(kind, model, tmp_path):
    (tmp_path / "workflow").symlink_to(CHECKOUT / "workflow")
    pocket = CHECKOUT / "workflow" / "collections" / "pocket"
    first = list(bm25(list(read_documents(pocket / "corpus.jsonl")), read_queries(pocket / "queries.jsonl")))
    files.write_run(tmp_path / "results/pocket/first_stage/run.txt", first, "bm25")
    page = (CHECKOUT / "docs" / "pyterrier.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = model if kind == "tiny" else EMBEDDED[0].parent
    code, changed = re.subn(r'"resources/models/[^"]*"', repr(str(folder)), code)
    assert changed == 1
    code = code if kind == "embedded" else code.replace('"10-13"', '"1-2"')
    code += "found.to_json('found.json')\nimport sys\nassert not {'jnius', 'pyserini'} & set(sys.modules)\n"
    path = [path for path in sys.path if path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {path!r}\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = pd.read_json(tmp_path / "found.json")
    assert list(found["name"]) == ["BM25", "likelihood", "attention", "both"]
    values = found[["ndcg_cut_10", "recip_rank"]].to_numpy()
    assert ((values > 0) & (values <= 1)).all()
    if kind == "embedded":  # a model that reads ranks better than one of random weights
        assert (values[1] > 0.6).all()
