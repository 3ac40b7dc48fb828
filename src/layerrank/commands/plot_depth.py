"""Draw layer profiles of several models and collections on relative depth, a panel a collection."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profiles", type=Path, nargs="+", required=True, metavar="FILE", help="TSVs of layer-profile")
    parser.add_argument("--collections", nargs="+", required=True, metavar="NAME", help="collection of each profile")
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME", help="model of each profile")
    parser.add_argument("--measure", help="measure to draw (the first profile's first)")
    parser.add_argument("--means", type=Path, metavar="FILE", help="TSV of aggregate: draws BM25's level")
    parser.add_argument("--variant", default="base", help="variant of the level (%(default)s)")
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.report.figures import inputs
    from layerrank.report.figures.depth import draw_depth
    from layerrank.report.figures.style import save

    profiles = inputs.read_profiles(options.profiles, options.collections, options.models, options.measure)
    measure = str(profiles[0].rows["measure"].iloc[0])
    levels = inputs.read_first_stage(options.means, measure, options.variant) if options.means else {}
    figure = draw_depth(profiles, levels, title=options.title, subtitle=options.subtitle)
    save(figure, *outputs(options))
