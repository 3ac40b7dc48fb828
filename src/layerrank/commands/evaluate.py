"""Measure every system of one collection, model and variant, query by query, with its first stage and its ceiling."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import add_cell, named_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    parser.add_argument("--qrels", type=Path, required=True, metavar="FILE", help="judgements in TREC format")
    parser.add_argument("--candidates", type=Path, required=True, metavar="FILE", help="candidates of all systems")
    parser.add_argument("--runs", type=named_file, nargs="*", default=[], metavar="SYSTEM=FILE", help="TREC runs")
    parser.add_argument(
        "--measures",
        nargs="+",
        required=True,
        metavar="MEASURE",
        help="measures in ir_measures' syntax, such as nDCG@10",
    )
    parser.add_argument(
        "--relevance-level", type=int, default=1, metavar="GRADE", help="lowest relevant grade of binary measures"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV of per-query values")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files, frames
    from layerrank.evaluation import values as evaluate

    values = evaluate.evaluate(
        files.read_qrels(options.qrels),
        files.read_candidates(options.candidates),
        {system: files.read_run(path) for system, path in options.runs},
        options.measures,
        options.relevance_level,
    )
    frame = evaluate.named(values, options.collection, options.model, options.variant)
    frames.write_frame(options.output, frame, digits=8)
