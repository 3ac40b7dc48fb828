"""Hold every system's scores against place in the prompt and against passage length."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import add_cell, add_resampling, named_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    parser.add_argument("--qrels", type=Path, required=True, metavar="FILE", help="judgements in TREC format")
    parser.add_argument("--candidates", type=Path, required=True, metavar="FILE", help="candidates of all systems")
    parser.add_argument("--signal", type=Path, nargs="+", required=True, metavar="FILE", help="their stored signal")
    parser.add_argument("--runs", type=named_file, nargs="*", default=[], metavar="SYSTEM=FILE", help="TREC runs")
    add_resampling(parser)
    parser.add_argument("--position", type=Path, required=True, metavar="FILE", help="TSV of score by place")
    parser.add_argument("--length", type=Path, required=True, metavar="FILE", help="TSV of score by length")
    parser.add_argument("--correlations", type=Path, required=True, metavar="FILE", help="TSV of rank correlations")


def run(options: argparse.Namespace) -> None:
    from layerrank.attention import store
    from layerrank.core import files, frames
    from layerrank.evaluation import diagnostics

    scored = diagnostics.standardised_scores(
        files.read_candidates(options.candidates),
        {system: files.read_run(path) for system, path in options.runs},
        store.read_signals(options.signal),
        files.read_qrels(options.qrels),
    )
    cell = (options.collection, options.model, options.variant)
    for path, columns, make in (
        (options.position, frames.POSITION, diagnostics.by_place),
        (options.length, frames.LENGTH, diagnostics.by_length),
        (options.correlations, frames.CORRELATION, diagnostics.correlations),
    ):
        frame = make(scored, options.seed, options.resamples)
        frames.write_frame(path, diagnostics.named(frame, columns, *cell))
