"""Every window's measure for every judged query, exactly, from the stored signal (semantics.md §2)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from layerrank.attention.scores import all_windows
from layerrank.attention.signal import Signal
from layerrank.attention.store import stored_layers, stored_qids, stored_weights
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, replacing
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures
from layerrank.layers.signals import for_each, orders

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
_KEY = b"layerrank"
_log = logging.getLogger(__name__)

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sweep:
    """One measure of every window for every judged query of a collection and model.

    Attributes:
        qids: the Q judged queries.
        values: float32[Q, W], windows in the order of `all_windows(layers)`.
        measure: in ir_measures' syntax.
        strategy: of semantics.md §2.
        layers: of the model, L; W = L · (L + 1) / 2.
        stored: how many of the queries have a signal; each of the others counts as an empty ranking.
        weights: digest of the model's files that the signal is of; empty where the signal says none.
    """

    qids: tuple[str, ...]
    values: NDArray[np.float32]
    measure: str
    strategy: str
    layers: int
    stored: int
    weights: str = ""

    @property
    def windows(self) -> list[LayerWindow]:
        """The W windows, start ascending, then end ascending."""
        return all_windows(self.layers)

    def means(self, rows: NDArray[np.integer] | None = None) -> Values:  # type: ignore[type-arg]
        """float64[W]: mean over the queries, or over those at positions `rows`."""
        chosen = self.values if rows is None else self.values[rows]
        return chosen.mean(axis=0, dtype=np.float64)

    def column(self, window: LayerWindow) -> int:
        """Position of `window` among the windows."""
        if window.end >= self.layers:
            raise UserError(f"window {window}: the sweep has layers 0 to {self.layers - 1}")
        return window.start * self.layers - window.start * (window.start - 1) // 2 + window.end - window.start


def sweep(paths: Sequence[Path], qrels: Qrels, measure: str, strategy: str, *, workers: int = 1) -> Sweep:
    """Score and measure every window, query by query, in `workers` processes.

    Raises:
        UserError: an unknown measure or strategy, no judged query with a signal, signals of different models.
    """
    layers = stored_layers(paths)
    values, stored = judged_values(paths, qrels, all_windows(layers), [measure], strategy, workers=workers)
    weights = stored_weights(paths)
    return Sweep(tuple(qrels), values[0].astype(np.float32), measure, strategy, layers, stored, weights)


def judged_values(
    paths: Sequence[Path],
    qrels: Qrels,
    windows: Sequence[LayerWindow],
    names: Sequence[str],
    strategy: str,
    *,
    workers: int = 1,
) -> tuple[Values, int]:
    """Each measure of each window for every judged query, and how many of the queries have a signal.

    The array is float64[M, Q, W]: `names` by queries, in the order of `qrels`, by `windows`. A query without a signal
    has no candidate to rank and counts as an empty ranking, which is 0 for measures of effectiveness.
    """
    measures.check(names)
    held = stored_qids(paths)
    judged = len(qrels.keys() & held.keys())
    if not judged:
        raise UserError(f"{', '.join(map(str, paths))}: none of the {len(qrels)} judged queries has a signal")
    if judged < len(qrels):
        _log.info("%d of %d judged queries have no signal and count as empty rankings", len(qrels) - judged, len(qrels))
    work = partial(_measure, windows=tuple(windows), names=tuple(names), strategy=strategy)
    found = for_each(paths, work, qrels, windows=len(windows), workers=workers, what="windows")
    values = np.empty((len(names), len(qrels), len(windows)))
    nothing = np.empty((1, 0), dtype=np.int64)
    for row, (qid, judgements) in enumerate(qrels.items()):
        if qid in found:
            values[:, row] = found[qid]
        else:
            values[:, row] = [measures.of_orders(name, judgements, (), nothing) for name in names]
    return values, judged


def _measure(
    signal: Signal,
    judgements: Mapping[str, int],
    *,
    windows: Sequence[LayerWindow],
    names: Sequence[str],
    strategy: str,
) -> Values:
    """float64[M, W] of one query."""
    if max(window.end for window in windows) != signal.layers - 1:
        raise UserError(f"query {signal.qid}: its signal has {signal.layers} layers, others have another number")
    ranked = orders(signal, windows, strategy)
    return np.stack([measures.of_orders(name, judgements, signal.pids, ranked) for name in names])


def sweep_table(swept: Sweep) -> pd.DataFrame:
    """A sweep's means over all judged queries: the own columns of `frames.SWEEP`, a row a window."""
    import pandas as pd

    from layerrank.core.frames import SWEEP, own_columns

    rows = [
        (window.start, window.end, swept.measure, mean)
        for window, mean in zip(swept.windows, swept.means(), strict=True)
    ]
    return pd.DataFrame(rows, columns=own_columns(SWEEP))


def write_sweep(path: Path, swept: Sweep) -> None:
    """Write Arrow IPC, one record a query {qid, values float32[W]}; what they mean is JSON in the schema's metadata.

    A digest over all of it stands there too.
    """
    about: dict[str, Any] = {
        "format": FORMAT,
        "layers": swept.layers,
        "measure": swept.measure,
        "stored": swept.stored,
        "strategy": swept.strategy,
        "weights": swept.weights,
        "windows": [[window.start, window.end] for window in swept.windows],
    }
    about["digest"] = _digest(about, swept.qids, swept.values)
    flat = pa.array(np.ascontiguousarray(swept.values).reshape(-1), type=pa.float32())
    columns = [pa.array(swept.qids, type=pa.string()), pa.FixedSizeListArray.from_arrays(flat, len(swept.windows))]
    fields = [pa.field("qid", pa.string()), pa.field("values", columns[1].type)]
    schema = pa.schema(fields, metadata={_KEY: json.dumps(about, sort_keys=True).encode()})
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _digest(about: Mapping[str, Any], qids: Sequence[str], values: NDArray[np.float32]) -> str:
    """SHA-256 of a sweep: what is said of it, its queries, its values."""
    digest = hashlib.sha256(json.dumps([about, list(qids)], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return digest.hexdigest()


def read_sweep(path: Path) -> Sweep:
    """Read what `write_sweep` wrote. Raises `UserError` for a missing, foreign or damaged file."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            table = pa.ipc.open_file(source).read_all()
        about = json.loads((table.schema.metadata or {})[_KEY])
        windows = len(about["windows"])
        if about["format"] != FORMAT:
            raise UserError(f"{path}: sweep format {about['format']!r}, this layerrank reads format {FORMAT}")
        qids = tuple(table.column("qid").to_pylist())
        flat = table.column("values").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values = flat.reshape(len(qids), windows)
        if about.pop("digest") != _digest(about, qids, values):
            raise UserError(f"{path}: the sweep is damaged: its digest is not that of its values; make it again")
        return Sweep(
            qids,
            values,
            about["measure"],
            about["strategy"],
            about["layers"],
            about["stored"],
            about["weights"],
        )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a sweep of layerrank ({type(error).__name__}: {error})") from None
