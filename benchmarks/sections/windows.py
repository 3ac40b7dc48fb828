"""What a window that ends at layer e saves: the model is loaded, and run, up to layer e."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from benchmarks.texts import prompt_of
from benchmarks.timing import in_turns, ratios
from layerrank.attention.probe import Probe
from layerrank.latency.machine import peak_memory
from layerrank.models.folder import load_config

SECTION = "windows"
DEPTHS = (1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6)
TOKENS = 1400


def run(settings: Settings) -> Iterator[Row]:
    """Time and memory of cut models, as shares of the whole one's."""
    layers = int(load_config(settings.model).num_hidden_layers)
    prompt = prompt_of(settings.tokenizer, settings.family, 300 if settings.quick else TOKENS)
    ends = sorted({*(max(0, round(depth * layers) - 1) for depth in DEPTHS), layers - 1})
    probes = {end: Probe(settings.decoder(layers=end + 1)) for end in ends}
    runs: dict[str, Callable[[], object]] = {str(end): lambda e=end: probes[e].read([prompt]) for end in ends}
    seconds = in_turns(runs, settings.rounds + 2, settings.device)
    whole = seconds[str(layers - 1)]
    weights = {end: sum(one.nbytes for one in probes[end].decoder.model.parameters()) / 2**20 for end in ends}
    for end in ends:
        case = f"up to layer {end} of {layers}, {prompt.tree.tokens:,} tokens"
        yield row_of(SECTION, case, "layerrank", "s", seconds[str(end)])
        with peak_memory(settings.device) as found:
            runs[str(end)]()
        yield Row(SECTION, case, "weights", "MiB", weights[end])
        if found.mib is not None:
            yield Row(SECTION, case, "memory above the weights", "MiB", found.mib)
        if end == layers - 1:
            continue
        share = [100 * one for one in ratios(seconds[str(end)], whole)]
        most = 100 * (end + 1) / layers + 5
        yield row_of(SECTION, case, "time, share of the full pass", "%", share, f"≤ {most:.1f}")
