"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def named_file(text: str) -> tuple[str, Path]:
    """Read `NAME=FILE`; the name ends at the first equals sign."""
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FILE")
    return name, Path(path)


def add_cell(parser: argparse.ArgumentParser) -> None:
    """Add --collection, --model and --variant: what the written rows are named by."""
    parser.add_argument("--collection", required=True, metavar="NAME", help="collection, as the study names it")
    parser.add_argument("--model", required=True, metavar="NAME", help="model, as the study names it")
    parser.add_argument("--variant", default="base", metavar="NAME", help="variant of the study (default: %(default)s)")


def add_resampling(parser: argparse.ArgumentParser) -> None:
    """Add --seed and --resamples."""
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of resampling (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="resamples (default: %(default)s)")
