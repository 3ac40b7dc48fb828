"""One case of the section `memory`, in a process of its own: `python -m benchmarks.peak '{"model": "FOLDER", …}'`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.texts import made_up
from benchmarks.timing import private_kib
from layerrank.attention.probe import Probe
from layerrank.core.records import Candidates
from layerrank.core.windows import LayerWindow
from layerrank.latency import flops, memory
from layerrank.latency.machine import MIB, give_back, peak_memory
from layerrank.models.decoder import Decoder, load_decoder
from layerrank.prompts.icr import PromptSettings
from layerrank.ranking.cells import Cell
from layerrank.ranking.frameworks import WHOLE
from layerrank.ranking.mechanism import Mechanism, Request, Work

BATCH_TOKENS = 8192
MOST = 200
"""Groups that a batch is filled from."""

WIDTHS = {"float32": 4, "bfloat16": 2}


def measured(
    model: str,
    family: str,
    passages: int,
    words: int,
    mechanism: str | None = None,
    framework: str = "setwise",
    dtype: str = "float32",
    quick: bool = False,
) -> dict[str, float | None]:
    """Groups, tokens, and MiB: weights, by formula, at the peak of a first and of a second pass, kept between them."""
    decoder = load_decoder(Path(model), dtype=dtype, head=mechanism in ("likelihood", "generation"))
    sizes, width, threads = flops.sizes_of(decoder.model, decoder.config), WIDTHS[dtype], torch.get_num_threads()
    [short] = made_up(1, 3, 4, seed=1)
    work: Callable[[], object]
    if mechanism is None:
        [row] = made_up(1, 3 if quick else passages, words)
        prompt = PromptSettings(family).build(decoder.tokenizer, row)
        probe = Probe(decoder)
        groups, tokens = 1, prompt.tree.tokens
        formula = memory.reading(sizes, [prompt.tree], width, passages=len(row), threads=threads)
        work, warm_up = (
            partial(probe.read, [prompt]),
            partial(probe.read, [PromptSettings(family).build(decoder.tokenizer, short)]),
        )
    else:
        built = _built(decoder, mechanism, framework, family)
        works = _batch(built, made_up(2 if quick else MOST, passages, words))
        groups, tokens = len(works), sum(one.tokens for one in works)
        formula = _formula(built, mechanism, works, sizes, width, threads)
        work, warm_up = partial(built.score, works), partial(built.score, _batch(built, [short]))
    whole = decoder.causal or decoder.model
    warm_up()  # weights, code and buffers of the products are in memory before it is counted
    give_back()
    before = private_kib(os.getpid())
    with peak_memory(decoder.device) as once:
        work()
    give_back()
    kept = (private_kib(os.getpid()) - before) / 1024
    with peak_memory(decoder.device) as again:
        work()
    return {
        "groups": groups,
        "tokens": tokens,
        "weights": sum(one.nbytes for one in whole.parameters()) / MIB,
        "formula": formula / MIB,
        "first": once.mib,
        "kept": kept,
        "measured": again.mib,
    }


def _built(decoder: Decoder, mechanism: str, framework: str, family: str) -> Mechanism:
    options = {"sort": "heapsort", "c": 2, "k": 2} if framework == "setwise" else {"size": WHOLE}
    if mechanism != "attention":
        return Cell(framework, mechanism, options).build(decoder)
    return Cell(framework, mechanism, options, family=family, windows=LayerWindow(0, decoder.layers - 1)).build(decoder)


def _batch(built: Mechanism, rows: Sequence[Candidates]) -> list[Work]:
    """Groups of one batch up to the budget, of whatever lengths; padding counts where there is any."""
    works: list[Work] = []
    for row in rows:
        work = built.prepare(Request(row.query, row.passages))
        longest = max(one.tokens for one in [*works, work])
        total = longest * (len(works) + 1) if built.padded else sum(one.tokens for one in [*works, work])
        if works and total > BATCH_TOKENS:
            break
        works.append(work)
    return works


def _formula(built: Any, mechanism: str, works: list[Work], sizes: flops.Sizes, width: int, threads: int) -> int:
    if mechanism == "attention":
        trees, passages = [work.prompt.tree for work in works], sum(len(work.request.passages) for work in works)
        return memory.reading(sizes, trees, width, passages=passages, threads=threads)
    if mechanism == "likelihood":
        return memory.likelihood(sizes, [work.prompt.tree for work in works], width, threads=threads)
    new = built.new_tokens(len(works[0].request.passages))
    lengths = [len(work.prompt) for work in works]
    return memory.writing(sizes, lengths, new, width, threads=threads, together=not built.padded)


if __name__ == "__main__":
    print(json.dumps(measured(**json.loads(sys.argv[1]))))
