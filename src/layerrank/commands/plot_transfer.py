"""Draw what windows lose that were chosen elsewhere: the matrix of regret against the oracle."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="TSV of source, target, regret")
    parser.add_argument("--measure", default="", help="measure of the regret, for the colour bar")
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.figures.style import save
    from layerrank.report.figures.transfer import COLUMNS, draw_transfer

    table = frames.read_frame(options.table, COLUMNS)
    figure = draw_transfer(table, measure=options.measure, title=options.title, subtitle=options.subtitle)
    save(figure, *outputs(options))
