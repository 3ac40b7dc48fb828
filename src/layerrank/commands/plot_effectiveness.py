"""Draw every system's mean and interval by collection, against a baseline."""

from __future__ import annotations

import argparse

from layerrank.commands._figure import add_figure_arguments, add_means_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_means_arguments(parser)
    parser.add_argument("--baseline", default="bm25", help="system at the vertical line (%(default)s)")
    parser.add_argument("--confidence", type=float, default=95.0, help="per cent of the intervals (%(default)s)")
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.report.figures import inputs
    from layerrank.report.figures.effectiveness import draw_effectiveness
    from layerrank.report.figures.style import save

    means = inputs.read_means(options.means, options.measure, options.collections, options.models, options.variant)
    figure = draw_effectiveness(
        means,
        baseline=options.baseline,
        title=options.title,
        subtitle=options.subtitle,
        confidence=options.confidence,
    )
    save(figure, *outputs(options))
