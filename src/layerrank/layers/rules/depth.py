"""`depth`: a share of the layers around a relative depth, the same for models of any number of layers.

What the literature advises without looking at judgements or signals, "the middle layers" (arXiv 2602.22591 reads layers
10–13 of 28: a share of .14 around .43): the choice that costs nothing, for the others to beat.
"""

from __future__ import annotations

import math

from layerrank.core.windows import LayerWindow
from layerrank.layers.rules.kind import Kind, Seen
from layerrank.layers.rules.settings import Settings


def pick(seen: Seen, settings: Settings) -> LayerWindow:
    """`share` of the layers, at least one, centred on layer `centre` · (layers - 1) and kept inside the model."""
    width = max(1, math.floor(settings["share"] * seen.layers + 0.5))
    start = math.floor(settings["centre"] * (seen.layers - 1) - (width - 1) / 2 + 0.5)
    start = min(max(0, start), seen.layers - width)
    return LayerWindow(start, start + width - 1)


KIND = Kind(
    "depth",
    "nothing",
    pick,
    {
        "centre": {
            "description": "Middle of the window, from 0 (the first layer) to 1 (the last).",
            "type": "number",
            "minimum": 0,
            "maximum": 1,
        },
        "share": {"description": "Share of the layers.", "type": "number", "exclusiveMinimum": 0, "maximum": 1},
    },
    required=("centre", "share"),
)
