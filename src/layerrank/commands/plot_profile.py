"""Draw the measure by layer, with its interval, the levels to beat and the selected windows."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs
from layerrank.core import windows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", type=Path, required=True, help="TSV of layer-profile")
    parser.add_argument("--measure", help="measure to draw, such as nDCG@10 (the profile's first)")
    parser.add_argument("--evaluation", type=Path, help="TSV of evaluate, for the levels")
    parser.add_argument("--first-stage", help="system whose mean is a level, such as bm25")
    parser.add_argument("--all-layers", help="system whose mean is a level, such as listwise-attention-all")
    parser.add_argument("--ceiling", help="system whose mean is the ideal re-ranking's level")
    parser.add_argument(
        "--selections", type=Path, nargs="*", default=[], help="JSON of select-window, the headline first"
    )
    parser.add_argument("--shape", type=Path, metavar="FILE", help="TSV of layer-shape: draws the bell where it is one")
    parser.add_argument(
        "--confidence", type=float, default=95.0, help="per cent of the profile's interval (%(default)s)"
    )
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.figures import inputs
    from layerrank.report.figures.profile import draw_profile
    from layerrank.report.figures.style import save

    profile = inputs.only_measure(frames.read_frame(options.profile, frames.PROFILE), options.measure, options.profile)
    measure = str(profile["measure"].iloc[0])
    systems = {"first stage": options.first_stage, "all layers": options.all_layers, "ceiling": options.ceiling}
    levels = inputs.read_levels(options.evaluation, systems, measure)
    figure = draw_profile(
        profile,
        levels,
        [windows.read_selection(path) for path in options.selections],
        inputs.read_shape(options.shape, measure) if options.shape else None,
        title=options.title,
        subtitle=options.subtitle,
        confidence=options.confidence,
    )
    save(figure, *outputs(options))
