import numpy as np
import pytest

from layerrank.__main__ import main
from layerrank.attention.signal import SUMS, Signal
from layerrank.attention.store import SignalWriter
from layerrank.core import files, frames
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query, Ranking
from layerrank.evaluation import diagnostics
from layerrank.report.tables.diagnostics import diagnostics_table

N, QUERIES = 12, 10
RNG = np.random.default_rng(7)
PIDS = [f"p{place}" for place in range(N)]


def signal(qid, lengths):
    lengths = np.array(lengths, dtype=np.int32)
    sums = {name: np.zeros((1, 1, len(lengths)), dtype=np.float32) for name in SUMS}
    tokens = np.zeros((1, int(lengths.sum())), dtype=np.float32)
    return Signal(qid, tuple(PIDS[: len(lengths)]), lengths, tokens, sums, int(lengths.sum()), 0.1)


def study():
    candidates, signals, runs = [], [], {"by-place": [], "by-length": [], "at-random": []}
    for number in range(QUERIES):
        qid, lengths = f"q{number}", RNG.permutation(np.arange(10, 10 + 5 * N, 5))
        passages = tuple(Passage(pid, "words") for pid in PIDS)
        candidates.append(Candidates(Query(qid, "?"), passages, tuple(float(N - place) for place in range(N))))
        signals.append(signal(qid, lengths))
        scores = {"by-place": np.arange(N, 0, -1), "by-length": -lengths * 1.0, "at-random": RNG.random(N)}
        for system, score in scores.items():
            order = np.argsort(-score)
            ranked = Ranking(qid, tuple(PIDS[place] for place in order), tuple(float(score[place]) for place in order))
            runs[system].append(ranked)
    return candidates, runs, signals, {qid: {"p0": 1} for qid in ("q0", "q1")}


def lengths_of(signals):
    return {each.qid: dict(zip(each.pids, each.lengths.tolist(), strict=True)) for each in signals}


CANDIDATES, RUNS, SIGNALS, QRELS = study()
STUDY = CANDIDATES, RUNS, lengths_of(SIGNALS), QRELS
SCORED = diagnostics.standardised_scores(*STUDY)


def rho(table, system, diagnostic, passages="all"):
    line = table.query("system == @system and diagnostic == @diagnostic and passages == @passages")
    return line.iloc[0]


def test_scores_are_standardised_and_the_first_candidate_stands_last():
    for _, part in SCORED.groupby(["system", "qid"]):
        assert part["score"].mean() == pytest.approx(0, abs=1e-9) and part["score"].std(ddof=0) == pytest.approx(1)
    first = SCORED[(SCORED["system"] == "bm25") & (SCORED["place"] == N)]
    assert (first["score"] == SCORED[SCORED["system"] == "bm25"]["score"].max()).all()
    assert SCORED["relevant"].sum() == 2 * 4


def test_correlations_find_what_was_built_in():
    table = diagnostics.correlations(SCORED, seed=1, resamples=200)
    assert rho(table, "by-place", "place")["mean"] == pytest.approx(1.0)
    assert rho(table, "by-length", "tokens")["mean"] == pytest.approx(-1.0)
    assert rho(table, "bm25", "place", "not relevant")["mean"] == pytest.approx(1.0)
    chance = rho(table, "at-random", "place")
    assert chance["low"] < 0 < chance["high"] and chance["queries"] == QUERIES


def test_the_longest_passage_that_is_not_relevant_against_the_best_relevant_one():
    table = diagnostics.correlations(SCORED, seed=1, resamples=200)
    # q0 and q1 have a relevant passage, p0: first by place; by length it is last only where it is the longest of all.
    assert rho(table, "by-place", "longest", "not relevant")[["mean", "queries"]].tolist() == [0.0, 2]
    longest = [max(tokens, key=tokens.get) for tokens in (STUDY[2][qid] for qid in ("q0", "q1"))]
    short_first = rho(table, "by-length", "longest", "not relevant")["mean"]
    assert short_first == 0.0 and "p0" not in longest
    turned = {
        "long": [Ranking(each.qid, each.pids[::-1], tuple(-s for s in each.scores[::-1])) for each in RUNS["by-length"]]
    }
    found = diagnostics.correlations(diagnostics.standardised_scores(CANDIDATES, turned, STUDY[2], QRELS), 1, 100)
    assert rho(found, "long", "longest", "not relevant")["mean"] == 1.0


