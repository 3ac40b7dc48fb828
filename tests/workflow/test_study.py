"""The study as a graph: from nothing, again, after each kind of change, after a kill, with bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support import studies
from support.studies import contents, planned, snakemake, write_config

from layerrank.core import frames

SECONDS = ("latency", "/logs/", "pareto", "costs.", ".arrow", ".kept", "manifest", "provenance", "answers/windows")
RETRIEVAL = {"prepare_collection", "build_index", "retrieve"}
MODEL = {"fetch_model", "check_prompts", "extract_attention", "rerank_online", "rerank_windows"}


def test_the_study_leaves_runs_of_every_cell_windows_tables_and_figures(finished):
    results = finished / "results"
    runs = {path.stem for path in (results / "tiny/random/runs/grid").glob("*.txt")}
    for framework in ("pointwise", "pairwise", "setwise", "listwise"):
        for mechanism in ("generation", "likelihood", "attention-all", "attention-selected-peak"):
            assert f"{framework}-{mechanism}" in runs
    selected = json.loads((results / "tiny/random/windows/peak.json").read_text())
    judged = [qid for entry in selected["windows"] for qid in entry["qids"]]
    assert sorted(judged) == sorted(studies.TOPICS)
    assert not selected["upper_bound"]
    assert json.loads((results / "tiny/random/windows/oracle.json").read_text())["upper_bound"]
    assert (results / "manifest.json").stat().st_size
    assert list((results / "figures").rglob("profile.svg"))


def test_a_second_run_does_nothing(study):
    assert planned(study) == {}


def test_moving_touching_threads_and_comments_rerun_nothing(study, tmp_path):
    moved = study.rename(tmp_path / "elsewhere")
    config = moved / "study.yaml"
    config.write_text("# a comment\n" + config.read_text())
    assert (
        planned(moved, "--set-threads", "extract_attention=1", "--set-resources", "extract_attention:mem_mb=99") == {}
    )


def test_measures_rerun_evaluation_and_below(study):
    write_config(study, {"evaluation": {"measures": ["nDCG@10", "AP"]}})
    jobs = set(planned(study))
    assert {"evaluate", "aggregate", "compare"} <= jobs
    assert not jobs & (RETRIEVAL | MODEL | {"make_candidates", "layer_profile", "sweep_windows", "select_window"})
    assert not jobs & {"rerank_cached"}


def test_a_new_window_runs_its_own_runs_and_below(study):
    write_config(study, {"systems": {"cached_windows": ["all", "L1-2", "L2-3", "selected-peak", "selected-oracle"]}})
    jobs = planned(study)
    assert jobs["rerank_cached"] == 2  # the base and the grid
    assert not jobs.keys() & (
        RETRIEVAL | MODEL | {"make_candidates", "layer_profile", "sweep_windows", "select_window"}
    )


def test_a_selection_rule_reruns_its_choice_and_what_uses_it(study):
    write_config(study, {"layers": {"selection": {"peak": {"width": 1}}}})
    jobs = planned(study)
    assert jobs["select_window"] == 1
    assert jobs["rerank_cached"] == 2  # selected-peak, on the base and on the grid
    assert jobs["rerank_windows"] == 3  # pointwise, pairwise and setwise attention, of which one window is to rank
    assert "rerank_online" not in jobs
    assert not jobs.keys() & (RETRIEVAL | {"fetch_model", "extract_attention", "sweep_windows", "layer_profile"})


def test_a_window_that_joins_the_grid_is_all_there_is_to_rank(study):
    runs = study / "results/tiny/random/runs/grid"
    before = contents(runs)
    write_config(study, {"systems": {"windows": ["all", "L1-2", "selected-peak"]}})
    assert planned(study)["rerank_windows"] == 3
    target = "results/tiny/random/runs/grid/setwise-attention-L1-2.txt"
    snakemake(study, target)
    log = (study / "results/logs/tiny/random/rerank_windows.grid.setwise-attention.log").read_text()
    for window in ("all", "selected-peak"):
        assert f"setwise-attention-{window}: 2 of 2 queries are finished already" in log
    assert "setwise-attention-L1-2: 2 queries" in log
    assert ", 3 of 4 layers" in log
    assert contents(runs, ["setwise-attention-L1-2"]) == before


def test_a_new_model_runs_its_own_chain_and_the_aggregates(study):
    from support.tiny import save_tiny

    save_tiny(study / "other", "qwen3", layers=4)
    entry = {"source": "folder", "path": "other", "family": "qwen", "dtype": "float32"}
    write_config(study, {"models": ["random", "second"], "define": {"models": {"second": entry}}})
    jobs = planned(study)
    assert jobs["fetch_model"] == 1
    assert jobs["extract_attention"] == 2  # the base and the grid, of the new model alone
    assert jobs["evaluate"] == 2
    assert not jobs.keys() & (RETRIEVAL | {"make_candidates"})


def test_a_pair_that_is_left_out_runs_nowhere(study):
    from support.tiny import save_tiny

    save_tiny(study / "other", "qwen3", layers=4)
    studies.write_collection(study / "again")
    entry = {"source": "folder", "path": "other", "family": "qwen", "dtype": "float32"}
    again = {"source": "beir", "path": "again", "instruction": "IE", "titles": True}
    write_config(
        study,
        {
            "collections": ["tiny", "again"],
            "models": ["random", "second"],
            "define": {"models": {"second": entry}, "collections": {"again": again}},
            "leave_out": [{"collections": ["again"], "models": ["second"], "because": "its context"}],
        },
    )
    jobs = planned(study)
    assert jobs["extract_attention"] == 4  # two pairs more, each with the base and the grid
    assert jobs["evaluate"] == 4
    assert jobs["transfer"] == 2  # of the model with two collections, of the collection with two models
    assert "second" not in {path.name for path in (study / "results/again").glob("*")}


def test_cells_run_in_parts_where_the_study_says_so(study):
    change = {
        "define": {"collections": {"tiny": {"shards": 3}}},
        "systems": {"sharded": True, "frameworks": {"pairwise": None, "listwise": None}},
    }
    write_config(study, change)
    whole = {path.name: path.read_bytes() for path in (study / "results/tiny/random/runs/grid").glob("*wise-*.txt")}
    jobs = planned(study)
    cells = len(["pointwise", "setwise"]) * len(
        ["generation", "likelihood", "attention-all", "attention-selected-peak"]
    )
    assert jobs["join_shards"] == cells
    assert jobs["rerank_shard"] == 3 * len(["pointwise", "setwise"]) * len(["generation", "likelihood"])
    assert jobs["rerank_windows_shard"] == 3 * len(["pointwise", "setwise"])
    assert not jobs.keys() & {"rerank_online", "rerank_windows"}
    name = "results/tiny/random/runs/grid/setwise-attention-all.txt"
    snakemake(study, name, "--forcerun", "join_shards")
    assert (study / name).read_bytes() == whole["setwise-attention-all.txt"]
    assert not [path for path in (study / name).parent.glob("*.shard-*") if path.name[0] != "."]


def test_truncation_reruns_the_signal_and_below_but_no_retrieval(study):
    write_config(study, {"passages": {"words": 5}})
    jobs = planned(study)
    assert jobs["extract_attention"] == 1  # the base; the grid of the embedded study has a length of its own
    assert not jobs.keys() & (RETRIEVAL | {"fetch_model"})


def test_tokens_of_na_rerun_the_one_signal_that_holds_them(study):
    write_config(study, {"explorer": {"tokens": "calibrated"}})
    jobs = planned(study)
    assert jobs["extract_attention"] == 1 and jobs["explore"] == 1  # the base of its one model; no order of it
    assert not jobs.keys() & (RETRIEVAL | {"fetch_model", "check_prompts"})


def test_a_prompt_family_reruns_the_signal_and_below(study):
    write_config(study, {"define": {"models": {"random": {"family": "qwen"}}}})
    jobs = planned(study)
    assert jobs["extract_attention"] == 2
    assert not jobs.keys() & (RETRIEVAL | {"fetch_model", "make_candidates"})


def test_a_further_variant_checks_its_own_prompts_and_reads_its_own_signal_alone(study):
    write_config(study, {"variants": {"short": {"words": 3}}})
    jobs = planned(study)
    assert jobs["check_prompts"] == jobs["extract_attention"] == 1
    assert not jobs.keys() & {"rerank_online", "rerank_windows"}


def test_the_strategy_reruns_analysis_from_the_stored_signal(study):
    write_config(study, {"layers": {"strategy": "query_last"}})
    jobs = planned(study)
    assert {"layer_profile", "sweep_windows", "rerank_cached"} <= jobs.keys()
    assert "extract_attention" not in jobs


def test_a_changed_passage_reruns_the_collection(study):
    corpus = study / "collection/corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("part 1 of four", "part one of four"))
    assert {"prepare_collection", "build_index", "retrieve"} <= planned(study).keys()


def test_a_rerun_from_nothing_gives_the_same_bytes(finished, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    studies.write_study(folder)
    below = "results/tiny/random"
    snakemake(folder, f"{below}/evaluation/base.tsv", f"{below}/evaluation/grid.tsv", f"{below}/layers/sweep.tsv")
    again = contents(folder / "results", SECONDS)
    first = contents(finished / "results", SECONDS)
    assert again
    differing = [name for name, data in again.items() if "/index/" not in name and first.get(name) != data]
    assert differing == []


PAUSE = """
import sys
if "extract-attention" in sys.orig_argv:
    import time
    from layerrank.attention import store
    append, count = store.SignalWriter.append, 0
    def pausing(self, record):
        global count
        append(self, record)
        count += 1
        if count == 2:
            open("paused", "w").close()
            time.sleep(600)
    store.SignalWriter.append = pausing
