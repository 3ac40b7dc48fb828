"""Draw where the time of a query goes: medians of the stages, stacked by system."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table", type=Path, required=True, metavar="FILE", help="TSV of system, stage, median, low, high"
    )
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.figures.latency import COLUMNS, draw_latency
    from layerrank.report.figures.style import save

    table = frames.read_frame(options.table, COLUMNS)
    save(draw_latency(table, title=options.title, subtitle=options.subtitle), *outputs(options))
