"""Reading one query's attention: layerrank, the published algorithm, and what the machine could do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau

from benchmarks import baseline
from benchmarks.rows import Row, row_of
from benchmarks.settings import DTYPES, Settings
from benchmarks.texts import prompt_of
from benchmarks.timing import MatrixRate, in_turns, memory_rate, ratios, timed
from layerrank.attention.probe import Probe
from layerrank.attention.scores import passage_scores
from layerrank.core.windows import LayerWindow
from layerrank.latency import flops
from layerrank.latency.machine import peak_memory
from layerrank.models import decoder as decoders
from layerrank.prompts.icr import IcrPrompt

SECTION = "extraction"
LENGTHS = (2800, 7500)
QUICK = (300,)
AGREE = {"float32": 2e-3, "bfloat16": 0.2}
"""Largest difference of scores allowed between two ways, as a share of the scores' range."""


def run(settings: Settings) -> Iterator[Row]:
    """Seconds, ratios, fractions of the limit, and memory, float32 and bfloat16, at each length."""
    decoders = {name: settings.decoder(name, head=True) for name in DTYPES}
    probes = {name: Probe(decoder) for name, decoder in decoders.items()}
    window = LayerWindow(0, decoders["float32"].layers - 1)
    yield Row(SECTION, "machine", "memory, read and written", "GB/s", memory_rate(settings.device))
    for number, length in enumerate(QUICK if settings.quick else LENGTHS[: 1 if settings.short else None]):
        prompt = prompt_of(settings.tokenizer, settings.family, length)
        rounds = settings.rounds if number == 0 else max(1, settings.rounds - 1)
        rates = {name: MatrixRate(name, settings.device) for name in DTYPES}
        runs: dict[str, Callable[[], object]] = {}
        for name in DTYPES:
            runs[f"layerrank {name}"] = partial(_layerrank, probes[name], prompt, window)
            runs[f"baseline {name}"] = partial(baseline.cached, decoders[name], prompt, window)
            runs[f"rate {name}"] = rates[name]
        scores = {name: np.array(work()) for name, work in runs.items() if not name.startswith("rate")}
        for name in DTYPES:
            yield from _agreement(_case(name, prompt), scores[f"baseline {name}"], scores[f"layerrank {name}"], name)
        seconds = in_turns(runs, rounds, settings.device, warmup=False)
        for name in DTYPES:
            yield from _compared(settings, name, prompt, seconds, rates[name].values[-rounds:], probes[name])
            if number == 0:
                yield from _memory(settings, name, prompt, runs)
        own, theirs = seconds["layerrank bfloat16"], seconds["baseline float32"]
        case = _case("bfloat16", prompt)
        yield row_of(SECTION, case, "layerrank bfloat16 against baseline float32", "×", ratios(theirs, own))
        if number == 0:
            yield from _eager(settings, decoders["float32"], prompt, window, seconds["layerrank float32"], scores)
        gc.collect()


def _layerrank(probe: Probe, prompt: IcrPrompt, window: LayerWindow) -> list[float]:
    [signal] = probe.read([prompt])
    return list(passage_scores(signal, window))


def _compared(
    settings: Settings,
    dtype: str,
    prompt: IcrPrompt,
    seconds: dict[str, list[float]],
    rates: list[float],
    probe: Probe,
) -> Iterator[Row]:
    case = _case(dtype, prompt)
    own, theirs = seconds[f"layerrank {dtype}"], seconds[f"baseline {dtype}"]
    sizes = flops.sizes_of(probe.decoder.model, probe.decoder.config)
    needed = flops.reading(sizes, prompt.tree) / 1e9
    limit = [needed / rate for rate in rates]
    yield row_of(SECTION, case, "layerrank", "s", own)
    yield row_of(SECTION, case, "baseline", "s", theirs)
    yield row_of(SECTION, case, "matrix rate of the machine", "GFLOP/s", rates)
    yield row_of(SECTION, case, "attention rate of torch", "GFLOP/s", _attention_rate(settings, dtype, prompt, sizes))
    yield Row(SECTION, case, "operations needed", "GFLOP", needed)
    yield row_of(SECTION, case, "limit", "s", limit)
    share = {"float32": "≥ 85", "bfloat16": "≥ 50"}[dtype]
    yield row_of(SECTION, case, "layerrank against baseline", "×", ratios(theirs, own))
    yield row_of(SECTION, case, "layerrank's share of the limit", "%", [100 * x for x in ratios(limit, own)], share)


