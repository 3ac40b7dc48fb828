"""Cost against the length of the prompt, and the part of it that attention takes."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Row, row_of
from benchmarks.settings import DTYPES, Settings
from benchmarks.texts import prompt_of
from benchmarks.timing import attention_clock, timed
from layerrank.attention.probe import Probe
from layerrank.latency import flops

SECTION = "tokens"
LENGTHS = (500, 1000, 2000, 4000, 7900)
QUICK = (100, 300)


def run(settings: Settings) -> Iterator[Row]:
    """Seconds, and the shares of attention in seconds and in operations, from short prompts to long ones."""
    for dtype in DTYPES:
        probe = Probe(settings.decoder(dtype))
        sizes = flops.sizes_of(probe.decoder.model, probe.decoder.config)
        crossing = None
        before: tuple[int, float] | None = None
        for length in QUICK if settings.quick else LENGTHS[: -1 if settings.short else None]:
            prompt = prompt_of(settings.tokenizer, settings.family, length)
            tokens = prompt.tree.tokens
            rounds = settings.rounds if length <= 2000 else 1
            if length <= 2000:
                probe.read([prompt])
            seconds, shares = [], []
            for _ in range(rounds):
                with attention_clock(settings.device) as inside:
                    seconds.append(timed(lambda one=prompt, reader=probe: reader.read([one]), settings.device))
                shares.append(100 * inside[0] / seconds[-1])
            by_formula = 100 * (1 - flops.products(sizes, prompt.tree) / flops.forward(sizes, prompt.tree))
            case = f"{dtype}, {tokens:,} tokens"
            yield row_of(SECTION, case, "layerrank", "s", seconds)
            yield row_of(SECTION, case, "tokens a second", "1/s", [tokens / one for one in seconds])
            yield row_of(SECTION, case, "attention's share of the seconds", "%", shares)
            yield Row(SECTION, case, "attention's share of the operations", "%", by_formula)
            share = sorted(shares)[len(shares) // 2]
            if crossing is None and share >= 50:
                crossing = tokens if before is None else _between(before, (tokens, share))
            before = (tokens, share)
        if crossing is not None:
            yield Row(SECTION, dtype, "attention takes half of the seconds from", "tokens", crossing)
        equal = sizes.weights[0] / (sizes.heads * sizes.head)
        yield Row(SECTION, dtype, "attention takes half of the operations from", "tokens", equal)


def _between(low: tuple[int, float], high: tuple[int, float]) -> float:
    """Tokens at which the share passes 50, on the line between two points."""
    return low[0] + (high[0] - low[0]) * (50 - low[1]) / (high[1] - low[1])
