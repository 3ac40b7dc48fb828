"""Retrieve the first-stage candidates of every query with BM25, and write their run and their texts."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", required=True, type=Path, help="folder of prepare-collection")
    parser.add_argument("--index", required=True, type=Path, help="folder of build-index")
    parser.add_argument("--k1", type=float, default=0.9, help="BM25's saturation of term frequency")
    parser.add_argument("--b", type=float, default=0.4, help="BM25's length normalisation")
    parser.add_argument("--depth", required=True, type=int, help="candidates to keep for a query")
    parser.add_argument("--threads", type=int, default=1, help="search threads")
    parser.add_argument("--output", required=True, type=Path, help="the TREC run to write")
    parser.add_argument("--passages", required=True, type=Path, help="the retrieved texts to write (JSON lines, .gz)")


def run(options: argparse.Namespace) -> None:
    from layerrank.collections import prepared
    from layerrank.core import files
    from layerrank.first_stage import bm25

    settings = bm25.Settings(options.k1, options.b, options.depth, options.threads)
    rankings, passages = bm25.retrieve(prepared.load(options.collection), options.index, settings)
    files.write_passages(options.passages, passages)
    files.write_run(options.output, rankings, tag="bm25")
