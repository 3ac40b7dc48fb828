"""Commands that prepare collections."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from layerrank.core.errors import UserError


def _limit(text: str) -> int | None:
    """Read a number of queries, or None for all."""
    return None if text == "None" else int(text)


def add_prepare_collection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="the collection's name in the catalogue")
    parser.add_argument("--entry", required=True, help="its entry of the catalogue, as JSON")
    parser.add_argument("--cache", required=True, type=Path, help="folder of downloads, shared between studies")
    parser.add_argument(
        "--query-limit",
        type=_limit,
        metavar="N",
        help="take a sample of so many judged queries; None or left out: all",
    )
    parser.add_argument("--seed", required=True, type=int, help="seed of that sample")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")


def run_prepare_collection(options: argparse.Namespace) -> None:
    """Read a collection from its source, check it, and write its topics, judgements, exclusions and description."""
    from layerrank.collections import prepared

    try:
        entry = json.loads(options.entry)
    except ValueError as error:
        raise UserError(f"--entry: not valid JSON ({error})") from None
    prepared.prepare(options.name, entry, options.cache, options.output, options.query_limit, options.seed)
