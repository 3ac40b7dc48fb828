"""Table of the windows chosen: by which rule, on what, and what the choice lost against the oracle."""

from __future__ import annotations

import argparse

from layerrank.commands._arguments import named_file, split_cell
from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--selections",
        type=named_file,
        nargs="+",
        required=True,
        metavar="COLLECTION/MODEL=FILE",
        help="files of select-window",
    )
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core.windows import read_selection
    from layerrank.report.tables import render
    from layerrank.report.tables.layers import selection_table

    selections = [(split_cell(name), read_selection(path)) for name, path in options.selections]
    render.write(selection_table(selections), options.outputs)
