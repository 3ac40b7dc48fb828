"""Layer windows: the measure of every layer and of every window, and the choice of one without peeking."""

from layerrank.core.windows import windows_for

__all__ = ["windows_for"]
