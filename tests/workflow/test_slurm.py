"""Studies on a real one-node SLURM cluster: jobs that die, a controller that restarts, a run that is cancelled."""

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from support import studies
from support.cluster import SCRIPTS, Cluster, Run, wait_for, why_not
from support.llama import why_not as no_engine
from support.served import served_study
from support.tiny import save_tiny

from layerrank.attention.store import read_signals
from layerrank.core.files import read_run

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

# One thread a job: sums come out in one order, and jobs leave each other room.
THREADS = (
    "--set-threads",
    "extract_attention=1",
    "rerank_online=1",
    "rerank_windows=1",
    "layer_profile=1",
    "sweep_windows=1",
)
# Files that hold seconds, or what is drawn and counted from them; the signal's are compared by content. An index of
# Lucene's has random names of segments.
WITH_SECONDS = ("/logs/", "costs.", ".kept", "pareto", ".arrow", "manifest", "provenance", "/lucene/")
UNFINISHED = {"PENDING", "RUNNING", "COMPLETING"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    state = tmp_path_factory.mktemp("slurm")
    cluster = Cluster(state)
    cluster.start()
    yield cluster
    cluster.stop()


def attention(folder: Path, model: str) -> Path:
    return folder / f"results/tiny/{model}/attention/base.shard-0-of-1.arrow"


def stored(folder: Path, model: str) -> dict[str, float]:
    """Seconds of each query that a growing or a whole store holds: a query computed again would have others."""
    whole = attention(folder, model)
    if whole.exists():
        return {signal.qid: signal.seconds for signal in read_signals(whole)}
    partial = whole.with_name(f".{whole.name}.partial")
    found: dict[str, float] = {}
    if partial.exists() and partial.stat().st_size:
        with pa.OSFile(str(partial)) as source:
            try:
                for batch in pa.ipc.open_stream(source):
                    found |= dict(zip(batch["qid"].to_pylist(), batch["seconds"].to_pylist(), strict=True))
            except (pa.ArrowInvalid, OSError):  # a record that is being written
                pass
    return found


TROUBLES = {
    "killed": {},
    "preempted": {},
    "greedy": {"mem_mb": 450},
    "late": {"runtime": 1},
}


@pytest.fixture(scope="module")
def troubled(cluster, tmp_path_factory):
    """Four extractions in one run, each of which meets a trouble of its own once a query is stored."""
    folder = tmp_path_factory.mktemp("troubled")
    studies.write_collection(folder / "collection")
    save_tiny(folder / "model", "llama", layers=4)
    entry = {"source": "folder", "path": "model", "family": "chatml", "gpus": 1, "mem_mb": 2000, "runtime": 5}
    models = {name: entry | own for name, own in TROUBLES.items()}
    studies.write_config(folder, {"models": list(models), "define": {"models": models}})
    studies.snakemake(folder, *(f"results/tiny/{name}/prompts/base.json" for name in models))
    environment = {
        "PYTHONPATH": str(SCRIPTS / "slow"),
        "TEST_PAUSES": json.dumps({"killed": 10, "preempted": 10, "late": 25}),
    }
    targets = [str(attention(folder, name).relative_to(folder)) for name in models]
    run = Run(folder, folder / "run.txt", *targets, *THREADS, environment=environment)
    kept = {}

    def running(name):
        job = of(cluster, name)[-1:]
        return job and job[0].state == "RUNNING" and len(stored(folder, name)) >= 1 and job[0].number

    def timed_out(name):
        return of(cluster, name)[0].state == "TIMEOUT"

    try:
        number = run.until(lambda: running("killed"))
        cluster.command("scancel", number)
        run.until(lambda: of(cluster, "killed")[0].state == "CANCELLED")
        kept["killed"] = stored(folder, "killed")
        number = run.until(lambda: running("preempted"))
        cluster.command("scontrol", "requeue", number)
        run.until(lambda: of(cluster, "preempted")[0].state == "PENDING")
        kept["preempted"] = stored(folder, "preempted")
        cluster.command("scontrol", "update", f"JobId={number}", "StartTime=now")  # SLURM would wait two minutes
        run.until(lambda: timed_out("late"))
        kept["late"] = stored(folder, "late")
        code = run.wait(900)
    finally:
        run.interrupt()
    return folder, code, kept, run.text, {name: of(cluster, name) for name in models}


def of(cluster: Cluster, name: str) -> list:
    return cluster.jobs(f"rule_extract_attention_wildcards_tiny_{name}_")


def test_a_run_with_troubles_ends_well(troubled):
    folder, code, _, text, _ = troubled
    assert code == 0, text
    assert all(len(stored(folder, name)) == len(studies.TOPICS) for name in TROUBLES)


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("killed", ["CANCELLED", "COMPLETED"]),
        ("greedy", ["FAILED", "COMPLETED"]),
        ("late", ["TIMEOUT", "COMPLETED"]),
        ("preempted", ["COMPLETED"]),
    ],
)
def test_each_trouble_takes_one_more_attempt_at_most(troubled, name, states):
    jobs = troubled[-1][name]
    assert [job.state for job in jobs] == states
    assert [job.restarts for job in jobs] == ([1] if name == "preempted" else [0, 0])


@pytest.mark.parametrize("name", ["killed", "late", "preempted"])
def test_what_was_stored_is_not_computed_again(troubled, name):
    folder, _, kept, _, _ = troubled
    assert 1 <= len(kept[name]) < len(studies.TOPICS)
    assert stored(folder, name).items() >= kept[name].items()


def test_a_further_attempt_asks_for_more(troubled):
    jobs = troubled[-1]
    assert [job.memory for job in jobs["greedy"]] == ["450M", "900M"]
    assert [job.limit for job in jobs["late"]] == ["1:00", "2:00"]


