"""One module a section of docs/performance.md: `run(settings)` yields its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.rows import Row
from benchmarks.sections import (
    dtype,
    explorer,
    extraction,
    generation,
    heads,
    memory,
    online,
    queries,
    selected,
    served,
    sharing,
    startup,
    store,
    sweep,
    tokens,
    windows,
)
from benchmarks.settings import Settings

SECTIONS: Mapping[str, Callable[[Settings], Iterator[Row]]] = {
    "queries": queries.run,
    "memory": memory.run,
    "extraction": extraction.run,
    "tokens": tokens.run,
    "windows": windows.run,
    "online": online.run,
    "sharing": sharing.run,
    "generation": generation.run,
    "sweep": sweep.run,
    "heads": heads.run,
    "startup": startup.run,
    "dtype": dtype.run,
    "store": store.run,
    "selected": selected.run,
    "explorer": explorer.run,
    "served": served.run,
}

BY_CASE = frozenset({sharing.SECTION})
"""Sections that go on with the case that had not ended: long ones, whose cases know nothing of each other."""
