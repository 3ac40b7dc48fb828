"""Commands that compare and choose layers, from the stored signal alone."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_choice,
    add_judged,
    add_measure,
    add_resampling,
    add_signal,
    add_workers,
    cell_of,
    file,
    json_object,
    label,
    named_file,
    new_file,
    resampling_of,
)


def add_layer_profile(parser: argparse.ArgumentParser) -> None:
    add_judged(parser)
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="in ir_measures' syntax")
    add_resampling(parser, 1000)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV to write")


def run_layer_profile(options: argparse.Namespace) -> None:
    """Measure each layer by itself over all judged queries, with bootstrap intervals."""
    from layerrank.core import files, frames
    from layerrank.layers.profile import layer_profile

    profile = layer_profile(
        options.signal,
        files.read_qrels(options.qrels),
        options.measures,
        options.strategy,
        **resampling_of(options),
    )
    frames.write_frame(options.output, frames.in_cell(profile, frames.PROFILE, *cell_of(options)))


def add_sweep_windows(parser: argparse.ArgumentParser) -> None:
    add_judged(parser)
    add_measure(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="Arrow file, a record per query")
    parser.add_argument("--table", type=new_file, required=True, metavar="FILE", help="TSV of means, a row a window")


def run_sweep_windows(options: argparse.Namespace) -> None:
    """Measure every layer window [start, end] for every judged query, from the stored signal."""
    from layerrank.core import files, frames
    from layerrank.layers.sweep import sweep, sweep_table, write_sweep

    swept = sweep(
        options.signal,
        files.read_qrels(options.qrels),
        options.measure,
        options.strategy,
        workers=options.workers,
    )
    write_sweep(options.output, swept)
    frames.write_frame(options.table, frames.in_cell(sweep_table(swept), frames.SWEEP, *cell_of(options)))


def add_select_window(parser: argparse.ArgumentParser) -> None:
    others = "sweeps of other collections; of sweep-orders where the rule has `orders`"
    add_choice(parser, "window selected-NAME", others)
    parser.add_argument("--model", type=label, required=True, metavar="NAME", help="model, as the study names it")
    parser.add_argument("--sweep", type=file, required=True, metavar="FILE", help="its sweep, from sweep-windows")
    parser.add_argument("--over-orders", type=file, metavar="FILE", help="its sweep over orders, from sweep-orders")
    add_signal(parser, required=False, use=", for label-free rules")
    add_workers(parser)


def run_select_window(options: argparse.Namespace) -> None:
    """Choose each query's layer window by a rule that does not see its judgements; record how, on what, and the regret.

    The rule is JSON: {"rule": "fixed", "window": "10-13"}; {"rule": "peak", "width": 2, "chosen_on": "folds",
    "folds": 5}; {"rule": "best", "max_width": 8, "last_layer": 20, "standard_errors": 1, "chosen_on": "others"};
    {"rule": "label-free"}; {"rule": "oracle"}, an upper bound. `chosen_on` is "folds" (cross-validation over queries),
    "others" or a list of collections. With "orders": "all" the mean over input orders decides.
    """
    from layerrank.core.files import one_model
    from layerrank.core.windows import write_selection
    from layerrank.layers import labelfree
    from layerrank.layers.orders import read_order_sweep
    from layerrank.layers.rules import parse_rule
    from layerrank.layers.selection import select
    from layerrank.layers.sweep import read_sweep

    rule = parse_rule(options.rule)
    own = read_sweep(options.sweep)
    everywhere = rule.settings.get("orders") == "all"
    others = {
        name: read_order_sweep(path).over_orders() if everywhere else read_sweep(path) for name, path in options.others
    }
    if not everywhere:
        one_model([(options.sweep, own.weights), *((path, others[name].weights) for name, path in options.others)])
    over_orders = read_order_sweep(options.over_orders).over_orders() if options.over_orders else None
    values = None
    if rule.kind.sees == "signals" and options.signal:
        values = labelfree.criterion(options.signal, rule.settings["criterion"], own.strategy, workers=options.workers)
    chosen = select(
        options.name, rule, options.collection, own, others, values, model=options.model, over_orders=over_orders
    )
    write_selection(options.output, chosen)


def add_layer_shape(parser: argparse.ArgumentParser) -> None:
    add_layer_profile(parser)
    parser.add_argument(
        "--neighbours", type=new_file, metavar="FILE", help="TSV of Kendall's tau of neighbouring layers"
    )


def run_layer_shape(options: argparse.Namespace) -> None:
    """The shape of a layer profile, by what its best layer gains on held-out queries; how alike neighbours rank."""
    from layerrank.core import files, frames
    from layerrank.layers import shape

    shapes = shape.layer_shapes(
        options.signal, files.read_qrels(options.qrels), options.measures, options.strategy, **resampling_of(options)
    )
    if options.neighbours is not None:
        neighbours = shape.neighbour_agreement(options.signal, options.strategy, **resampling_of(options))
        frames.write_frame(options.neighbours, frames.in_cell(neighbours, frames.NEIGHBOURS, *cell_of(options)))
    frames.write_frame(options.output, frames.in_cell(shapes, frames.SHAPE, *cell_of(options)))


def add_transfer(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV, a row a source and target")


def run_transfer(options: argparse.Namespace) -> None:
    """Regret of windows chosen on one collection or model and used on another, by depth where layers differ."""
    from layerrank.core import frames
    from layerrank.core.errors import UserError
    from layerrank.core.files import one_model
    from layerrank.core.windows import read_selection
    from layerrank.layers.rules import RULES, parse_rule
    from layerrank.layers.sweep import read_sweep
    from layerrank.layers.transfer import transfer

    rule = parse_rule(options.rule)
    if rule.kind.sees != "judgements":
        able = " or ".join(name for name, kind in RULES.items() if kind.sees == "judgements")
        raise UserError(f"--rule: rule is {rule.kind.name!r}; transfer chooses by {able}")
    sweeps = {name: read_sweep(path) for name, path in options.sweeps}
    if not options.same_collection:
        one_model((path, sweeps[name].weights) for name, path in options.sweeps)
    selections = [(name, read_selection(path)) for name, path in options.selections]
    table = transfer(sweeps, rule, selections, same_collection=options.same_collection)
    frames.write_frame(options.output, table)
