"""What a system's name says: `<framework>-<mechanism>[-<window>]`; `bm25` and `ceiling` stand alone."""

from __future__ import annotations

from dataclasses import dataclass

from layerrank.core.windows import is_upper_bound, window_label

FIRST_STAGE = "bm25"
CEILING = "ceiling"


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
        return self.name == CEILING or is_upper_bound(self.window)

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
