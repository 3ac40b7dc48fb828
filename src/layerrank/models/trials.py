"""What trying a model has shown, kept beside it: the same files, versions and processor need no second trial."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from layerrank.core import versions
from layerrank.core.errors import UserError
from layerrank.core.files import file_digest, read_json, text_digest, write_json
from layerrank.models.device import name_of

KEPT = 200
"""Trials that are kept of a model, the latest ones: each depth, dtype and version has its own."""


@dataclass(frozen=True)
class Trials:
    """The trials of one model's files.

    Attributes:
        path: where they are kept; None for a model that was not fetched, which nothing is written beside.
        weights: SHA-256 over the model's files (models.identity).
    """

    path: Path | None = None
    weights: str = ""

    @classmethod
    def beside(cls, folder: Path, weights: str) -> Trials:
        """Those of a fetched model."""
        return cls(folder.with_name(f".{folder.name}.trials.json"), weights)

    def once(self, what: str, loaded: Iterable[Any], code: Iterable[str], attempt: Callable[[], Any]) -> Any:
        """Return what `attempt` does: JSON, and from the record where the same was tried before.

        Args:
            what: names the trial.
            loaded: what else decides: how the model was loaded, and where to (`circumstances`).
            code: source files that the trial's outcome hangs on.
            attempt: the trial; what it raises is not kept.
        """
        if self.path is None:
            return attempt()
        sources = (file_digest(Path(source)) for source in (*code, __file__))
        key = text_digest([what, self.weights, *sources, json.dumps([*loaded, versions.of_numbers()])])
        known = _read(self.path)
        for row in known:
            if row["key"] == key:
                return row["found"]
        found = attempt()
        with contextlib.suppress(OSError):
            write_json(self.path, [*known, {"key": key, "what": what, "found": found}][-KEPT:])
        return found


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        known = read_json(path)
    except UserError:
        return []
    rows = known if isinstance(known, list) else []
    return [row for row in rows if isinstance(row, dict) and {"key", "found"} <= row.keys()]


def circumstances(place: str) -> list[str]:
    """What a device computes with: its name, the machine's kind, and the instructions that torch uses there."""
    return [name_of(place), platform.machine(), torch.backends.cpu.get_cpu_capability()]
