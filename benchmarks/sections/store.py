"""Bytes of a stored query, by dtype and compression, and what float16 does to rankings."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.rows import Row
from benchmarks.sections.dtype import compared
from benchmarks.settings import Settings
from benchmarks.stored import signals
from layerrank.attention.store import COMPRESSIONS, DTYPES, SignalWriter, read_signals
from layerrank.core.windows import LayerWindow

SECTION = "store"


def run(settings: Settings) -> Iterator[Row]:
    """Bytes a query, seconds to read it back, and agreement with the plain store."""
    plain = list(signals(settings, "float32"))
    window = LayerWindow(0, plain[0].layers - 1)
    tokens = sum(int(signal.lengths.sum()) for signal in plain) / len(plain)
    yield Row(SECTION, "a query", "passage tokens, mean", "", tokens)
    for dtype in DTYPES:
        for compression in COMPRESSIONS:
            case = f"{dtype}, {compression}"
            path = settings.work / f"store-{dtype}-{compression}.arrow"
            path.unlink(missing_ok=True)
            with SignalWriter(path, {"model": "benchmark"}, dtype=dtype, compression=compression) as store:
                for signal in plain:
                    store.append(signal)
                store.close()
            yield Row(SECTION, case, "a query", "MB", path.stat().st_size / len(plain) / 1e6)
            began = time.perf_counter()
            found = list(read_signals(path))
            for signal in found:
                float(signal.signal.sum())
            yield Row(SECTION, case, "reading a query back", "ms", 1e3 * (time.perf_counter() - began) / len(found))
            if dtype != "float32" and compression == "none":
                yield from compared(SECTION, f"{dtype} for float32", plain, found, settings.qrels(), window)
            path.unlink()
