"""Draw how alike neighbouring layers rank: Kendall's tau by layer."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", type=Path, required=True, metavar="FILE", help="TSV of layer, mean, low, high, queries"
    )
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.figures.neighbours import COLUMNS, draw_neighbours
    from layerrank.report.figures.style import save

    table = frames.read_frame(options.table, COLUMNS)
    save(draw_neighbours(table, title=options.title, subtitle=options.subtitle), *outputs(options))