def test_models_ask_for_their_gpus(troubled):
    assert all(job.gpus == "1" for jobs in troubled[-1].values() for job in jobs)


def small_study(folder: Path) -> None:
    """Every stage, few cells."""
    studies.write_study(
        folder,
        {
            "define": {"models": {"random": {"gpus": 1}}},
            "variants": None,
            "layers": {"selection": {"best": None, "label-free": None, "oracle": None}},
            "systems": {
                "variant": "base",
                "cached_windows": ["all", "L1-2", "selected-peak"],
                "windows": ["all"],
                "frameworks": {"pointwise": None, "pairwise": None, "listwise": {"size": 4, "step": 2}},
                "mechanisms": {"generation": None},
            },
            "latency": {"windows": []},
        },
    )


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """The small study, run on this machine."""
    folder = tmp_path_factory.mktemp("local") / "study"
    folder.mkdir()
    small_study(folder)
    untouched = folder.with_name("untouched")
    shutil.copytree(folder, untouched)
    studies.snakemake(folder, *THREADS)
    return folder, untouched


@pytest.fixture(scope="module")
def cancelled(cluster, at_once, tmp_path_factory):
    """The small study on the cluster: cancelled in the middle, then gone on with, while the controller restarts."""
    folder = tmp_path_factory.mktemp("cluster") / "study"
    shutil.copytree(at_once[1], folder)
    first = Run(folder, folder.with_name("first.txt"), *THREADS, "--retries", "0")

    def amid():
        extracted = re.search(r"Finished jobid: \d+ \(Rule: extract_attention\)", first.text)
        return extracted and [job for job in cluster.jobs() if job.state == "RUNNING"]

    try:
        first.until(amid, 600)
        cluster.command("scancel", *(job.number for job in cluster.jobs() if job.state in UNFINISHED))
    finally:
        code = first.interrupt()
    wait_for(lambda: not [job for job in cluster.jobs() if job.state in UNFINISHED])
    announced = studies.snakemake(folder, *THREADS, "--dry-run").stdout
    to_make = set(re.findall(r"[^\s,]+", " ".join(re.findall(r"^    output: (.*)$", announced, flags=re.MULTILINE))))
    times = {
        path: path.stat().st_mtime_ns
        for path in folder.joinpath("results").rglob("[!.]*")
        if path.is_file() and "logs" not in path.parts and str(path.relative_to(folder)) not in to_make
    }
    second = Run(folder, folder.with_name("second.txt"), *THREADS)
    try:
        second.until(lambda: [job for job in cluster.jobs() if job.state == "RUNNING"])
        cluster.restart_controller(15)
        codes = code, second.wait(1200)
    finally:
        second.interrupt()
    return folder, codes, times, second.text


def test_a_cancelled_run_says_so_and_the_next_one_ends_well(cancelled):
    _, (first, second), _, text = cancelled
    assert first != 0
    assert second == 0, text


def test_nothing_finished_is_run_again(cancelled):
    folder, _, times, _ = cancelled
    assert attention(folder, "random") in times
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert studies.planned(folder, *THREADS) == {}


def test_results_are_those_of_one_machine(cancelled, at_once):
    clustered, local = cancelled[0] / "results", at_once[0] / "results"
    assert studies.contents(clustered, WITH_SECONDS) == studies.contents(local, WITH_SECONDS)
    for ours, theirs in zip(
        read_signals(attention(cancelled[0], "random")), read_signals(attention(at_once[0], "random")), strict=True
    ):
        assert ours.qid == theirs.qid
        assert ours.signal.tobytes() == theirs.signal.tobytes()


def test_short_rules_share_jobs(cancelled, cluster):
    names = [job.what for job in cluster.jobs()]
    assert any("build_index" in name and "make_candidates" in name for name in names), names
    assert not any(name.startswith("rule_make_candidates") for name in names)


def test_ctrl_c_cancels_the_jobs(cluster, tmp_path):
    studies.write_study(tmp_path)
    run = Run(tmp_path, tmp_path.with_name("run.txt"), studies.model_folder(tmp_path))
    try:
        run.until(lambda: [job for job in cluster.jobs("rule_fetch_model") if job.state in UNFINISHED])
    finally:
        code = run.interrupt()
    assert code != 0
    wait_for(lambda: not [job for job in cluster.jobs() if job.state in UNFINISHED], 60)


@pytest.mark.skipif(no_engine() is not None, reason=str(no_engine()))
def test_an_engine_runs_in_the_job_and_ends_with_it(cluster, tmp_path):
    served_study(tmp_path)
    cells = [f"results/tiny/served/runs/base/pointwise-{way}.txt" for way in ("generation", "likelihood")]
    run = Run(tmp_path, tmp_path / "run.txt", *cells, *THREADS)
    try:
        code = run.wait(900)
    finally:
        run.interrupt()
    assert code == 0, run.text
    jobs = [job for job in cluster.jobs() if "_served" in job.what and "rerank_online" in job.what]
    assert [job.state for job in jobs] == ["COMPLETED"] * 2
    assert all(read_run(tmp_path / cell) for cell in cells)
    logs = [
        (tmp_path / f"results/logs/tiny/served/rerank_online.base.{Path(cell).stem}.log").read_text() for cell in cells
    ]
    ports = [re.search(r"listening on http://127\.0\.0\.1:(\d+)", log)[1] for log in logs]
    assert len(set(ports)) == 2
    mine = f"{tmp_path}/model.gguf"
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mine in commands(path)]
    assert not left


def commands(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
