"""From a window's name, as paths carry it, to the window of each query."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.core import files
from layerrank.core.errors import UserError

SELECTED = "selected-"


def windows_for(spec: str, qids: Iterable[str], layers: int, selection: Path | None = None) -> dict[str, LayerWindow]:
    """The window of each query, {qid: window}, that `spec` names for a model of `layers` layers.

    `all`, `L10-13`, or `selected-<rule>` with the rule's file from select-window: a query's window is the one of the
    entry that names it, and the file's default where none does.
    Raises `UserError` for a malformed or too high window, and for a file that is absent, malformed, of another rule,
    or of a model with another number of layers.
    """
    if not spec.startswith(SELECTED):
        window = LayerWindow.parse(spec, layers)
        return dict.fromkeys(qids, window)
    if selection is None:
        raise UserError(f"window {spec!r}: needs the file of its selection (--selection)")
    document = files.read_json(selection)
    try:
        rule, of_layers = document["rule"], document["layers"]
        default = _window(document["default"], layers)
        own = {qid: _window(entry["window"], layers) for entry in document["windows"] for qid in entry["qids"]}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{selection}: not a selection file ({type(error).__name__}: {error})") from None
    if spec != f"{SELECTED}{rule}":
        raise UserError(f"{selection}: holds the windows of rule {rule!r}, window {spec!r} was asked for")
    if of_layers != layers:
        raise UserError(f"{selection}: chosen for {of_layers} layers, the model has {layers}")
    return {qid: own.get(qid, default) for qid in qids}


def _window(value: Any, layers: int) -> LayerWindow:
    start, end = value
    return LayerWindow.parse(f"{int(start)}-{int(end)}", layers)


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
        if text == "all":
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

    def __str__(self) -> str:
        return f"L{self.start}-{self.end}"


ORACLE = "selected-oracle"


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


@dataclass(frozen=True, slots=True)
class Selection:
    """A rule's windows: `windows` as (start, end, number of queries judged by it), and the window for all others."""

    name: str
    family: str
    upper_bound: bool
    windows: tuple[tuple[int, int, int], ...]
    default: tuple[int, int]

    @property
    def label(self) -> str:
        """The rule's name for readers; an upper bound is marked as one."""
        return f"{self.name} (upper bound)" if self.upper_bound else self.name

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The distinct windows in use, by layer; the default where no query has a window of its own."""
        return sorted({(start, end) for start, end, _ in self.windows}) or [self.default]


def read_selection(path: Path) -> Selection:
    """Read a file of `select-window`; its `rule` is the name that the study gives it, as in `selected-<name>`."""
    document = files.read_json(path)
    try:
        start, end = document["default"]
        return Selection(
            str(document["rule"]),
            str(document["family"]),
            bool(document["upper_bound"]),
            tuple((int(e["window"][0]), int(e["window"][1]), len(e["qids"])) for e in document["windows"]),
            (int(start), int(end)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a selection file ({type(error).__name__}: {error})") from None
