"""A question of a study with its answer in words, numbers and one figure: a page that fits a screen.

Words follow from the numbers: what a corrected test does not show is said not to be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from layerrank.core import files
from layerrank.report.tables.describe import Table
from layerrank.report.tables.render import answer_page


@dataclass(frozen=True)
class Answer:
    """A question, what the study says about it, and the numbers behind."""

    question: str
    statements: tuple[str, ...]
    table: Table


def write(path: Path, answer: Answer, figure: Path, links: Sequence[tuple[str, str, str]] = ()) -> None:
    """Write a page with the SVG `figure` inside: it opens offline.

    `links` are pages where single queries are seen: (label, address from here, that inside a zipped report).
    """
    files.write_text(path, answer_page(answer, figure.read_text(encoding="utf-8"), links))
