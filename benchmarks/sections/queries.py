"""What a query costs: seconds from text to ranking by model, depth and window, memory, and bytes on disk."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.rows import Row, row_of
from benchmarks.settings import DTYPES, Settings
from benchmarks.texts import made_up
from benchmarks.timing import in_turns, ratios
from layerrank.attention.probe import Probe
from layerrank.attention.scores import passage_scores, rank
from layerrank.attention.store import SignalWriter
from layerrank.core.records import Candidates
from layerrank.core.windows import LayerWindow
from layerrank.latency.machine import peak_memory
from layerrank.models.folder import load_config
from layerrank.prompts.icr import PromptSettings
from layerrank.ranking.reranker import middle

SECTION = "queries"
DEPTHS = (10, 20, 100)
WORDS = 50
LONG = 50
"""Passages from which on a further round is one too many: the first pass warms up for the second."""


def run(settings: Settings) -> Iterator[Row]:
    """Of the embedded study's model, and of others at hand, float32 and bfloat16."""
    for folder, family in ((settings.model, settings.family), *settings.models):
        for dtype in DTYPES:
            yield from _of_model(settings, folder, PromptSettings(family), dtype)
            gc.collect()


def windows_of(layers: int) -> dict[str, LayerWindow]:
    """All layers, the lower half, and the middle third, which `layerrank.Reranker` reads unless told otherwise."""
    return {
        "all layers": LayerWindow(0, layers - 1),
        "lower half": LayerWindow(0, max(0, layers // 2 - 1)),
        "middle third": middle(layers),
    }


def _of_model(settings: Settings, folder: Path, prompts: PromptSettings, dtype: str) -> Iterator[Row]:
    windows = windows_of(int(load_config(folder).num_hidden_layers))
    probes = {
        name: Probe(settings.decoder(dtype, layers=window.end + 1, folder=folder)) for name, window in windows.items()
    }
    whole = probes["all layers"].decoder
    for depth in (3,) if settings.quick else DEPTHS:
        [row] = made_up(1, depth, 10 if settings.quick else WORDS)
        prompt = prompts.build(whole.tokenizer, row)
        case = f"{whole.name}, {depth} passages, {prompt.tree.tokens:,} tokens, {dtype}"
        if whole.context is not None and prompt.prompt_tokens > whole.context:
            yield Row(SECTION, case, "all layers", "s", float("nan"), note="longer than the model's context")
            continue
        runs: dict[str, Callable[[], object]] = {
            name: partial(_rank, probes[name], prompts, row, window) for name, window in windows.items()
        }
        rounds = settings.rounds if depth < LONG else max(1, settings.rounds - 1)
        seconds = in_turns(runs, rounds, settings.device, warmup=depth < LONG)
        for name, values in seconds.items():
            yield row_of(SECTION, case, name, "s", values, note=f"layers {windows[name]}")
        for name in list(windows)[1:]:
            saved = [100 * (1 - share) for share in ratios(seconds[name], seconds["all layers"])]
            yield row_of(SECTION, case, f"saved by the {name}", "%", saved)
        for name in ("all layers", "middle third"):
            with peak_memory(settings.device) as found:
                runs[name]()
            if found.mib is not None:
                yield Row(SECTION, case, f"memory above the weights, {name}", "MiB", found.mib)
        yield Row(SECTION, case, "on disk", "MB", _stored(settings, probes["all layers"], prompts, row) / 1e6)
    for name, probe in probes.items():
        weights = sum(one.nbytes for one in probe.decoder.model.parameters()) / 2**20
        yield Row(SECTION, f"{whole.name}, {dtype}", f"weights, {name}", "MiB", weights, note=f"layers {windows[name]}")


def _rank(probe: Probe, prompts: PromptSettings, row: Candidates, window: LayerWindow) -> object:
    [signal] = probe.read([prompts.build(probe.decoder.tokenizer, row)], last_layer=window.end)
    return rank(signal, passage_scores(signal, window))


def _stored(settings: Settings, probe: Probe, prompts: PromptSettings, row: Candidates) -> int:
    """Bytes of the stored signal of all layers, as the study keeps it."""
    path = settings.work / "one-query.arrow"
    path.unlink(missing_ok=True)
    with SignalWriter(path, {"model": "benchmark"}) as writer:
        writer.append(probe.read([prompts.build(probe.decoder.tokenizer, row)])[0])
        writer.close()
    size = path.stat().st_size
    path.unlink()
    return size
