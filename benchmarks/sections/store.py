"""Bytes of a stored query, plain and as Arrow would compress it, and what float16 would do to rankings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.rows import Row
from benchmarks.sections.dtype import compared
from benchmarks.settings import Settings
from benchmarks.stored import signals
from layerrank.attention.signal import Signal
from layerrank.attention.store import SignalWriter, read_signals
from layerrank.core.windows import LayerWindow

SECTION = "store"


def run(settings: Settings) -> Iterator[Row]:
    """Bytes a query, seconds to read it back, and agreement of a signal in float16 with the plain one."""
    plain = list(signals(settings, "float32"))
    tokens = sum(int(signal.lengths.sum()) for signal in plain) / len(plain)
    yield Row(SECTION, "a query", "passage tokens, mean", "", tokens)
    store = settings.work / "store.arrow"
    with SignalWriter(store, {"model": "benchmark"}) as writer:
        for signal in plain:
            writer.append(signal)
        writer.close()
    for compression in (None, "lz4", "zstd"):
        case = f"float32, {compression or 'none'}"
        path = _compressed(store, compression)
        yield Row(SECTION, case, "a query", "MB", path.stat().st_size / len(plain) / 1e6)
        began = time.perf_counter()
        for signal in read_signals(path):
            float(signal.signal.sum())
        yield Row(SECTION, case, "reading a query back", "ms", 1e3 * (time.perf_counter() - began) / len(plain))
        path.unlink()
    window = LayerWindow(0, plain[0].layers - 1)
    halved = [_halved(signal) for signal in plain]
    yield from compared(SECTION, "float16 for float32", plain, halved, settings.qrels(), window)


def _compressed(store: Path, compression: str | None) -> Path:
    """The same records in a file of their own."""
    path = store.with_name(f"store-{compression}.arrow")
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (
        pa.memory_map(str(store)) as source,
        pa.ipc.open_file(source) as reader,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, reader.schema, options=options) as writer,
    ):
        for index in range(reader.num_record_batches):
            writer.write_batch(reader.get_batch(index))
    return path


def _halved(signal: Signal) -> Signal:
    """The signal as float16 would keep it, each layer by a scale of its own: its largest value becomes 1."""
    largest = np.abs(signal.signal).max(axis=1, initial=0.0, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0).astype(np.float32)
    return replace(signal, signal=(signal.signal / scale).astype(np.float16).astype(np.float32) * scale)
