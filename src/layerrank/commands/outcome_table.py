"""Table of what became of every written answer: well-formed, repaired or unparseable."""

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
    from layerrank.report.tables.costs import outcome_table

    summaries = frames.read_frames(options.costs, frames.SUMMARY, (*frames.CELL, "system"))
    render.write(outcome_table(summaries), options.outputs)
