"""Windows of layers: their names, as paths and settings carry them, and the files of those that a rule chose.

A window is named `all`, `L10-13` or `selected-<rule>`; in its place `heads-<rule>` names the heads that a rule chose,
and the layers that they span. Nothing else takes such a name apart or puts one together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.heads import Head, HeadSelection, read_head_selection

ALL = "all"
SELECTED = "selected-"
HEADS = "heads-"
ORACLE = "oracle"
"""Rules with such names choose by the test queries' own judgements: upper bounds."""


@dataclass(frozen=True, slots=True, order=True)
class LayerWindow:
    """Layers `start` to `end`, 0-based, both ends inclusive."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise UserError(f"window {self.start}-{self.end}: must be 0 <= start <= end (0-based layers, inclusive)")

    @classmethod
    def parse(cls, text: str, layers: int) -> LayerWindow:
        """Read `all`, `10-13`, `L10-13` or a single layer (`12`) for a model of `layers` layers."""
        if text == ALL:
            return cls(0, layers - 1)
        match = re.fullmatch(r"L?(\d+)(?:-(\d+))?", text)
        if match is None:
            raise UserError(f"window {text!r}: expected 'all', 'START-END' or a layer, such as 10-13")
        window = cls(int(match[1]), int(match[2] or match[1]))
        if window.end >= layers:
            raise UserError(f"window {text!r}: the model has layers 0 to {layers - 1}")
        return window

    @property
    def width(self) -> int:
        """Number of layers in the window."""
        return self.end - self.start + 1

    @property
    def span(self) -> str:
        """The window for readers, as short as can be: `10–13`, or `12`."""
        return str(self.start) if self.start == self.end else f"{self.start}–{self.end}"

    def __str__(self) -> str:
        return f"L{self.start}-{self.end}"


def fixed_window(name: str) -> LayerWindow | None:
    """The window that a name such as `L10-13` spells out; None where a name spells none."""
    match = re.fullmatch(r"L(\d+)-(\d+)", name)
    if match is None or int(match[1]) > int(match[2]):
        return None
    window = LayerWindow(int(match[1]), int(match[2]))
    return window if str(window) == name else None


def rule_of(name: str) -> str | None:
    """The rule that chooses a window, such as `best` of `selected-best`; None where no rule does."""
    return name.removeprefix(SELECTED) if name.startswith(SELECTED) else None


def selected_by(rule: str) -> str:
    """The name of the window that a rule chooses."""
    return SELECTED + rule


def head_rule_of(name: str) -> str | None:
    """The rule that chooses heads, such as `core` of `heads-core`; None where a name names no heads."""
    return name.removeprefix(HEADS) if name.startswith(HEADS) else None


def by_heads(rule: str) -> str:
    """What stands for the heads that a rule chooses where a window would stand."""
    return HEADS + rule


def is_upper_bound(name: str) -> bool:
    """Whether an oracle chooses the window or the heads, on the judgements of the test queries."""
    return (rule_of(name) or head_rule_of(name) or "").startswith(ORACLE)


def window_label(name: str) -> str:
    """In words: `all layers`, `layers 10–13`, `peak window`, `oracle window (upper bound)`, `core heads`."""
    if name == ALL:
        return "all layers"
    rule, heads = rule_of(name), head_rule_of(name)
    if rule or heads:
        words = f"{rule} window" if rule else f"{heads} heads"
        return words + (" (upper bound)" if is_upper_bound(name) else "")
    window = fixed_window(name)
    if window is None:
        return name
    return f"layer {window.span}" if window.width == 1 else f"layers {window.span}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A window with the queries that it is for.

    `value_where_chosen` is the mean that it was chosen for (None where nothing was measured), `chosen_on` says on what.
    """

    window: LayerWindow
    qids: tuple[str, ...]
    value_where_chosen: float | None
    chosen_on: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What a rule chose for one collection and model.

    Attributes:
        rule: the name that the study gives the rule, as in the window `selected-<rule>`.
        family: the kind of rule, such as `best`; `settings` are the rule's own.
        chosen_by: `none`, `cross-validation`, `other-collections` or `test queries`.
        upper_bound: whether the test queries' own judgements were used.
        measure, strategy, layers: of the sweep that it was chosen by.
        folds, seed: of the cross-validation, None where there is none.
        collection, model: whose queries are judged, and whose signal was swept.
        collections: those that the window was chosen on.
        windows: the windows in use, each query in one of them; `default` is for all queries that none names.
        selected: mean of the measure over the queries, each under its window; `oracle` is that of the best single
            window on them, `oracle_window`.

    Raises `UserError` for a window beyond the layers.
    """

    rule: str
    family: str
    settings: Mapping[str, Any]
    chosen_by: str
    upper_bound: bool
    measure: str
    strategy: str
    layers: int
    folds: int | None
    seed: int | None
    collection: str
    model: str
    collections: tuple[str, ...]
    windows: tuple[Chosen, ...]
    default: LayerWindow
    selected: float
    oracle: float
    oracle_window: LayerWindow

    def __post_init__(self) -> None:
        for window in (*(chosen.window for chosen in self.windows), self.default, self.oracle_window):
            if window.end >= self.layers:
                raise UserError(f"window {window}: the model has layers 0 to {self.layers - 1}")

    @property
    def label(self) -> str:
        """The rule's name for readers; an upper bound is marked as one."""
        return f"{self.rule} (upper bound)" if self.upper_bound else self.rule

    @property
    def regret(self) -> float:
        """What the choice lost against the oracle; negative where folds chose better than any single window."""
        return self.oracle - self.selected

    @property
    def spans(self) -> list[LayerWindow]:
        """The distinct windows in use, by layer; the default where no query has a window of its own."""
        return sorted({chosen.window for chosen in self.windows}) or [self.default]

    def of(self, qids: Iterable[str]) -> dict[str, LayerWindow]:
        """The window of each query: {qid: window}."""
        own = {qid: chosen.window for chosen in self.windows for qid in chosen.qids}
        return {qid: own.get(qid, self.default) for qid in qids}


