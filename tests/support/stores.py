"""Stored signals of several queries, for tests that need no model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from layerrank.attention.signal import Signal
from layerrank.attention.store import SignalWriter


def write_store(path: Path, signals: Iterable[Signal]) -> Path:
    """Write `signals` to a store at `path`; return the path."""
    with SignalWriter(path, {"model": "none"}) as store:
        for signal in signals:
            store.append(signal)
        store.close()
    return path
