"""Versions: this package's own, and those of what its numbers depend on."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

LAYERRANK = (Path(__file__).parents[1] / "VERSION").read_text(encoding="ascii").strip()
"""Version of this package. It is no code: a new one changes no digest of code, and runs nothing again."""


def of_numbers() -> dict[str, str]:
    """Versions that what a model computes depends on: Python, layerrank, torch, transformers, tokenizers."""
    return {"python": platform.python_version(), "layerrank": LAYERRANK, **_of_libraries()}


@functools.cache
def _of_libraries() -> dict[str, str]:
    """A job asks for them at each trial of its model, and finding one takes milliseconds."""
    from importlib import metadata  # slow, and `layerrank --help` needs none of it

    return {name: metadata.version(name) for name in ("torch", "transformers", "tokenizers")}


def shown() -> str:
    """The versions of `of_numbers` for a log line."""
    return ", ".join(f"{name} {number}" for name, number in of_numbers().items())
