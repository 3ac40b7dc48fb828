"""Table of position bias and length bias: rank correlations of scores with place and with length."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--correlations", type=Path, nargs="+", required=True, metavar="FILE", help="from `diagnose`")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.diagnostics import diagnostics_table

    correlations = frames.read_frames(options.correlations, frames.CORRELATION)
    render.write(diagnostics_table(correlations), options.outputs)
