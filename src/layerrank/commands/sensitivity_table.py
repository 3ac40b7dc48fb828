"""Table of what variants of a study change: rows variants, columns systems."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--differences", type=Path, required=True, metavar="FILE", help="TSV of `sensitivity`")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    parser.add_argument("--variants", type=json.loads, required=True, metavar="JSON", help="settings by variant")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.sensitivity import sensitivity_table

    differences = frames.read_frame(options.differences, frames.SENSITIVITY)
    render.write(sensitivity_table(differences, options.measure, options.variants), options.outputs)
