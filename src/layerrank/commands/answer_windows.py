"""Answer what a window saves and costs: one page from per-query values, costs, measured seconds and a figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._answers import add_values, tests
from layerrank.commands._arguments import named_file, split_cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_values(parser)
    parser.add_argument(
        "--latencies",
        type=named_file,
        nargs="*",
        default=[],
        metavar="COLLECTION/MODEL=FILE",
        help="files of measure-latency",
    )


def run(options: argparse.Namespace) -> None:
    import pandas as pd

    from layerrank.core import frames
    from layerrank.report import answers

    values = frames.read_values(options.evaluations)
    costs = pd.concat([frames.read_frame(Path(path), ("system", "layer_tokens")) for path in options.costs])
    latencies = {split_cell(name): frames.read_frame(path, ("system", "stage")) for name, path in options.latencies}
    answer = answers.windows(values, costs, latencies, options.measure, tests(options))
    answers.write(options.output, answer, options.figure)