def test_points_by_place_and_by_length():
    places = diagnostics.by_place(SCORED, seed=1, resamples=100).query("system == 'by-place'")
    assert list(places["position"]) == list(range(1, N + 1))
    assert places["mean"].is_monotonic_increasing and (places["queries"] == QUERIES).all()
    assert places["relevant"].iloc[-1] == pytest.approx(2 / QUERIES) and places["relevant"].iloc[0] == 0
    lengths = diagnostics.by_length(SCORED, seed=1, resamples=100, bins=4).query("system == 'by-length'")
    assert len(lengths) == 4 and lengths["mean"].is_monotonic_decreasing and lengths["tokens"].is_monotonic_increasing
    assert lengths["tokens"].iloc[0] == pytest.approx(np.mean([10, 15, 20]))


def test_queries_of_one_candidate_give_tables_without_rows():
    rows = [Candidates(row.query, row.passages[:1], row.scores[:1]) for row in CANDIDATES]
    lengths = {row.query.qid: dict.fromkeys(PIDS, 20) for row in CANDIDATES}
    scored = diagnostics.standardised_scores(rows, {}, lengths, QRELS)
    for table in (diagnostics.by_place, diagnostics.by_length, diagnostics.correlations):
        found = table(scored, seed=1, resamples=100)
        assert found.empty and "mean" in found


def test_equal_lengths_are_one_group_without_correlation():
    alike = diagnostics.standardised_scores(
        CANDIDATES, RUNS, {row.query.qid: dict.fromkeys(PIDS, 20) for row in CANDIDATES}, QRELS
    )
    lengths = diagnostics.by_length(alike, seed=1, resamples=100)
    assert len(lengths) == 4 and set(lengths["tokens"]) == {20.0}
    found = rho(diagnostics.correlations(alike, seed=1, resamples=100), "by-length", "tokens")
    assert found["queries"] == 0 and np.isnan(found["mean"])


def test_query_whose_scores_are_alike_is_left_out():
    flat = {"flat": [Ranking("q0", tuple(PIDS), (1.0,) * N)]}
    scored = diagnostics.standardised_scores(CANDIDATES, flat, STUDY[2], QRELS)
    assert set(scored["system"]) == {"bm25"}


def test_candidate_without_a_length_is_named():
    with pytest.raises(UserError, match="query q9: no length is known of its candidate p0"):
        diagnostics.standardised_scores(CANDIDATES, RUNS, lengths_of(SIGNALS[:-1]), QRELS)


def test_command_line(tmp_path):
    files.write_candidates(tmp_path / "c.jsonl.gz", CANDIDATES)
    files.write_qrels(tmp_path / "qrels.txt", QRELS)
    files.write_run(tmp_path / "run.txt", RUNS["by-place"], "by-place")
    with SignalWriter(tmp_path / "signal.arrow", {"layers": 1}) as store:
        for each in SIGNALS:
            store.append(each)
        store.close([each.qid for each in SIGNALS])
    outputs = {name: tmp_path / f"{name}.tsv" for name in ("position", "length", "correlations")}
    flags = ["--qrels", f"{tmp_path}/qrels.txt", "--candidates", f"{tmp_path}/c.jsonl.gz"]
    flags += ["--signal", f"{tmp_path}/signal.arrow", "--runs", f"by-place={tmp_path}/run.txt", "--resamples", "100"]
    flags += [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    assert main(["diagnose", "--collection", "c", "--model", "m", *flags]) == 0
    assert len(frames.read_frame(outputs["position"], frames.POSITION)) == 2 * N
    assert len(frames.read_frame(outputs["length"], frames.LENGTH)) == 2 * diagnostics.BINS
    table = diagnostics_table(frames.read_frame(outputs["correlations"], frames.CORRELATION))
    assert [line.cells[0].value for line in table.sections[0].rows] == ["BM25 (first stage)", "By place"]
    written = [f"{tmp_path}/d{suffix}" for suffix in (".tsv", ".html", ".tex", ".md")]
    assert main(["diagnostics-table", "--correlations", str(outputs["correlations"]), "--outputs", *written]) == 0
    assert "+1.00" in (tmp_path / "d.html").read_text()