"""


def killed_when_paused(study, folder, patch, *arguments):
    """Run Snakemake with a patch of the stages that pauses them, and kill all of it then."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(patch)
    command = [sys.executable, "-m", "snakemake", "-s", str(studies.CHECKOUT / "Snakefile"), "--directory", str(study)]
    command += ["--configfile", str(study / "study.yaml"), "--cores", "2", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command, start_new_session=True, env=environment, **quiet)
    deadline = time.monotonic() + 120
    while not (study / "paused").exists():
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    snakemake(study, "--unlock")


@pytest.mark.parametrize("variant", ["base", "order-reversed"])
def test_a_killed_extraction_goes_on_from_its_finished_queries(study, tmp_path, variant):
    target = f"results/tiny/random/attention/{variant}.shard-0-of-1.arrow"
    if variant == "base":
        (study / target).unlink()
    else:
        write_config(study, {"orders": {"reversed": True, "shuffles": 1, "queries": 4}})
    killed_when_paused(study, tmp_path / "pause", PAUSE, target)
    assert not (study / target).exists()
    snakemake(study, target)
    log = (study / f"results/logs/tiny/random/extract_attention.{variant}.shard-0-of-1.log").read_text()
    assert "2 finished queries are kept" in log, log
    assert (study / target).exists()


