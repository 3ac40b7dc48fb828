"""Signals of the collection's first queries: the study's own where it has them in that dtype, else read once a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.settings import Settings
from layerrank.attention.extract import SIGNAL, extract
from layerrank.attention.signal import Signal
from layerrank.attention.store import read_metadata, read_signals
from layerrank.core.files import file_digest, write_candidates
from layerrank.prompts.icr import PromptSettings


def signal_stores(settings: Settings, dtype: str) -> list[Path]:
    """Stores that hold a signal of every one of `settings.rows()`."""
    qids = {row.query.qid for row in settings.rows()}
    own = sorted((settings.collection / settings.model.name / "attention").glob("base.shard-*.arrow"))
    if own and qids <= {qid for path in own for qid in read_metadata(path)["qids"]}:
        facts = read_metadata(own[0])
        digest = file_digest(settings.candidates)
        if (facts["dtype"], facts["signal"], facts["candidates"]) == (dtype, SIGNAL, digest):
            return own
    path = settings.work / f"{dtype}.arrow"
    if not path.is_file() or set(read_metadata(path)["qids"]) != qids:
        prompts = PromptSettings(settings.family)
        device = settings.device.type
        extract(candidates_file(settings), settings.model, path, prompts, dtype=dtype, device=device)
    return [path]


def signals(settings: Settings, dtype: str) -> Iterator[Signal]:
    """Signals of `settings.rows()`, in the order of the candidates file."""
    return read_signals(signal_stores(settings, dtype), [row.query.qid for row in settings.rows()])


def candidates_file(settings: Settings) -> Path:
    """The rows as a file in the work folder."""
    path = settings.work / "candidates.jsonl.gz"
    write_candidates(path, settings.rows())
    return path
