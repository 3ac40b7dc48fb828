"""Answer how attention compares with generation and likelihood: one page from per-query values, costs and a figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._answers import add_values, tests


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_values(parser)


def run(options: argparse.Namespace) -> None:
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
    answers.write(options.output, answers.mechanisms(values, costs, options.measure, tests(options)), options.figure)