PAUSE_WHEN_WRITTEN = """
import sys
if "layerrank" in sys.orig_argv and "{target}" in sys.orig_argv:
    import atexit, time
    def pause():
        open("paused", "w").close()
        time.sleep(600)
    atexit.register(pause)
"""


@pytest.mark.parametrize(
    ("target", "log", "said"),
    [
        (
            "results/tiny/random/attention/base.shard-0-of-1.arrow",
            "extract_attention.base.shard-0-of-1.log",
            "was finished already",
        ),
        (
            "results/tiny/random/runs/grid/setwise-likelihood.txt",
            "rerank_online.grid.setwise-likelihood.log",
            "2 of 2 queries are finished already",
        ),
        (
            "results/tiny/random/runs/grid/setwise-attention-selected-peak.txt",
            "rerank_windows.grid.setwise-attention.log",
            "2 of 2 queries are finished already",
        ),
    ],
)
def test_what_was_finished_but_not_booked_is_not_computed_again(study, tmp_path, target, log, said):
    (study / target).unlink()
    killed_when_paused(study, tmp_path / "pause", PAUSE_WHEN_WRITTEN.format(target=target), target)
    finished = (study / target).read_bytes()
    announced = snakemake(study, target, "--rerun-incomplete").stdout
    assert (study / target).read_bytes() == finished  # with the seconds of each query in the store
    text = (study / "results/logs/tiny/random" / log).read_text()
    assert said in text, text + announced
    assert not list((study / "results").rglob(".*.whole"))  # booked now
    assert planned(study, target) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colections": ["tiny"]}, ["colections", "did you mean 'collections'"]),
        ({"first_stage": {"depht": 4}}, ["first_stage.depht", "did you mean 'depth'"]),
        ({"collections": ["tinny"]}, ["'tinny'", "did you mean 'tiny'"]),
        ({"models": ["rondom"]}, ["'rondom'", "did you mean 'random'"]),
        ({"evaluation": {"measures": ["nDGC@10"]}}, ["evaluation.measures", "nDGC@10"]),
        ({"define": {"models": {"random": {"family": "lama3"}}}}, ["lama3", "llama3"]),
        ({"systems": {"frameworks": {"setwise": {"children": 3}}}}, ["systems.frameworks.setwise", "'children'"]),
        ({"systems": {"mechanisms": {"attention": {"strateg": "x"}}}}, ["systems.mechanisms.attention", "strateg"]),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line_before_anything_runs(tmp_path, change, words):
    studies.write_collection(tmp_path / "collection")
    write_config(tmp_path, change)
    done = snakemake(tmp_path, "--dry-run", check=False)
    assert done.returncode
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    line = next((line for line in text.splitlines() if all(word in line for word in words)), None)
    assert line is not None, text
    assert not (tmp_path / "results").exists()


