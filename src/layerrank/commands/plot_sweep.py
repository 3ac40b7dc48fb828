"""Draw the measure of every window as a heat map, first layer against last."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sweep", type=Path, required=True, help="TSV of sweep-windows")
    parser.add_argument("--measure", help="measure to draw (the sweep's first)")
    parser.add_argument("--evaluation", type=Path, help="TSV of evaluate, for the levels")
    parser.add_argument("--first-stage", help="system whose mean is marked on the colour bar, such as bm25")
    parser.add_argument("--ceiling", help="system whose mean is the ideal re-ranking's level")
    parser.add_argument("--selections", type=Path, nargs="*", default=[], help="JSON of select-window, to mark")
    parser.add_argument(
        "--windows", nargs="*", default=[], metavar="WINDOW", help="fixed windows to mark, such as L10-13"
    )
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.core.windows import LayerWindow, read_selection
    from layerrank.report.figures import inputs
    from layerrank.report.figures.style import save
    from layerrank.report.figures.sweep import draw_sweep

    sweep = inputs.only_measure(frames.read_frame(options.sweep, frames.SWEEP), options.measure, options.sweep)
    layers = int(sweep["end"].max()) + 1
    windows = [LayerWindow.parse(window, layers) for window in options.windows]
    systems = {"first stage": options.first_stage, "ceiling": options.ceiling}
    figure = draw_sweep(
        sweep,
        inputs.read_levels(options.evaluation, systems, str(sweep["measure"].iloc[0])),
        [read_selection(path) for path in options.selections],
        windows,
        title=options.title,
        subtitle=options.subtitle,
    )
    save(figure, *outputs(options))