def windows_for(spec: str, qids: Iterable[str], layers: int, selection: Path | None = None) -> dict[str, LayerWindow]:
    """The window of each query, {qid: window}, that `spec` names for a model of `layers` layers.

    `all`, `L10-13`, or `selected-<rule>` with the rule's file from select-window: a query's window is the one of the
    entry that names it, and the file's default where none does. Of `heads-<rule>`, with the file of choose-heads, it is
    the span of layers from the first to the deepest of the query's heads.
    Raises `UserError` for a malformed or too high window, and for a file that is absent, malformed, of another rule,
    or of a model with another number of layers.
    """
    if (chosen := heads_for(spec, qids, layers, None, selection)) is not None:
        return {qid: span_of(heads) for qid, heads in chosen.items()}
    rule = rule_of(spec)
    if rule is None:
        return dict.fromkeys(qids, LayerWindow.parse(spec, layers))
    if selection is None:
        raise UserError(f"window {spec!r}: needs the file of its selection (--selection)")
    found = read_selection(selection)
    if found.rule != rule:
        raise UserError(f"{selection}: holds the windows of rule {found.rule!r}, window {spec!r} was asked for")
    if found.layers != layers:
        raise UserError(f"{selection}: chosen for {found.layers} layers, the model has {layers}")
    return found.of(qids)


def heads_for(
    spec: str, qids: Iterable[str], layers: int, heads: int | None, selection: Path | None = None
) -> dict[str, tuple[Head, ...]] | None:
    """The heads of each query, {qid: heads}, where `spec` is `heads-<rule>`; None where it is a window.

    `layers` and `heads` (None: any) are those of the model, `selection` the file of choose-heads. Raises `UserError` as
    `windows_for` does.
    """
    rule = head_rule_of(spec)
    if rule is None:
        return None
    if selection is None:
        raise UserError(f"{spec}: needs the file of chosen heads (--selection)")
    found: HeadSelection = read_head_selection(selection)
    if found.rule != rule:
        raise UserError(f"{selection}: holds the heads of rule {found.rule!r}, {spec!r} was asked for")
    if found.layers != layers or heads not in (None, found.heads):
        has = f"{layers} layers" if heads is None else f"{layers} layers of {heads} heads"
        raise UserError(f"{selection}: chosen for {found.layers} layers of {found.heads} heads, the model has {has}")
    return found.of(qids)


def span_of(heads: Iterable[Head]) -> LayerWindow:
    """The layers from the first to the deepest of these heads."""
    layers = [layer for layer, _ in heads]
    return LayerWindow(min(layers), max(layers))


def write_selection(path: Path, selection: Selection) -> None:
    """Write a selection as JSON, atomically."""
    document = {name: getattr(selection, name) for name in _PLAIN}
    document |= {
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in selection.settings.items()},
        "collections": list(selection.collections),
        "windows": [
            {
                "window": _ends(chosen.window),
                "qids": list(chosen.qids),
                "value_where_chosen": chosen.value_where_chosen,
                "chosen_on": chosen.chosen_on,
            }
            for chosen in selection.windows
        ],
        "default": _ends(selection.default),
        "regret": {
            "selected": selection.selected,
            "oracle": selection.oracle,
            "oracle_window": _ends(selection.oracle_window),
            "regret": selection.regret,
        },
    }
    files.write_json(path, document)


def read_selection(path: Path) -> Selection:
    """Read what `write_selection` wrote. Raises `UserError` for a file that is absent or malformed."""
    document = files.read_json(path)
    try:
        regret = document["regret"]
        return Selection(
            **{name: document[name] for name in _PLAIN},
            settings=dict(document["settings"]),
            collections=tuple(document["collections"]),
            windows=tuple(
                Chosen(_window(entry["window"]), tuple(entry["qids"]), entry["value_where_chosen"], entry["chosen_on"])
                for entry in document["windows"]
            ),
            default=_window(document["default"]),
            selected=float(regret["selected"]),
            oracle=float(regret["oracle"]),
            oracle_window=_window(regret["oracle_window"]),
        )
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{path}: not a selection file ({type(error).__name__}: {error})") from None


_PLAIN = (
    *("rule", "family", "chosen_by", "upper_bound", "measure", "strategy"),
    *("layers", "folds", "seed", "collection", "model"),
)
"""Fields that the file holds as they are."""


def _window(ends: Any) -> LayerWindow:
    start, end = ends
    return LayerWindow(int(start), int(end))


def _ends(window: LayerWindow) -> list[int]:
    return [window.start, window.end]
