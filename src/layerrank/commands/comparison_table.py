"""Table of paired comparisons with a baseline: differences, intervals, effect sizes, wins and losses, p-values."""

from __future__ import annotations

import argparse

from layerrank.commands._tables import add_results, add_tables, results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="measures to show")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.report.tables import effectiveness, render

    found = results(options, options.measures)
    render.write(effectiveness.comparison_table(found, options.measures, options.variant), options.outputs)
