"""All windows of a synthetic store on disk, in bounded memory, with one process and with two."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.timing import run_process
from layerrank.attention.signal import SUMS, Signal
from layerrank.attention.store import SignalWriter
from layerrank.core.files import write_qrels

SECTION = "sweep"
QUERIES, PASSAGES, TOKENS, LAYERS, HEADS = 1000, 100, 400, 36, 32
"""The full size: 300 words are about 400 tokens."""
SHARE = 25
"""The usual run takes one query in so many."""


def run(settings: Settings) -> Iterator[Row]:
    """Seconds a query and of the full size, and peak memory."""
    queries = 2 if settings.quick else QUERIES if settings.full else QUERIES // SHARE
    passages = 10 if settings.quick else PASSAGES
    store, qrels = settings.work / "synthetic.arrow", settings.work / "synthetic.qrels.txt"
    _write(settings, queries, passages)
    windows = LAYERS * (LAYERS + 1) // 2
    case = f"{queries} queries × {passages} passages × {TOKENS} tokens × {LAYERS} layers, {windows} windows"
    yield Row(SECTION, case, "store", "MB", store.stat().st_size / 1e6)
    for workers in (1, 2):
        arguments = ["-m", "layerrank", "sweep-windows", "--signal", str(store), "--qrels", str(qrels)]
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


def _write(settings: Settings, queries: int, passages: int) -> None:
    rng = np.random.default_rng(0)
    pids = tuple(f"d{number}" for number in range(passages))
    lengths = np.full(passages, TOKENS, dtype=np.int32)
    metadata = {"model": "synthetic", "layers": LAYERS, "heads": HEADS}
    qrels = {}
    path = settings.work / "synthetic.arrow"
    path.unlink(missing_ok=True)
    with SignalWriter(path, metadata) as store:
        for number in range(queries):
            signal = rng.standard_normal((LAYERS, passages * TOKENS), dtype=np.float32)
            sums = rng.random((len(SUMS), LAYERS, HEADS, passages), dtype=np.float32)
            named = dict(zip(SUMS, sums, strict=True))
            store.append(Signal(f"q{number}", pids, lengths, signal, named, passages * TOKENS, 0.0))
            qrels[f"q{number}"] = {
                pid: int(grade) for pid, grade in zip(pids, rng.integers(0, 3, passages), strict=True)
            }
        store.close()
    write_qrels(settings.work / "synthetic.qrels.txt", qrels)
