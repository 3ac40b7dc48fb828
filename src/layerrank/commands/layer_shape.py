"""How bell-shaped a layer profile is (bump, slope and flat line by AICc), and how alike neighbouring layers rank."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", type=Path, required=True, metavar="FILE", help="TSV of layer-profile")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV, a row a measure")
    parser.add_argument(
        "--signal", type=Path, nargs="*", default=[], metavar="FILE", help="stored signal, by shard, for --neighbours"
    )
    parser.add_argument("--neighbours", type=Path, metavar="FILE", help="TSV of Kendall's tau of neighbouring layers")
    parser.add_argument("--strategy", default="masked_NA_calibration", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of resampling (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.core.errors import UserError
    from layerrank.layers import shape
    from layerrank.layers.profile import COLUMNS

    if (options.neighbours is None) != (not options.signal):
        raise UserError("--neighbours: needs --signal, and --signal needs it")
    shapes = shape.shapes(frames.read_frame(options.profile, COLUMNS))
    if options.neighbours is not None:
        neighbours = shape.neighbour_agreement(
            options.signal, options.strategy, seed=options.seed, resamples=options.resamples, workers=options.workers
        )
        frames.write_frame(options.neighbours, neighbours)
    frames.write_frame(options.output, shapes)
