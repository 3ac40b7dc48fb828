"""Measure each layer by itself over all judged queries, with bootstrap intervals."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--signal", type=Path, nargs="+", required=True, metavar="FILE", help="stored signal, by shard")
    parser.add_argument("--qrels", type=Path, required=True, metavar="FILE", help="judgements in TREC format")
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="in ir_measures' syntax")
    parser.add_argument("--strategy", default="masked_NA_calibration", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of resampling (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV, a row a measure and layer")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files, frames
    from layerrank.layers.profile import layer_profile

    profile = layer_profile(
        options.signal,
        files.read_qrels(options.qrels),
        options.measures,
        options.strategy,
        seed=options.seed,
        resamples=options.resamples,
        workers=options.workers,
    )
    frames.write_frame(options.output, profile)
