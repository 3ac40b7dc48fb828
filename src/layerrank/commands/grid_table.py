"""Table of frameworks by mechanisms, attention with a row for each window."""

from __future__ import annotations

import argparse

from layerrank.commands._tables import add_results, add_tables, results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.report.tables import effectiveness, render

    found = results(options, [options.measure])
    render.write(effectiveness.grid_table(found, options.measure, options.variant), options.outputs)
