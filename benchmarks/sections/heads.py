"""Every head of a synthetic store scored and measured, in bounded memory; what keeping masked sums costs a pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from benchmarks.stored import HEADS, LAYERS, synthetic_store
from benchmarks.texts import prompt_of
from benchmarks.timing import in_turns, ratios, run_process
from layerrank.attention.probe import Probe

SECTION = "heads"
QUERIES, PASSAGES, TOKENS = 1000, 100, 4
"""The full size. Heads are scored by sums over passages, so that a passage's tokens, few here, do not matter."""
SHARE = 25
"""The usual run takes one query in so many."""
LENGTH = 2800
WAYS: dict[str, dict[str, Any]] = {
    "contrast (core)": {"rule": "core"},
    "nDCG@10 of each head (qr-ndcg)": {"rule": "qr-ndcg"},
    "agreement (label-free)": {"rule": "label-free"},
}


def run(settings: Settings) -> Iterator[Row]:
    """Seconds and peak memory of detection and of the map, as of the full size; a pass with masked sums and without."""
    queries = 2 if settings.quick else QUERIES if settings.full else QUERIES // SHARE
    passages = 10 if settings.quick else PASSAGES
    store, qrels = synthetic_store(settings, queries, passages, TOKENS, masked=True)
    case = f"{queries} queries × {passages} passages × {LAYERS} layers × {HEADS} heads"
    yield Row(SECTION, case, "store", "MB", store.stat().st_size / 1e6)
    output = settings.work / "heads.out"
    common = ["--signal", str(store), "--qrels", str(qrels), "--output", str(output)]
    commands = {name: ["score-heads", "--rule", json.dumps(rule), *common] for name, rule in WAYS.items()}
    commands["map of every head"] = [
        *("map-heads", "--collection", "c", "--model", "m", "--measure", "nDCG@10"),
        *common,
    ]
    for name, words in commands.items():
        for workers in (1, 2):
            seconds, mib = run_process(["-m", "layerrank", *words, "--workers", str(workers)])
            what = f"{name}, {workers} process{'es' if workers > 1 else ''}"
            yield Row(SECTION, case, what, "s", seconds)
            scaled = seconds * QUERIES / queries / 60
            note = "measured" if queries == QUERIES else f"scaled from {queries} queries, start-up included"
            yield Row(SECTION, f"{QUERIES:,} queries", what, "min", scaled, note=note)
            yield Row(SECTION, case, f"private memory, {what}", "MiB", mib)
    store.unlink()
    yield from _kept(settings)


def _kept(settings: Settings) -> Iterator[Row]:
    """One pass with each head's masked sums and one without, in turns."""
    probe = Probe(settings.decoder())
    prompt = prompt_of(settings.tokenizer, settings.family, 300 if settings.quick else LENGTH)
    runs = {name: partial(probe.read, [prompt], masked=masked) for name, masked in (("without", False), ("with", True))}
    seconds = in_turns(runs, settings.rounds, settings.device)
    case = f"float32, {prompt.tree.tokens} tokens"
    for name, values in seconds.items():
        yield row_of(SECTION, case, f"extraction, {name} masked sums", "s", values)
    slower = [100 * (ratio - 1) for ratio in ratios(seconds["with"], seconds["without"])]
    yield row_of(SECTION, case, "slower with masked sums", "%", slower, "≤ 3")
