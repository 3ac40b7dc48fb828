"""`peak`: the best single layer, and `width` layers on either side, cut at the ends of the model."""

from __future__ import annotations

import numpy as np

from layerrank.core.windows import LayerWindow
from layerrank.layers.rules.kind import LAST_LAYER, Kind, Seen, first_of_best, within
from layerrank.layers.rules.settings import Settings


def pick(seen: Seen, settings: Settings) -> LayerWindow:
    """The window around the layer of the highest mean."""
    single = np.array([window.width == 1 for window in seen.windows])
    best = first_of_best(seen.means(), seen.windows, within(settings, seen.windows) & single)
    peak, width = seen.windows[best].start, settings["width"]
    last = min(settings.get("last_layer", seen.layers - 1), seen.layers - 1)
    return LayerWindow(max(0, peak - width), min(last, peak + width))


KIND = Kind(
    "peak",
    "judgements",
    pick,
    {
        "width": {
            "description": "Layers on either side of the best one.",
            "type": "integer",
            "minimum": 0,
            "default": 0,
        },
        **LAST_LAYER,
    },
)
