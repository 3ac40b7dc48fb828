"""Draw quality against cost, with the systems that none beats in both."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, add_means_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_means_arguments(parser)
    parser.add_argument(
        "--costs",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="mean costs of systems (TSV), or .costs.jsonl of one collection, model and variant",
    )
    parser.add_argument(
        "--cost", default="seconds", help="seconds, prompt_tokens, generated_tokens, forward_passes … (%(default)s)"
    )
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.report.figures import inputs
    from layerrank.report.figures.pareto import draw_pareto
    from layerrank.report.figures.style import save

    means = inputs.read_means(options.means, options.measure, options.collections, options.models, options.variant)
    table = inputs.join_costs(means, options.costs, options.cost)
    save(draw_pareto(table, options.cost, title=options.title, subtitle=options.subtitle), *outputs(options))
