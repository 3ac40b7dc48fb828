"""Put the parts of a run, which jobs of their own have ranked, together."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FILE", help="TREC runs, by shard")
    parser.add_argument(
        "--run-costs", type=Path, nargs="+", required=True, metavar="FILE", help="their costs, by shard"
    )
    parser.add_argument("--max-failure-rate", type=float, default=1.0, help="as of rerank, over all parts (default: 1)")
    parser.add_argument("--tag", required=True, help="name of the system in the run")
    parser.add_argument("--output", required=True, type=Path, help="TREC run to write")
    parser.add_argument("--costs", required=True, type=Path, help="costs to write, JSON lines")


def run(options: argparse.Namespace) -> None:
    from layerrank.ranking.run import join_shards

    join_shards(
        options.runs,
        options.run_costs,
        output=options.output,
        costs=options.costs,
        tag=options.tag,
        max_failure_rate=options.max_failure_rate,
    )
