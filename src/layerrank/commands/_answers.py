"""Arguments of the subcommands that answer a question from per-query values."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layerrank.commands._arguments import add_resampling

if TYPE_CHECKING:
    from layerrank.report.answers import Tests


def add_values(parser: argparse.ArgumentParser) -> None:
    """Add what an answer is made from, and how differences are tested."""
    parser.add_argument(
        "--evaluations", type=Path, nargs="+", required=True, metavar="FILE", help="files of `evaluate`"
    )
    parser.add_argument(
        "--costs", type=Path, nargs="+", required=True, metavar="FILE", help="files of `summarise-costs`"
    )
    parser.add_argument("--measure", required=True, help="the measure to compare by")
    parser.add_argument(
        "--test", choices=["randomisation", "t-test"], default="randomisation", help="test of the marks"
    )
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="level of the marks, after correction")
    add_resampling(parser)
    parser.add_argument("--figure", type=Path, required=True, metavar="FILE", help="SVG to show")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="HTML page to write")


def tests(options: argparse.Namespace) -> Tests:
    """What the arguments say of tests."""
    from layerrank.report.answers import Tests
    from layerrank.report.tables.effectiveness import Marks

    return Tests(Marks("", options.test, options.alpha), options.seed, options.resamples)
