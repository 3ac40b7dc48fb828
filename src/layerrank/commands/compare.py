"""Test every system against baselines: paired tests with Holm's correction, intervals, effect sizes, wins."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import add_resampling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--evaluations", type=Path, nargs="+", required=True, metavar="FILE", help="files of `evaluate`"
    )
    parser.add_argument("--baselines", nargs="+", required=True, metavar="SYSTEM", help="systems to test against")
    add_resampling(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV of comparisons")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.evaluation import compare

    values = frames.read_values(options.evaluations)
    comparisons = compare.compare(values, options.baselines, options.seed, options.resamples)
    frames.write_frame(options.output, comparisons, digits=8)
