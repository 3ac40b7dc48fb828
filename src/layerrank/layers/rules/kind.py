"""What a selection rule is: what it may see, the settings that it takes, and how it picks a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from layerrank.core.errors import UserError
from layerrank.core.windows import LayerWindow

TIE = 1e-7
"""Means closer than this are ties: sweeps store float32."""

FOLDS = 5
"""Folds of a cross-validation, unless a rule says otherwise."""

Means = NDArray[np.float64]
Settings = Mapping[str, Any]
Schema = Mapping[str, Any]
Sees = Literal["nothing", "signals", "judgements", "test judgements"]

LAST_LAYER: Mapping[str, Schema] = {
    "last_layer": {"description": "The last layer that a window may end at.", "type": "integer", "minimum": 0}
}
BOUNDS: Mapping[str, Schema] = {
    "max_width": {"description": "The widest window allowed, in layers.", "type": "integer", "minimum": 1},
    **LAST_LAYER,
}
OVER_ORDERS: Mapping[str, Schema] = {
    "orders": {
        "description": "`all`: by the mean of the measure over the study's `orders`, on the queries that run in all of "
        "them; without it by the base's order alone.",
        "enum": ["all"],
    }
}
CHOSEN_ON: Mapping[str, Schema] = {
    "chosen_on": {
        "description": "Where the window is chosen: `folds` (cross-validation over queries), `others` (the study's "
        "other collections), or a list of collections.",
        "oneOf": [{"enum": ["folds", "others"]}, {"type": "array", "minItems": 1, "items": {"type": "string"}}],
        "default": "folds",
    },
    "folds": {
        "description": "Folds of the cross-validation, at most one a query; 5 where absent, or one a query where there "
        "are fewer.",
        "type": "integer",
        "minimum": 2,
    },
    "seed": {"description": "Seed of the folds.", "type": "integer", "default": 42},
    **OVER_ORDERS,
}
"""What every rule that sees judgements takes: it chooses without those that it is judged on."""


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
        sees: what it chooses by; of `judgements` never those of a query that it chooses for, of `test judgements`
            those very ones, which makes it an upper bound.
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


def folds_for(settings: Settings, queries: int) -> int:
    """Folds of so many queries: those of the settings, else `FOLDS` or as many as there are queries."""
    return int(settings.get("folds", min(FOLDS, queries)))


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
