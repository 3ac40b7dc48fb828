"""Build the Lucene index of a prepared collection, or fetch the ready one that its source names."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", required=True, type=Path, help="folder of prepare-collection")
    parser.add_argument("--cache", required=True, type=Path, help="folder of downloads, shared between studies")
    parser.add_argument("--threads", type=int, default=1, help="indexing threads")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")


def run(options: argparse.Namespace) -> None:
    from layerrank.collections import prepared
    from layerrank.first_stage import bm25

    bm25.build_index(prepared.load(options.collection), options.cache, options.threads, options.output)
