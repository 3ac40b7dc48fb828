"""Draw whether scores follow the place in the prompt or the length of the passage."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._figure import add_figure_arguments, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--position", type=Path, metavar="FILE", help="TSV of system, position, mean, low, high")
    parser.add_argument("--length", type=Path, metavar="FILE", help="TSV of system, tokens, mean, low, high")
    parser.add_argument("--systems", nargs="*", default=[], metavar="NAME", help="only these, in this order")
    add_figure_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.figures import inputs
    from layerrank.report.figures.diagnostics import LENGTH, POSITION, draw_diagnostics
    from layerrank.report.figures.style import save

    tables = [
        inputs.only_values(frames.read_frame(path, columns), "system", options.systems, path) if path else None
        for path, columns in ((options.position, POSITION), (options.length, LENGTH))
    ]
    save(draw_diagnostics(*tables, title=options.title, subtitle=options.subtitle), *outputs(options))
