"""Choose the layer window of each query by a rule that does not see its judgements; record how, on what and the regret.

The rule is JSON: {"rule": "fixed", "window": "10-13"}; {"rule": "peak", "width": 2, "chosen_on": "folds", "folds": 5};
{"rule": "best", "max_width": 8, "last_layer": 20, "standard_errors": 1, "chosen_on": "others"}; {"rule": "label-free"};
{"rule": "oracle"}, an upper bound. `on` is "folds" (cross-validation over queries), "others" or a list of collections.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import json_object, named_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, metavar="NAME", help="the rule's name, as in the window selected-NAME")
    parser.add_argument("--rule", type=json_object, required=True, metavar="JSON", help="the rule and its settings")
    parser.add_argument("--collection", required=True, metavar="NAME", help="collection whose queries are judged")
    parser.add_argument("--sweep", type=Path, required=True, metavar="FILE", help="its sweep, from sweep-windows")
    parser.add_argument(
        "--others",
        type=named_file,
        nargs="*",
        default=[],
        metavar="COLLECTION=FILE",
        help="sweeps of other collections",
    )
    parser.add_argument(
        "--signal", type=Path, nargs="*", default=[], metavar="FILE", help="its stored signal, for label-free rules"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="JSON that re-ranking reads")


def run(options: argparse.Namespace) -> None:
    from layerrank.core.windows import write_selection
    from layerrank.layers import labelfree, selection
    from layerrank.layers.sweep import read_sweep

    rule = selection.parse_rule(options.rule)
    own = read_sweep(options.sweep)
    others = {name: read_sweep(path) for name, path in options.others}
    values = None
    if rule.rule == "label-free" and options.signal:
        values = labelfree.criterion(options.signal, rule.criterion, own.strategy, workers=options.workers)
    chosen = selection.select(options.name, rule, options.collection, own, others, values)
    write_selection(options.output, chosen)
