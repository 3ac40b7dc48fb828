"""Answer where in the layers relevance emerges: one page from shapes, profiles, means and a figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import named_file, split_cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, stage in (("--shapes", "layer-shape"), ("--profiles", "layer-profile")):
        parser.add_argument(
            name, type=named_file, nargs="+", required=True, metavar="COLLECTION/MODEL=FILE", help=f"files of {stage}"
        )
    parser.add_argument("--means", type=Path, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--measure", required=True, help="the measure that windows are chosen by")
    parser.add_argument("--figure", type=Path, required=True, metavar="FILE", help="SVG to show")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="HTML page to write")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report import answers

    shapes = [(split_cell(name), frames.read_frame(path, ("measure", "verdict"))) for name, path in options.shapes]
    profiles = {split_cell(name): frames.read_frame(path, ("measure", "layer")) for name, path in options.profiles}
    means = frames.read_frame(options.means, frames.MEANS)
    answers.write(options.output, answers.where(shapes, profiles, means, options.measure), options.figure)
