"""What a system's name says: `<framework>-<mechanism>[-<window>]`; `bm25` and `ceiling` stand alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST_STAGE = "bm25"
CEILING = "ceiling"
ORACLE = "selected-oracle"


@dataclass(frozen=True, slots=True)
class System:
    """The parts of a system's name; `mechanism` and `window` are empty where the name has none."""

    name: str
    framework: str
    mechanism: str = ""
    window: str = ""

    @property
    def upper_bound(self) -> bool:
        """Whether the test queries' own judgements made it: the ceiling, and windows chosen by an oracle."""
        return self.name == CEILING or self.window.startswith(ORACLE)

    @property
    def label(self) -> str:
        """The name in words, such as `Listwise attention, layers 10–13`."""
        if self.name == FIRST_STAGE:
            return "BM25 (first stage)"
        if self.name == CEILING:
            return "Ideal re-ranking (ceiling)"
        words = f"{self.framework} {self.mechanism}".strip().replace("_", " ")
        return words[:1].upper() + words[1:] + (f", {window_label(self.window)}" if self.window else "")


def parse_system(name: str) -> System:
    """Take a system's name apart at its first two dashes."""
    return System(name, *name.split("-", 2))


def window_label(window: str) -> str:
    """A window in words: `all layers`, `layers 10–13`, `layer 12`, `peak window`, `oracle window (upper bound)`."""
    if window == "all":
        return "all layers"
    if match := re.fullmatch(r"L(\d+)-(\d+)", window):
        start, end = match.groups()
        return f"layer {start}" if start == end else f"layers {start}–{end}"
    if window.startswith("selected-"):
        bound = " (upper bound)" if window.startswith(ORACLE) else ""
        return f"{window.removeprefix('selected-')} window{bound}"
    return window
