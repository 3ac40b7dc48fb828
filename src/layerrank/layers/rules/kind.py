"""What a selection rule is: what it may see, the settings that it takes, and how it picks a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow
from layerrank.layers.rules.settings import CHOSEN_ON, Schema, Sees, Settings

TIE = 1e-7
"""Means closer than this are ties: sweeps store float32."""

Means = NDArray[np.float64]

LAST_LAYER: Mapping[str, Schema] = {
    "last_layer": {"description": "The last layer that a window may end at.", "type": "integer", "minimum": 0}
}
BOUNDS: Mapping[str, Schema] = {
    "max_width": {"description": "The widest window allowed, in layers.", "type": "integer", "minimum": 1},
    **LAST_LAYER,
}


@dataclass(frozen=True, eq=False)
class Seen:
    """What a rule is shown of a model of `layers` layers.

    Attributes:
        windows: the W windows, start ascending, then end ascending.
        layers: L.
        values: the measure of every window, float32[Q, W] for each collection; none where no judgement is seen.
        criterion: what signals say of every window without a judgement, float64[W], higher is better; or None.
    """

    windows: Sequence[LayerWindow]
    layers: int
    values: Sequence[NDArray[np.float32]] = ()
    criterion: Means | None = None

    def means(self) -> Means:
        """float64[W]: the mean over collections of their means over queries."""
        return np.asarray(np.mean([values.mean(axis=0, dtype=np.float64) for values in self.values], axis=0))


@dataclass(frozen=True)
class Kind:
    """One rule.

    Attributes:
        name: as a study writes it.
        sees: what it chooses by.
        pick: the window, from what is seen and the settings with their defaults.
        own: JSON schema of each setting, with its default where it has one; `settings` are all of them.
        required: settings that a study must give.
    """

    name: str
    sees: Sees
    pick: Callable[[Seen, Settings], LayerWindow]
    own: Mapping[str, Schema]
    required: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Schema]:
        """JSON schema of each setting."""
        return {**self.own, **(CHOSEN_ON if self.sees == "judgements" else {})}


def first_of_best(means: Means, windows: Sequence[LayerWindow], allowed: NDArray[np.bool_]) -> int:
    """Position of the highest mean among the allowed; of ties the smallest end, then the narrowest window."""
    if not allowed.any():
        raise UserError("selection: max_width and last_layer allow no window")
    top = means[allowed].max()
    tied = np.flatnonzero(allowed & (means >= top - TIE)).tolist()
    return int(min(tied, key=lambda i: (windows[i].end, windows[i].width)))


def within(settings: Settings, windows: Sequence[LayerWindow]) -> NDArray[np.bool_]:
    """bool[W]: windows no wider than `max_width` that end at `last_layer` or before."""
    widest, last = settings.get("max_width"), settings.get("last_layer")
    return np.array(
        [(widest is None or window.width <= widest) and (last is None or window.end <= last) for window in windows]
    )
