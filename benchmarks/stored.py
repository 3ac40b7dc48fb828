"""Signals of the collection's first queries: the study's own where it has them in that dtype, else read once a run.

And synthetic ones, of a larger model than the machine could read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.settings import Settings
from layerrank.attention.extract import SIGNAL, extract
from layerrank.attention.signal import SUMS, Signal
from layerrank.attention.store import SignalWriter, read_metadata, read_signals
from layerrank.core.files import file_digest, write_candidates, write_qrels
from layerrank.models.identity import read_record
from layerrank.prompts.icr import PromptSettings

LAYERS, HEADS = 36, 32
"""Of the synthetic store's model."""


def signal_stores(settings: Settings, dtype: str) -> list[Path]:
    """Stores that hold a signal of every one of `settings.rows()`."""
    qids = {row.query.qid for row in settings.rows()}
    record, prompts = read_record(settings.model), PromptSettings(settings.family)
    name = record.get("name") or settings.model.name
    own = sorted((settings.collection / name / "attention").glob("base.shard-*.arrow"))
    if own and qids <= {qid for path in own for qid in read_metadata(path)["qids"]}:
        facts = read_metadata(own[0])
        wanted = {
            "dtype": dtype,
            "signal": SIGNAL,
            "candidates": file_digest(settings.candidates),
            "family": prompts.family,
            "instruction": prompts.instruction,
            "revision": record.get("revision", facts["revision"]),
        }
        if all(facts[key] == value for key, value in wanted.items()):
            return own
    path = settings.work / f"{dtype}.arrow"
    if not path.is_file() or set(read_metadata(path)["qids"]) != qids:
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


def synthetic_store(
    settings: Settings, queries: int, passages: int, tokens: int, *, masked: bool = False
) -> tuple[Path, Path]:
    """A store of random signals, with each head's masked sums or without, and judgements of all its passages."""
    rng = np.random.default_rng(0)
    pids = tuple(f"d{number}" for number in range(passages))
    lengths = np.full(passages, tokens, dtype=np.int32)
    qrels = {}
    path, judged = settings.work / "synthetic.arrow", settings.work / "synthetic.qrels.txt"
    path.unlink(missing_ok=True)
    with SignalWriter(path, {"model": "synthetic", "layers": LAYERS, "heads": HEADS}) as store:
        for number in range(queries):
            signal = rng.standard_normal((LAYERS, passages * tokens), dtype=np.float32)
            sums = rng.random((len(SUMS), LAYERS, HEADS, passages), dtype=np.float32)
            named = dict(zip(SUMS, sums, strict=True))
            own = rng.standard_normal((LAYERS, HEADS, passages), dtype=np.float32) if masked else None
            store.append(Signal(f"q{number}", pids, lengths, signal, named, passages * tokens, 0.0, masked=own))
            qrels[f"q{number}"] = {
                pid: int(grade) for pid, grade in zip(pids, rng.integers(0, 3, passages), strict=True)
            }
        store.close()
    write_qrels(judged, qrels)
    return path, judged
