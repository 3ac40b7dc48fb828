"""docs/performance.md and its figure, from the results file."""

from pathlib import Path


def render(results: Path) -> None:
    """Write both beside the results."""
