"""The finished queries of a run that is not whole yet: a file that grows beside it, of one process at a time."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from layerrank.core import files
from layerrank.core.errors import naming
from layerrank.core.locks import open_exclusive
from layerrank.core.records import Cost, Ranking

_log = logging.getLogger(__name__)


class Journal:
    """Finished queries, kept until their run is written; whoever holds the file locks others out of the run.

    Args:
        path: JSON lines: a head with the digest, then a finished query each, with a digest of its own.
        digest: Of everything that the results depend on. A file with another one is set aside (`.stale`).

    Raises:
        UserError: another process is ranking for this run.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.finished: dict[str, tuple[Ranking, Cost]] = {}
        self._digest = digest
        self._stream = open_exclusive(path, "this run")
        head = self._stream.readline()
        if head and _value(head) != {"digest": digest}:
            stale = path.with_name(path.name + ".stale")
            _log.warning("%s was begun with other settings: set aside as %s", path, stale)
            path.replace(stale)
            self._stream.close()
            self._stream = open_exclusive(path, "this run")
            head = b""
        if head:
            self._read()
        else:
            self._write({"digest": digest})

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with naming(self.path):  # what a full disk did not take is tried once more
            self._stream.close()

    def add(self, ranking: Ranking, cost: Cost) -> None:
        """Keep a finished query, on disk when this returns."""
        row = {"ranking": dataclasses.asdict(ranking), "cost": dataclasses.asdict(cost)}
        self._write({**row, "digest": self._digest_of(row)})
        self.finished[ranking.qid] = (ranking, cost)

    def _write(self, row: Mapping[str, Any]) -> None:
        with naming(self.path):
            self._stream.write(json.dumps(row, sort_keys=True).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def _read(self) -> None:
        """Take over what is whole. A line that was cut off is dropped; damaged ones stay, and are not taken."""
        length, damaged = self._stream.tell(), 0
        for line in self._stream:
            if not line.endswith(b"\n"):
                break
            length += len(line)
            row = _value(line)
            if not isinstance(row, dict) or row.pop("digest", None) != self._digest_of(row):
                damaged += 1
                continue
            ranking = Ranking(row["ranking"]["qid"], *(tuple(row["ranking"][key]) for key in ("pids", "scores")))
            self.finished[ranking.qid] = (ranking, Cost(**row["cost"]))
        self._stream.truncate(length)
        self._stream.seek(length)
        if damaged:
            _log.warning("%s: %d lines are damaged; their queries are ranked again", self.path, damaged)

    def _digest_of(self, row: Mapping[str, Any]) -> str:
        return files.text_digest([self._digest, json.dumps(row, sort_keys=True)])[:16]


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
