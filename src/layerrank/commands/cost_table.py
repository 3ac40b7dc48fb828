"""Table of what every system costs: groups, passes, tokens, seconds, answers by outcome."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--costs", type=Path, nargs="+", required=True, metavar="FILE", help="files of summarise-costs")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.costs import cost_table

    summaries = frames.read_frames(options.costs, frames.SUMMARY, (*frames.CELL, "system"))
    render.write(cost_table(summaries), options.outputs)
