"""Models that were trained to rank in a study: one run a collection, beside every system, in the same tables."""

import pandas as pd
import pytest
from support import studies
from support.studies import planned, snakemake, write_config
from support.tiny import save_cross_encoder

from layerrank.core import files
from layerrank.core.records import Query
from layerrank.ranking.reranker import Reranker

CHANGES = {
    "variants": None,
    "define": {"models": {"encoder": {"source": "folder", "path": "encoder", "ranker": "cross_encoder"}}},
    "systems": {
        "variant": "base",
        "cached_windows": ["all"],
        "frameworks": None,
        "mechanisms": None,
        "cells": None,
        "windows": ["all"],
        "trained": {"encoder": {}},
    },
    "layers": {"selection": None},
    "latency": {"windows": ["all"], "queries": 1, "repeats": 1, "warmup": 0},
    "explorer": None,
}
TARGETS = [f"results/tiny/random/evaluation/base.{ending}" for ending in ("tsv", "costs.tsv")]
LATENCY = "results/figures/tiny/random/latency.svg"


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "study"
    folder.mkdir()
    studies.write_study(folder, CHANGES)
    save_cross_encoder(folder / "encoder", "xlm-roberta")
    snakemake(folder, *TARGETS, LATENCY)
    return folder


def test_its_run_stands_beside_the_others_with_its_costs(ranked):
    values = pd.read_csv(ranked / TARGETS[0], sep="\t")
    assert {"bm25", "listwise-attention-all", "trained-encoder"} <= set(values["system"])
    summary = pd.read_csv(ranked / TARGETS[1], sep="\t").set_index("system")
    own = files.read_costs(ranked / "results/tiny/trained/base/encoder.costs.jsonl")
    assert len(own) == len(studies.TOPICS) and {len(cost.weights) for cost in own} == {64}
    assert (
        own[0].weights
        != files.read_costs(ranked / "results/tiny/random/runs/base/listwise-attention-all.costs.jsonl")[0].weights
    )
    rows = files.read_candidates(ranked / "results/tiny/candidates/base.jsonl.gz")
    assert summary.loc["trained-encoder", "forward_passes"] == pytest.approx(sum(map(len, rows)) / len(rows))


def test_its_seconds_stand_beside_those_of_the_windows(ranked):
    table = pd.read_csv(ranked / "results/tiny/trained/latency/encoder.tsv", sep="\t").set_index("stage")
    own = pd.read_csv(ranked / "results/tiny/random/latency.tsv", sep="\t").set_index("stage")
    assert table.loc["total", "system"] == "trained-encoder" and own.loc["total", "system"] == "listwise-attention-all"
    assert table.loc["total", "median"] >= table.loc["prefill", "median"] > 0
    assert "encoder" in (ranked / LATENCY).read_text()


def test_it_ranks_as_in_python(ranked):
    reranker = Reranker(ranked / "encoder")
    rows = files.read_candidates(ranked / "results/tiny/candidates/base.jsonl.gz")
    for row, ranking in zip(rows, files.read_run(ranked / "results/tiny/trained/base/encoder.txt"), strict=True):
        assert list(ranking.pids) == reranker.rank(Query(row.query.qid, row.query.text).text, row.passages).ids


def test_its_settings_run_it_again_and_nothing_else_of_a_model(ranked):
    assert planned(ranked, *TARGETS) == {}
    try:
        write_config(ranked, studies.lay({**CHANGES}, {"systems": {"trained": {"encoder": {"passage_tokens": 5}}}}))
        jobs = planned(ranked, *TARGETS)
        assert set(jobs) == {"rerank_trained", "evaluate", "summarise_costs"} and jobs["rerank_trained"] == 1
    finally:
        write_config(ranked, CHANGES)
