"""Draw every system's mean and interval by collection, against a baseline."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=Path, required=True, help="TSV of aggregate")
    parser.add_argument("--measure", help="measure to draw (the table's first)")
    parser.add_argument("--collections", nargs="*", default=[], help="only these, in this order")
    parser.add_argument("--models", nargs="*", default=[], help="only these, in this order")
    parser.add_argument("--variant", help="only this one")
    parser.add_argument("--baseline", default="bm25", help="system at the vertical line (%(default)s)")
    parser.add_argument("--confidence", type=float, default=95.0, help="per cent of the intervals (%(default)s)")
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank import frames
    from layerrank.plots import inputs
    from layerrank.plots.effectiveness import draw_effectiveness
    from layerrank.plots.style import save

    table = inputs.only_measure(frames.read_frame(options.table, frames.MEANS), options.measure, options.table)
    for column, wanted in (
        ("collection", options.collections),
        ("model", options.models),
        ("variant", [options.variant] if options.variant else []),
    ):
        table = inputs.only_values(table, column, wanted, options.table)
    figure = draw_effectiveness(
        table,
        baseline=options.baseline,
        title=options.title,
        subtitle=options.subtitle,
        confidence=options.confidence,
    )
    save(figure, *outputs(options))
