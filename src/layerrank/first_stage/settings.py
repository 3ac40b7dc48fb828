"""How BM25 searches, and what its settings may be: the study's schema takes bounds and defaults from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerrank.core.errors import UserError

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "k1": {"type": "number", "minimum": 0, "maximum": 1000, "default": 0.9},
    "b": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.4},
    "depth": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100},
}
"""Each setting as a schema has it. The largest depth is enough for any recall, within what a search holds in memory."""


@dataclass(frozen=True, slots=True)
class Bm25:
    """BM25's parameters, candidates to keep for a query, search threads."""

    k1: float = SETTINGS["k1"]["default"]
    b: float = SETTINGS["b"]["default"]
    depth: int = SETTINGS["depth"]["default"]
    threads: int = 1

    def __post_init__(self) -> None:
        for name, bounds in SETTINGS.items():
            value, low, high = getattr(self, name), bounds["minimum"], bounds["maximum"]
            if not low <= value <= high:
                raise UserError(f"first_stage {name} is {value}; it must lie between {low} and {high}")
        if self.threads < 1:
            raise UserError(f"threads is {self.threads}; it must be at least 1")
