"""Hold the first stage against the figures that the catalogue expects of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from layerrank.core.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, type=Path, help="first-stage run")
    parser.add_argument("--qrels", required=True, type=Path, help="qrels.txt of prepare-collection")
    parser.add_argument("--entry", required=True, help="the collection's entry of the catalogue, as JSON")
    parser.add_argument("--k1", required=True, type=float, help="BM25's k1 of the run")
    parser.add_argument("--b", required=True, type=float, help="BM25's b of the run")
    parser.add_argument("--depth", required=True, type=int, help="candidates of the run for a query")
    parser.add_argument("--policy", required=True, help="what a deviation is: error, warn or off")
    parser.add_argument("--output", required=True, type=Path, help="the outcome, as JSON")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files
    from layerrank.first_stage import check

    try:
        entry = json.loads(options.entry)
    except ValueError as error:
        raise UserError(f"--entry: not valid JSON ({error})") from None
    settings = check.Settings(options.k1, options.b, options.depth)
    outcome = check.check(options.run, options.qrels, entry, settings, options.policy)
    files.write_json(options.output, outcome)
