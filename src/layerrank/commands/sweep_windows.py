"""Measure every layer window [start, end] for every judged query, from the stored signal."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--signal", type=Path, nargs="+", required=True, metavar="FILE", help="stored signal, by shard")
    parser.add_argument("--qrels", type=Path, required=True, metavar="FILE", help="judgements in TREC format")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")
    parser.add_argument("--strategy", default="masked_NA_calibration", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="Arrow file, a record a query")
    parser.add_argument("--table", type=Path, required=True, metavar="FILE", help="TSV of means, a row a window")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files, frames
    from layerrank.layers.sweep import sweep, sweep_table, write_sweep

    swept = sweep(
        options.signal,
        files.read_qrels(options.qrels),
        options.measure,
        options.strategy,
        workers=options.workers,
    )
    write_sweep(options.output, swept)
    frames.write_frame(options.table, sweep_table(swept))
