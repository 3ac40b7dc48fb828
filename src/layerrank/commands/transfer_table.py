"""Table of what windows lose that were chosen elsewhere: the matrix of regret against the oracle."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="TSV of `transfer`")
    parser.add_argument("--title", default="", help="what the matrix is of, such as a model: joins the title")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.core.frames import TRANSFER
    from layerrank.report.tables import render
    from layerrank.report.tables.layers import transfer_table

    render.write(transfer_table(frames.read_frame(options.table, TRANSFER), options.title), options.outputs)
