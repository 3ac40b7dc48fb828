"""What plot commands take."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_figure_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the output files, title and subtitle of a figure."""
    parser.add_argument(
        "--output", type=Path, required=True, metavar="SVG", help="figure to write (.svg, .pdf or .png)"
    )
    parser.add_argument("--pdf", type=Path, metavar="PDF", help="the same figure as PDF")
    parser.add_argument("--title", default="", help="first line of the figure")
    parser.add_argument("--subtitle", default="", help="grey line below it, instead of the figure's own")


def add_means_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the table of means and what to draw of it."""
    parser.add_argument("--means", type=Path, required=True, metavar="FILE", help="TSV of aggregate")
    parser.add_argument("--measure", help="measure to draw (the table's first)")
    parser.add_argument("--collections", nargs="*", default=[], metavar="NAME", help="only these, in this order")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME", help="only these, in this order")
    parser.add_argument("--variant", metavar="NAME", help="only this one")


def outputs(options: argparse.Namespace) -> list[Path]:
    """The files to write."""
    return [options.output] if options.pdf is None else [options.output, options.pdf]
