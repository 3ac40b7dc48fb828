"""What a system's name says: `<framework>-<mechanism>[-<window>]`; `bm25`, `ceiling` and controls stand alone.

The window may be `heads-<rule>`: attention that reads chosen heads in place of a window of layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from layerrank.core.windows import ALL, head_rule_of, is_upper_bound, window_label

FIRST_STAGE = "bm25"
CEILING = "ceiling"
FRAMEWORKS = ("pointwise", "pairwise", "setwise", "listwise")
MECHANISMS = ("attention", "likelihood", "generation")
CONSTANT, RANDOM, PLACE = "constant", "random", "place"
CONTROLS: Mapping[str, str] = MappingProxyType(
    {CONSTANT: "Control: equal scores", RANDOM: "Control: random order", PLACE: "Control: place in the prompt"}
)
"""Systems that know nothing of relevance, with their names in words (semantics.md §10): what a table must beat."""


TRAINED = "trained"
"""How the names of models begin that were trained to rank: `trained-<model>`, one passage at a time."""


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
    def control(self) -> bool:
        """Whether it knows nothing of relevance."""
        return self.name in CONTROLS

    @property
    def aside(self) -> bool:
        """Whether it competes with nothing: controls and upper bounds are neither tested nor compared for the best."""
        return self.control or self.upper_bound

    @property
    def label(self) -> str:
        """The name in words, such as `Listwise attention, layers 10–13`."""
        if self.name == FIRST_STAGE:
            return "BM25 (first stage)"
        if self.control:
            return CONTROLS[self.name]
        if self.name == CEILING:
            return "Ideal re-ranking (ceiling)"
        if self.framework == TRAINED:
            return f"Pointwise, trained: {self.name.removeprefix(f'{TRAINED}-')}"
        words = f"{self.framework} {self.mechanism}".strip().replace("_", " ")
        return words[:1].upper() + words[1:] + (f", {window_label(self.window)}" if self.window else "")


WHOLE_LIST = System("listwise-attention", "listwise", "attention")
"""Attention that reads all candidates in one prompt; each of its windows is a system."""
AVERAGED, CALIBRATED = f"{WHOLE_LIST.name}_averaged", f"{WHOLE_LIST.name}_calibrated"
"""Whole-list attention whose scores are averaged over input orders, or calibrated by place."""
ALL_LAYERS = f"{WHOLE_LIST.name}-{ALL}"
"""Whole-list attention of all layers, against which windows are held."""


def parse_system(name: str) -> System:
    """Take a system's name apart at its first two dashes; that of a model trained to rank says nothing more."""
    if name.startswith(f"{TRAINED}-"):
        return System(name, TRAINED)
    return System(name, *name.split("-", 2))


def by_mechanism(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The system that stands for each mechanism of each framework: {framework: {mechanism: name}}.

    Attention is stood for by all layers, else by the first window that no oracle chose. Frameworks come in the order
    of `FRAMEWORKS`, then those of other names.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        system = parse_system(name)
        if system.mechanism not in MECHANISMS or system.upper_bound:
            continue
        ways = found.setdefault(system.framework, {})
        if system.mechanism not in ways or system.window == ALL:
            ways[system.mechanism] = name
    known = [name for name in FRAMEWORKS if name in found]
    return {name: found[name] for name in [*known, *(name for name in found if name not in FRAMEWORKS)]}


def remedies(names: Iterable[str]) -> dict[str, list[str]]:
    """What averages over orders or calibrates by place, by the system that it remedies, in their order."""
    own = list(names)
    found = {
        name: [f"{way}-{parse_system(name).window}" for way in (AVERAGED, CALIBRATED)]
        for name in own
        if name.startswith(f"{WHOLE_LIST.name}-")
    }
    return {name: there for name, ways in found.items() if (there := [way for way in ways if way in own])}


def whole_list_windows(names: Iterable[str]) -> list[str]:
    """The systems of whole-list attention with a window of layers, in their order; all layers are not among them."""
    return [name for name in _whole_list(names) if name not in (ALL_LAYERS, *whole_list_heads([name]))]


def whole_list_heads(names: Iterable[str]) -> list[str]:
    """The systems of whole-list attention that read chosen heads, in their order."""
    return [name for name in _whole_list(names) if head_rule_of(parse_system(name).window) is not None]


def _whole_list(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{WHOLE_LIST.name}-")]
