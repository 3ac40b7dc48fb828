"""Where topics, judgements and texts come from: one module a source, all in one table."""

from __future__ import annotations

from collections.abc import Mapping

from layerrank.collections import beir, bright, candidate_lists, irds, prebuilt, ready_run
from layerrank.collections.source import Source

_TEXTS: Mapping[str, Source] = {
    "beir": beir.SOURCE,
    "bright": bright.SOURCE,
    "files": beir.FILES,
    "ir_datasets": irds.SOURCE,
    "pyserini": prebuilt.SOURCE,
}
SOURCES: Mapping[str, Source] = {**_TEXTS, "candidates": candidate_lists.SOURCE, "run": ready_run.source_of(_TEXTS)}
"""The sources that a catalogue entry may name."""
