"""Sum up the per-query costs of every system of one collection, model and variant."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import add_cell, named_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    parser.add_argument("--costs", type=named_file, nargs="*", default=[], metavar="SYSTEM=FILE", help="costs of runs")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV, a row a system")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files, frames
    from layerrank.evaluation import costs

    found = {system: files.read_costs(path) for system, path in options.costs}
    frames.write_frame(options.output, costs.summarise(found, options.collection, options.model, options.variant))
