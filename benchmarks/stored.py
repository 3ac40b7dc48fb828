"""Signals of the collection's first queries, read once in each dtype for all sections of a run."""

from __future__ import annotations

from pathlib import Path

from benchmarks.settings import Settings
from layerrank.attention.extract import PromptSettings, extract
from layerrank.attention.store import read_metadata
from layerrank.files import write_candidates


def signal_store(settings: Settings, dtype: str) -> Path:
    """A store with the signals of `settings.rows()`; what a run with the same work folder has read stays."""
    path = settings.work / f"{dtype}.arrow"
    rows = settings.rows()
    if path.is_file() and read_metadata(path)["qids"] == [row.query.qid for row in rows]:
        return path
    candidates = candidates_file(settings)
    extract(candidates, settings.model, path, PromptSettings(settings.family), dtype=dtype, device=settings.device.type)
    return path


def candidates_file(settings: Settings) -> Path:
    """The rows as a file in the work folder."""
    path = settings.work / "candidates.jsonl.gz"
    write_candidates(path, settings.rows())
    return path
