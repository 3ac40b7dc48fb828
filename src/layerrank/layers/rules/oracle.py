"""`oracle`: the best window on the test queries themselves, an upper bound and no result."""

from __future__ import annotations

from layerrank.core.windows import ORACLE, LayerWindow
from layerrank.layers.rules.kind import BOUNDS, Kind, Seen, first_of_best, within
from layerrank.layers.rules.settings import OVER_ORDERS, Settings


def pick(seen: Seen, settings: Settings) -> LayerWindow:
    """The window of the highest mean."""
    return seen.windows[first_of_best(seen.means(), seen.windows, within(settings, seen.windows))]


KIND = Kind(ORACLE, "test judgements", pick, {**BOUNDS, **OVER_ORDERS})