def broken(folder, name, edit):
    path = folder / "collection" / name
    path.write_text(edit(path.read_text()))


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("corpus.jsonl", lambda text: text + text.splitlines()[0] + "\n", ["corpus.jsonl", "wing0", "twice"]),
        ("qrels/test.tsv", lambda text: text + "wing\twing1\tmany\n", ["test.tsv", "many"]),
        (
            "queries.jsonl",
            lambda text: text.replace("What is the why milk turns sour?", "  "),
            ["'tiny'", "'milk'", "blank"],
        ),
        ("qrels/test.tsv", lambda text: text.splitlines()[0] + "\n", ["'tiny'", "no judgements"]),
    ],
)
def test_a_malformed_collection_is_one_line_before_long_work(tmp_path, name, edit, words):
    studies.write_collection(tmp_path / "collection")
    broken(tmp_path, name, edit)
    write_config(tmp_path)
    (tmp_path / "model").mkdir()
    done = snakemake(tmp_path, "--until", "prepare_collection", check=False)
    assert done.returncode
    text = done.stdout + done.stderr
    line = next(
        (line for line in text.splitlines() if "layerrank" in line and all(word in line for word in words)), None
    )
    assert line is not None, text


def test_chosen_heads_are_timed_and_held_against_those_of_another_dtype(study):
    write_config(
        study,
        {
            "variants": {"half": {"dtype": "bfloat16"}},
            "heads": {"selection": {"core": {"rule": "core", "top": 3, "folds": 3}}},
            "latency": {"windows": ["all", "heads-core"]},
        },
    )
    jobs = planned(study)
    once = ("score_heads", "choose_heads", "agree_heads", "heads_table")
    once += ("score_heads_in_dtype", "choose_heads_in_dtype", "extract_attention")
    assert {jobs[name] for name in once} == {1}
    timed = study / "results/tiny/random/latency.tsv"
    snakemake(study, "results/tiny/random/latency.tsv")
    table = frames.read_frame(timed, frames.LATENCY)
    chosen = json.loads((timed.parent / "heads/core.json").read_text())
    deepest = {max(int(head.split("-")[0]) for head in entry["heads"]) for entry in chosen["sets"]}
    layers = table[table["stage"] == "total"].set_index("system")["layers"]
    assert layers["listwise-attention-all"] == 4 and layers["listwise-attention-heads-core"] - 1 in deepest
