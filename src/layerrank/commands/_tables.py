"""Arguments of the subcommands that write tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerrank.report.tables.effectiveness import Results


def add_tables(parser: argparse.ArgumentParser) -> None:
    """Add --outputs: one table in the formats that the suffixes name."""
    parser.add_argument(
        "--outputs", type=Path, nargs="+", required=True, metavar="FILE", help="the table as .tsv, .html, .tex or .md"
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add what a table of means needs: means, comparisons, and what marks significance."""
    parser.add_argument("--means", type=Path, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--comparisons", type=Path, required=True, metavar="FILE", help="TSV of `compare`")
    parser.add_argument("--variant", default="base", metavar="NAME", help="variant of the study (default: %(default)s)")
    parser.add_argument("--baseline", default="bm25", metavar="SYSTEM", help="system that marks refer to")
    parser.add_argument(
        "--test", choices=["randomisation", "t-test"], default="randomisation", help="test of the marks"
    )
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="level of the marks, after correction")


def results(options: argparse.Namespace, measures: Sequence[str]) -> Results:
    """What the arguments of `add_results` name."""
    from layerrank.report.tables.effectiveness import Marks, Results

    marks = Marks(options.baseline, options.test, options.alpha)
    return Results.read(options.means, options.comparisons, measures, options.variant, marks)
