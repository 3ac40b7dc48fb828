"""Means over queries, with bootstrap intervals, of all evaluations of a study."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import add_resampling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--evaluations", type=Path, nargs="+", required=True, metavar="FILE", help="files of `evaluate`"
    )
    add_resampling(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV of means")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.evaluation import values

    means = values.aggregate(frames.read_values(options.evaluations), options.seed, options.resamples)
    frames.write_frame(options.output, means)
