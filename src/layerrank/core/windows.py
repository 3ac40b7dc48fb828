"""From a window's name, as paths carry it, to the window of each query."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import LayerWindow

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