@torch.inference_mode()
def _attention_rate(settings: Settings, dtype: str, prompt: IcrPrompt, sizes: flops.Sizes) -> list[float]:
    """GFLOP/s of torch's fused causal attention over the prefix of one layer."""
    length = len(prompt.tree.prefix)
    query, key, value = (
        torch.randn(1, heads, length, sizes.head, device=settings.device).to(decoders.DTYPES[dtype])
        for heads in (sizes.heads, sizes.kv_heads, sizes.kv_heads)
    )
    attention = torch.nn.functional.scaled_dot_product_attention
    operations = 2 * sizes.heads * sizes.head * length * (length + 1)

    def work() -> None:
        attention(query, key, value, is_causal=True, enable_gqa=True)

    work()
    return [operations / timed(work, settings.device) / 1e9 for _ in range(3)]


def _memory(settings: Settings, dtype: str, prompt: IcrPrompt, runs: dict[str, Callable[[], object]]) -> Iterator[Row]:
    case = _case(dtype, prompt)
    peaks = {}
    for name in ("layerrank", "baseline"):
        with peak_memory(settings.device) as found:
            runs[f"{name} {dtype}"]()
        if found.mib is None:
            return
        peaks[name] = found.mib
        yield Row(SECTION, case, f"memory above the weights, {name}", "MiB", found.mib)
    share = peaks["layerrank"] / peaks["baseline"]
    yield Row(SECTION, case, "memory against baseline", "×", share, target="≤ 0.5" if dtype == "float32" else "")


def _eager(
    settings: Settings,
    decoder: object,
    prompt: IcrPrompt,
    window: LayerWindow,
    own: list[float],
    scores: dict[str, np.ndarray],
) -> Iterator[Row]:
    case = _case("float32", prompt)
    needed = baseline.eager_mib(decoder, prompt)  # type: ignore[arg-type]
    if needed * 1.5 > _available(settings):
        yield Row(SECTION, case, "weights of eager attention", "MiB", needed, note="not run: does not fit into memory")
        return
    found: list[float] = []
    with peak_memory(settings.device) as peak:
        seconds = timed(lambda: found.extend(baseline.eager(decoder, prompt, window)), settings.device)  # type: ignore[arg-type]
    yield from _agreement(f"{case}, eager", np.array(found), scores["layerrank float32"], "float32")
    yield Row(SECTION, case, "eager", "s", seconds)
    yield row_of(SECTION, case, "layerrank against eager", "×", [seconds / one for one in own])
    if peak.mib is not None:
        yield Row(SECTION, case, "memory above the weights, eager", "MiB", peak.mib)


def _agreement(case: str, theirs: np.ndarray, own: np.ndarray, dtype: str) -> Iterator[Row]:
    """The two must give the same scores; raises where they do not."""
    difference = float(np.abs(theirs - own).max() / max(np.ptp(theirs), 1e-12))
    if not difference <= AGREE[dtype]:
        raise AssertionError(f"{case}: scores differ by {difference:.2g} of their range from the published algorithm's")
    yield Row(SECTION, case, "largest difference of scores, share of their range", "", difference)
    yield Row(SECTION, case, "agreement of orders (Kendall τ)", "", float(kendalltau(theirs, own).statistic))


def _available(settings: Settings) -> float:
    if settings.device.type == "cuda":
        return torch.cuda.mem_get_info(settings.device)[0] / 2**20
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _case(dtype: str, prompt: IcrPrompt) -> str:
    return f"{dtype}, {prompt.tree.tokens:,} tokens"
