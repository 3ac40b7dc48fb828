"""All windows of a synthetic store on disk, in bounded memory, with one process and with two."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.stored import LAYERS, synthetic_store
from benchmarks.timing import run_process

SECTION = "sweep"
QUERIES, PASSAGES, TOKENS = 1000, 100, 400
"""The full size: 300 words are about 400 tokens."""
SHARE = 25
"""The usual run takes one query in so many."""


def run(settings: Settings) -> Iterator[Row]:
    """Seconds a query and of the full size, and peak memory."""
    queries = 2 if settings.quick else QUERIES if settings.full else QUERIES // SHARE
    passages = 10 if settings.quick else PASSAGES
    store, qrels = synthetic_store(settings, queries, passages, TOKENS)
    windows = LAYERS * (LAYERS + 1) // 2
    case = f"{queries} queries × {passages} passages × {TOKENS} tokens × {LAYERS} layers, {windows} windows"
    yield Row(SECTION, case, "store", "MB", store.stat().st_size / 1e6)
    for workers in (1, 2):
        arguments = ["-m", "layerrank", "sweep-windows", "--collection", "c", "--model", "m"]
        arguments += ["--signal", str(store), "--qrels", str(qrels)]
        arguments += ["--measure", "nDCG@10", "--workers", str(workers)]
        arguments += ["--output", str(settings.work / "sweep.arrow"), "--table", str(settings.work / "sweep.tsv")]
        seconds, mib = run_process(arguments)
        name = f"{workers} process{'es' if workers > 1 else ''}"
        yield Row(SECTION, case, f"all windows, {name}", "s", seconds)
        scaled = seconds * QUERIES / queries / 60
        note = "measured" if queries == QUERIES else f"scaled from {queries} queries, start-up included"
        yield Row(SECTION, f"{QUERIES:,} queries", f"all windows, {name}", "min", scaled, note=note)
        yield Row(SECTION, case, f"private memory, {name}", "MiB", mib)
    store.unlink()
