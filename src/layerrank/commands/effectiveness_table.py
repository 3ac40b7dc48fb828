"""Table of systems by collections: means, differences from the baseline, or means where something was retrieved."""

from __future__ import annotations

import argparse

from layerrank.commands._tables import add_results, add_tables, results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_results(parser)
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="measures to show")
    parser.add_argument(
        "--values",
        choices=["means", "differences", "with-relevant-candidate"],
        default="means",
        help="what the cells hold (default: %(default)s)",
    )
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.report.tables import effectiveness, render

    found = results(options, options.measures)
    render.write(
        effectiveness.effectiveness_table(found, options.measures, options.variant, options.values), options.outputs
    )
