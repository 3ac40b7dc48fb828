"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError

KEEP_HELP = (
    "keep finished work under a hidden second name too: a workflow that is killed deletes what it has not booked"
)


def named_file(text: str) -> tuple[str, Path]:
    """Read `NAME=FILE`; the name ends at the first equals sign."""
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FILE")
    return name, Path(path)


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object: a block of settings in one flag."""
    value = _json(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a JSON object")
    return value


def json_list(text: str) -> list[Any]:
    """Read a JSON list."""
    value = _json(text)
    if not isinstance(value, list):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a JSON list")
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: not valid JSON ({error})") from None


def add_cell(parser: argparse.ArgumentParser) -> None:
    """Add --collection, --model and --variant: what the written rows are named by."""
    parser.add_argument("--collection", required=True, metavar="NAME", help="collection, as the study names it")
    parser.add_argument("--model", required=True, metavar="NAME", help="model, as the study names it")
    parser.add_argument("--variant", default="base", metavar="NAME", help="variant of the study (default: %(default)s)")


def add_resampling(parser: argparse.ArgumentParser) -> None:
    """Add --seed and --resamples."""
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of resampling (default: %(default)s)")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="resamples (default: %(default)s)")


def split_cell(name: str) -> tuple[str, str]:
    """Read `COLLECTION/MODEL`."""
    collection, _, model = name.partition("/")
    if not (collection and model):
        raise UserError(f"{name!r}: expected COLLECTION/MODEL")
    return collection, model
