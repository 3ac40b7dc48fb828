"""Where topics, judgements and texts come from: one module a source, all in one table."""

from __future__ import annotations

from collections.abc import Mapping

from layerrank.collections import beir
from layerrank.collections.source import Source

SOURCES: Mapping[str, Source] = {
    "beir": beir.SOURCE,
}
"""The sources that a catalogue entry may name."""
