"""Commands that write a report's answers: one page from values, costs and a figure."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layerrank.commands.arguments import add_evaluations, add_resampling, cell_file, file, new_file, number

if TYPE_CHECKING:
    from layerrank.report.answers import Tests


def _add_values(parser: argparse.ArgumentParser) -> None:
    """Add what an answer is made from, and how differences are tested."""
    add_evaluations(parser)
    parser.add_argument(
        "--costs", type=file, nargs="+", required=True, metavar="FILE", help="files of `summarise-costs`"
    )
    parser.add_argument("--measure", required=True, help="the measure to compare by")
    parser.add_argument(
        "--test", choices=["randomisation", "t-test"], default="randomisation", help="test of the marks"
    )
    parser.add_argument(
        "--alpha", type=number(0, 1), default=0.05, metavar="A", help="level of the marks, after correction"
    )
    add_resampling(parser)
    parser.add_argument("--figure", type=file, required=True, metavar="FILE", help="SVG to show")
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="HTML page to write")


def _tests(options: argparse.Namespace) -> Tests:
    """What the arguments say of tests."""
    from layerrank.report.answers import Tests
    from layerrank.report.tables.effectiveness import Marks

    return Tests(Marks("", options.test, options.alpha), options.seed, options.resamples)


def add_answer_mechanisms(parser: argparse.ArgumentParser) -> None:
    _add_values(parser)


def run_answer_mechanisms(options: argparse.Namespace) -> None:
    """Answer how attention compares with generation and likelihood: one page from values, costs and a figure."""
    import pandas as pd

    from layerrank.core import frames
    from layerrank.report import answers

    values = frames.read_values(options.evaluations)
    costs = pd.concat(
        [
            frames.read_frame(Path(path), ("system", "forward_passes", "answers", "failure_rate"))
            for path in options.costs
        ]
    )
    answers.write(options.output, answers.mechanisms(values, costs, options.measure, _tests(options)), options.figure)


def add_answer_where(parser: argparse.ArgumentParser) -> None:
    for name, stage in (("--shapes", "layer-shape"), ("--profiles", "layer-profile")):
        parser.add_argument(
            name, type=cell_file, nargs="+", required=True, metavar="COLLECTION/MODEL=FILE", help=f"files of {stage}"
        )
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--measure", required=True, help="the measure that windows are chosen by")
    parser.add_argument("--figure", type=file, required=True, metavar="FILE", help="SVG to show")
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="HTML page to write")


def run_answer_where(options: argparse.Namespace) -> None:
    """Answer where in the layers relevance emerges: one page from shapes, profiles, means and a figure."""
    from layerrank.core import frames
    from layerrank.report import answers

    shapes = [(cell, frames.read_frame(path, ("measure", "verdict"))) for cell, path in options.shapes]
    profiles = {cell: frames.read_frame(path, ("measure", "layer")) for cell, path in options.profiles}
    means = frames.read_frame(options.means, frames.MEANS)
    answers.write(options.output, answers.where(shapes, profiles, means, options.measure), options.figure)


def add_answer_windows(parser: argparse.ArgumentParser) -> None:
    _add_values(parser)
    parser.add_argument(
        "--latencies",
        type=cell_file,
        nargs="*",
        default=[],
        metavar="COLLECTION/MODEL=FILE",
        help="files of measure-latency",
    )


def run_answer_windows(options: argparse.Namespace) -> None:
    """Answer what a window saves and costs: one page from per-query values, costs, measured seconds and a figure."""
    import pandas as pd

    from layerrank.core import frames
    from layerrank.report import answers

    values = frames.read_values(options.evaluations)
    costs = pd.concat([frames.read_frame(Path(path), ("system", "layer_tokens")) for path in options.costs])
    latencies = {cell: frames.read_frame(path, ("system", "stage")) for cell, path in options.latencies}
    answer = answers.windows(values, costs, latencies, options.measure, _tests(options))
    answers.write(options.output, answer, options.figure)
