"""Rank candidates by one-prompt listwise attention from the stored signal: a TREC run and its costs, with no model.

Costs are the stored forward pass's, which read every layer; measure-latency times the pass that a window needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import json_list, json_object


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidates", type=Path, required=True, metavar="FILE", help="candidates of make-candidates")
    parser.add_argument("--signal", type=Path, nargs="+", required=True, metavar="FILE", help="stored signal, by shard")
    parser.add_argument("--window", default="all", help="all, L10-13 or selected-RULE (default: %(default)s)")
    parser.add_argument("--selection", type=Path, metavar="FILE", help="the file of a selected window")
    parser.add_argument(
        "--settings", type=json_object, default={}, metavar="JSON", help="of the attention mechanism: strategy, heads"
    )
    parser.add_argument("--strategy", metavar="NAME", help="in place of the settings' strategy")
    parser.add_argument(
        "--heads", type=json_list, metavar="JSON", help="in place of the settings' heads: [[layer, head], …]"
    )
    parser.add_argument("--tag", required=True, metavar="SYSTEM", help="name of the system in the run")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TREC run to write")
    parser.add_argument("--costs", type=Path, required=True, metavar="FILE", help="costs to write, JSON lines")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files
    from layerrank.ranking import cached

    given = {"strategy": options.strategy, "heads": options.heads}
    settings = options.settings | {key: value for key, value in given.items() if value is not None}
    strategy, heads = cached.check_settings(settings)
    rankings, costs = cached.rerank_cached(
        files.read_candidates(options.candidates),
        options.signal,
        options.window,
        selection=options.selection,
        strategy=strategy,
        heads=heads,
    )
    files.write_run(options.output, rankings, options.tag)
    files.write_costs(options.costs, costs)
