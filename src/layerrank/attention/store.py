"""The signal on disk: Arrow IPC, one record batch a query, readable with memory mapping.

While it grows, a store is a stream beside its final name (`.NAME.partial`): Snakemake deletes a failed job's declared
output, never that. Each record is flushed when whole, so a killed job loses the query in hand; on the next start a torn
last record is cut off and the rest is kept, if it was made with the same settings. `close` puts the records into the
order asked for, writes the final file, and renames it into place. What it leaves behind where it is told to keep it is
a second name of that file (`.NAME.whole`, a hard link): a killed Snakemake deletes on its next start what it had no
time to book as finished, and `restore` brings it back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from layerrank.attention.signal import SUMS, Signal
from layerrank.core.errors import UserError, naming
from layerrank.core.files import WHOLE, one_model, replacing, text_digest
from layerrank.core.locks import open_exclusive

FORMAT = 3
"""Version of the record's layout and of what its numbers mean; it goes up when either changes.

1: signal and passage sums. 2: `masked` beside the sums, of each head by itself; empty where it is not kept. 3: the
signal in float32 alone, without `scale`; a store whose metadata say `na_tokens` has `na` beside the signal, which a
reader that does not know of it leaves aside.
"""

READ = (1, 2, 3)
"""Formats that can be read; a store of format 1 has no `masked`."""

NOT_COMPARED = ("device", "code")
"""Metadata that may differ between the start of an extraction and its continuation."""

_KEY = b"layerrank"
_log = logging.getLogger(__name__)


def _schema(metadata: Mapping[str, Any]) -> pa.Schema:
    fields = [
        pa.field("qid", pa.string()),
        pa.field("pids", pa.list_(pa.string())),
        pa.field("lengths", pa.list_(pa.int32())),
        pa.field("layers", pa.int32()),
        pa.field("heads", pa.int32()),
        *([pa.field("scale", pa.list_(pa.float32()))] if metadata["format"] < 3 else []),
        pa.field("signal", pa.list_(pa.float32())),
        *([pa.field("na", pa.list_(pa.float32()))] if metadata.get("na_tokens") else []),
        *(pa.field(f"sums_{name}", pa.list_(pa.float32())) for name in SUMS),
        *([pa.field("masked", pa.list_(pa.float32()))] if metadata["format"] > 1 else []),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("seconds", pa.float64()),
        pa.field("digest", pa.binary(32)),
    ]
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
    return pa.schema(fields, metadata={_KEY: text.encode()})


def _digest(batch: pa.RecordBatch) -> bytes:
    """SHA-256 over every column of a record but the digest, names and lengths included."""
    digest = hashlib.sha256()
    for field in batch.schema:
        if field.name == "digest":
            continue
        column = batch.column(field.name)
        if pa.types.is_list(field.type) and not pa.types.is_string(field.type.value_type):
            raw = memoryview(column.flatten().to_numpy(zero_copy_only=False)).cast("B")
        else:
            raw = memoryview(json.dumps(column.to_pylist()).encode())
        digest.update(f"{field.name}:{len(raw)}:".encode())
        digest.update(raw)
    return digest.digest()


def _batch(signal: Signal, schema: pa.Schema) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "qid": signal.qid,
        "pids": list(signal.pids),
        "lengths": signal.lengths,
        "layers": signal.layers,
        "heads": signal.heads,
        "scale": np.ones(0, dtype=np.float32),
        "signal": signal.signal.reshape(-1),
        "na": np.zeros(0, dtype=np.float32) if signal.na is None else signal.na.reshape(-1),
        **{f"sums_{name}": signal.sums[name].reshape(-1) for name in SUMS},
        "masked": np.zeros(0, dtype=np.float32) if signal.masked is None else signal.masked.reshape(-1),
        "prompt_tokens": signal.prompt_tokens,
        "seconds": signal.seconds,
        "digest": bytes(32),
    }

    def column(field: pa.Field, value: Any) -> pa.Array:
        if isinstance(value, np.ndarray):
            flat = pa.array(value, type=field.type.value_type)
            return pa.ListArray.from_arrays(pa.array([0, len(flat)], type=pa.int32()), flat)
        return pa.array([value], type=field.type)

    batch = pa.RecordBatch.from_arrays([column(field, columns[field.name]) for field in schema], schema=schema)
    where = schema.get_field_index("digest")
    return batch.set_column(where, schema.field(where), pa.array([_digest(batch)], type=pa.binary(32)))


class SignalWriter:
    """Appends signals to a store and survives being killed.

        with SignalWriter(path, metadata) as store:
            for prompt in prompts:
                if prompt.qid not in store.finished:
                    store.append(read(prompt))
            store.close(order)

    `finished` holds the query ids that a former run left behind. Leaving the block without `close` keeps the partial
    file.

    Args:
        path: the final file.
        metadata: JSON-able facts of the whole store. A partial file with others (`NOT_COMPARED` excepted) is set aside,
            not mixed. `format` is added. With `na_tokens` the store keeps each signal's `na`; where `masked` is False,
            signals come without.

    Raises:
        UserError: another process is writing the same store.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {**metadata, "format": FORMAT}
        self.schema = _schema(self.metadata)
        self.partial = path.with_name(f".{path.name}.partial")
        self.whole = path.with_name(f".{path.name}{WHOLE}")
        self.finished: dict[str, int] = {}
        self._file = self._open()

    def _open(self) -> BinaryIO:
        file = open_exclusive(self.partial, "this store")
        size = os.fstat(file.fileno()).st_size
        whole = self._recover() if size else 0
        if whole is None:
            aside = self.partial.with_name(f"{self.partial.name}.aside-{_tag(self.partial)}")
            self.partial.rename(aside)
            _log.warning("%s: made with other settings, set aside as %s", self.path, aside.name)
            file.close()
            return self._open()
        if whole == 0:
            file.truncate(0)
            with naming(self.path):
                file.write(self.schema.serialize())
                file.flush()
        else:
            if whole < size:
                _log.warning("%s: a torn last record of %d bytes is dropped", self.path, size - whole)
            file.truncate(whole)
            file.seek(whole)
            _log.info("%s: %d finished queries are kept", self.path, len(self.finished))
        return file

    def _recover(self) -> int | None:
        """Bytes of the partial file that hold whole, intact records; None where it was made with other settings."""
        source = pa.memory_map(str(self.partial))
        try:
            try:
                schema = pa.ipc.read_schema(source)
            except (pa.ArrowInvalid, OSError):
                return 0
            if not schema.equals(self.schema) or _compared(schema) != _compared(self.schema):
                return None
            whole = source.tell()
            while True:
                try:
                    message = pa.ipc.read_message(source)
                    batch = pa.ipc.read_record_batch(message, schema)
                    batch.validate(full=True)
                    qid = batch.column("qid")[0].as_py()
                    intact = batch.column("digest")[0].as_py() == _digest(batch)
                except (EOFError, pa.ArrowInvalid, OSError, UnicodeDecodeError):
                    return whole
                if not intact:
                    return whole
                self.finished[qid] = whole
                whole = source.tell()
        finally:
            source.close()

    def append(self, signal: Signal) -> None:
        """Write one query's record and flush it to the disk."""
        if signal.qid in self.finished:
            raise ValueError(f"{self.path}: query {signal.qid} is already in the store")
        if self.metadata.get("na_tokens") and signal.na is None:
            raise ValueError(f"{self.path}: query {signal.qid} comes without the tokens of N/A")
        where = self._file.tell()
        with naming(self.path):
            self._file.write(_batch(signal, self.schema).serialize())
            self._file.flush()
            os.fsync(self._file.fileno())
        self.finished[signal.qid] = where

    def restore(self, order: Sequence[str]) -> bool:
        """Bring back a store that `close` had kept, made with these settings and this code of these queries in order.

        One that holds more (`na`, `masked`) serves where less is asked for. Returns whether there was one, all of it
        intact; the writer is closed then.
        """
        wanted = {**self.metadata, "qids": list(order)}
        try:
            kept = read_metadata(self.whole)
            for part, absent in (("na_tokens", None), ("masked", False)):
                if wanted.get(part) == absent:
                    kept[part] = wanted[part] = absent
            if _comparable(kept) != _comparable(wanted) or kept.get("code") != wanted.get("code"):
                return False
            for _ in read_signals(self.whole):
                pass  # a damaged store is extracted again
        except UserError:
            return False
        with replacing(self.path) as temporary:
            temporary.unlink()
            os.link(self.whole, temporary)
            os.utime(temporary)
        self.partial.unlink()
        self._file.close()
        return True

    def close(self, order: Iterable[str] | None = None, *, keep: bool = False) -> None:
        """Move the finished store into place: the records of `order`, or all in the order of their arrival.

        Args:
            order: query ids.
            keep: leave a second name of the file for `restore`, where the file system has hard links.

        Raises:
            KeyError: a query of `order` has no record.
        """
        qids = list(self.finished if order is None else order)
        offsets = [self.finished[qid] for qid in qids]
        metadata = {**self.metadata, "qids": qids}
        schema = _schema(metadata)
        with (
            replacing(self.path) as temporary,
            pa.memory_map(str(self.partial)) as source,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, schema) as writer,
        ):
            for offset in offsets:
                source.seek(offset)
                batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), self.schema)
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        self.whole.unlink(missing_ok=True)
        if keep:
            with contextlib.suppress(OSError):
                os.link(self.path, self.whole)
        self.partial.unlink()
        self._file.close()
        _log.info("%s: %.2f MB a query", self.path, self.path.stat().st_size / 1e6 / max(1, len(qids)))

    def __enter__(self) -> SignalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with naming(self.path):  # what a full disk did not take is tried once more
            self._file.close()


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the facts that a store was written with, `qids` (in record order) among them."""
    with _opened(path) as reader:
        return _metadata(reader.schema, path)


def read_signals(paths: Path | Sequence[Path], qids: Iterable[str] | None = None) -> Iterator[Signal]:
    """Yield the signals of one store, or of several shards in turn; only those of `qids` where given.

    Arrays are read-only views of the memory-mapped file; one record is in hand at a time.

    Raises:
        UserError: a missing, torn or foreign file, or a record that fails its digest: file and query are named.
    """
    wanted = None if qids is None else set(qids)
    for path in [paths] if isinstance(paths, Path) else paths:
        with _opened(path) as reader:
            names = _metadata(reader.schema, path)["qids"]
            if len(names) != reader.num_record_batches:
                raise UserError(f"{path}: {reader.num_record_batches} records for {len(names)} queries")
            for index, qid in enumerate(names):
                if wanted is None or qid in wanted:
                    yield _signal(reader, index, qid, path)


def _signal(reader: Any, index: int, qid: str, path: Path) -> Signal:
    try:
        batch = reader.get_batch(index)
        batch.validate(full=True)
        intact = batch.num_rows == 1 and batch.column("digest")[0].as_py() == _digest(batch)
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError, ValueError):
        intact = False
    if not intact or batch.column("qid")[0].as_py() != qid:
        raise UserError(f"{path}: the record of query {qid} fails its digest; delete the file to extract it again")
    layers, heads = batch.column("layers")[0].as_py(), batch.column("heads")[0].as_py()
    pids = tuple(batch.column("pids")[0].as_py())

    def flat(name: str) -> npt.NDArray[Any]:
        return batch.column(name).flatten().to_numpy(zero_copy_only=False)

    values = flat("signal").reshape(layers, -1) if layers else np.zeros((0, 0), dtype=np.float32)
    if values.dtype != np.float32:
        raise UserError(f"{path}: the signal is {values.dtype}, not float32; delete the file to extract it again")
    masked = flat("masked") if "masked" in batch.schema.names else np.zeros(0, dtype=np.float32)
    na = flat("na").reshape(values.shape) if "na" in batch.schema.names else None
    return Signal(
        qid=qid,
        pids=pids,
        lengths=flat("lengths"),
        signal=values,
        sums={name: flat(f"sums_{name}").reshape(layers, heads, len(pids)) for name in SUMS},
        prompt_tokens=batch.column("prompt_tokens")[0].as_py(),
        seconds=batch.column("seconds")[0].as_py(),
        masked=masked.reshape(layers, heads, len(pids)) if len(masked) else None,
        na=na,
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        source = pa.memory_map(str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    with source:
        try:
            reader = pa.ipc.open_file(source)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: not a whole Arrow file ({error}); delete it to extract it again") from None
        yield reader


def _metadata(schema: pa.Schema, path: Path) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(_KEY)
    if raw is None:
        raise UserError(f"{path}: an Arrow file, but not a signal store of layerrank")
    metadata: dict[str, Any] = json.loads(raw)
    if metadata.get("format") not in READ:
        known = " and ".join(map(str, READ))
        raise UserError(f"{path}: signal format {metadata.get('format')!r}, this layerrank reads formats {known}")
    return metadata


def _compared(schema: pa.Schema) -> dict[str, Any]:
    return _comparable(json.loads((schema.metadata or {}).get(_KEY, b"{}")))


def _comparable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key not in NOT_COMPARED}


def _tag(path: Path) -> str:
    """Eight digits that name a set-aside file by its beginning."""
    with path.open("rb") as file:
        return text_digest([file.read(1 << 16).hex()])[:8]


def stored_qids(paths: Sequence[Path]) -> dict[str, Path]:
    """Every query that the shards hold, and where: {qid: path}, in record order.

    Raises:
        UserError: two hold the same query, or are of different weights.
    """
    found: dict[str, Path] = {}
    stored_weights(paths)
    for path in paths:
        for qid in read_metadata(path)["qids"]:
            if qid in found:
                raise UserError(f"{path}: query {qid} is in {found[qid]} as well")
            found[qid] = path
    return found


def stored_weights(paths: Sequence[Path]) -> str:
    """The digest of the model's files that the shards are of, "" where they say none; `UserError` if they differ."""
    return one_model((path, read_metadata(path).get("weights") or "") for path in paths)


def stored_layers(paths: Sequence[Path]) -> int:
    """Layers of the first stored signal. Raises `UserError` where the shards hold none."""
    for signal in read_signals(paths):
        return signal.layers
    raise UserError(f"{', '.join(map(str, paths))}: no query has a signal")


def stored_lengths(paths: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Tokens of every stored query's passages: {qid: {pid: tokens}}."""
    return {signal.qid: dict(zip(signal.pids, signal.lengths.tolist(), strict=True)) for signal in read_signals(paths)}
