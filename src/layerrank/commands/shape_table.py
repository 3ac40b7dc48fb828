"""Table of the shapes of layer profiles: bell, flat or monotone, with centre, width and how well each curve fits."""

from __future__ import annotations

import argparse

from layerrank.commands._arguments import named_file, split_cell
from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shapes",
        type=named_file,
        nargs="+",
        required=True,
        metavar="COLLECTION/MODEL=FILE",
        help="files of layer-shape",
    )
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.layers import shape_table

    shapes = [(split_cell(name), frames.read_frame(path, ("measure", "verdict"))) for name, path in options.shapes]
    render.write(shape_table(shapes), options.outputs)
