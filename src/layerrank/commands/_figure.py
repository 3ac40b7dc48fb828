"""What every plot command takes."""

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


def outputs(options: argparse.Namespace) -> list[Path]:
    """The files to write."""
    return [options.output] if options.pdf is None else [options.output, options.pdf]
