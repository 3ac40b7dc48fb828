"""Regret of windows chosen on one collection or model and used on another, by relative depth where layers differ."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import json_object, named_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sweeps", type=named_file, nargs="+", required=True, metavar="NAME=FILE", help="files of sweep-windows"
    )
    parser.add_argument(
        "--selections",
        type=named_file,
        nargs="*",
        default=[],
        metavar="NAME=FILE",
        help="files of select-window, by the name of their sweep: rows of their own",
    )
    parser.add_argument(
        "--rule",
        type=json_object,
        default={"rule": "best"},
        metavar="JSON",
        help="how a source's window is chosen: best or peak, with their settings (default: best)",
    )
    parser.add_argument(
        "--same-collection",
        action="store_true",
        help="the sweeps are of different models on one collection: choose on other folds of the queries",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TSV, a row a source and target")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.core.errors import UserError
    from layerrank.core.windows import read_selection
    from layerrank.layers.selection import parse_rule
    from layerrank.layers.sweep import read_sweep
    from layerrank.layers.transfer import transfer

    rule = parse_rule(options.rule)
    if rule.rule not in ("best", "peak"):
        raise UserError(f"--rule: rule is {rule.rule!r}; transfer chooses by best or peak")
    sweeps = {name: read_sweep(path) for name, path in options.sweeps}
    selections = [(name, read_selection(path)) for name, path in options.selections]
    table = transfer(sweeps, rule, selections, same_collection=options.same_collection)
    frames.write_frame(options.output, table)
