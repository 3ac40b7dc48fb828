"""`fixed`: the window that the study gives."""

from __future__ import annotations

from layerrank.core.windows import LayerWindow
from layerrank.layers.rules.kind import Kind, Seen
from layerrank.layers.rules.settings import Settings


def pick(seen: Seen, settings: Settings) -> LayerWindow:
    """The window given. Raises `UserError` where it is malformed, or beyond the model's layers."""
    return LayerWindow.parse(settings["window"], seen.layers)


KIND = Kind(
    "fixed",
    "nothing",
    pick,
    {"window": {"description": "START-END, 0-based layers, both ends inclusive, such as 10-13.", "type": "string"}},
    required=("window",),
)
