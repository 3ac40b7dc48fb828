"""Commands that compare and choose layers, from the stored signal alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layerrank.commands.arguments import (
    add_candidates,
    add_cell,
    add_collection,
    add_qrels,
    add_resampling,
    add_signal,
    add_strategy,
    add_workers,
    cell_of,
    file,
    json_object,
    label,
    named_file,
    new_file,
    whole,
)


def _add_judged(parser: argparse.ArgumentParser) -> None:
    """Add a stored signal with its judgements, of one cell of the study, and how it is scored."""
    add_cell(parser)
    add_signal(parser)
    add_qrels(parser)
    add_strategy(parser)
    add_workers(parser)


if TYPE_CHECKING:
    from layerrank.core.heads import HeadSelection


def add_layer_profile(parser: argparse.ArgumentParser) -> None:
    _add_judged(parser)
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
        seed=options.seed,
        resamples=options.resamples,
        workers=options.workers,
    )
    frames.write_frame(options.output, frames.in_cell(profile, frames.PROFILE, *cell_of(options)))


def add_sweep_windows(parser: argparse.ArgumentParser) -> None:
    _add_judged(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")
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


def _add_orders(parser: argparse.ArgumentParser) -> None:
    """Add the stored signals of several input orders."""
    parser.add_argument(
        "--orders",
        type=named_file,
        nargs="+",
        required=True,
        metavar="ORDER=FILE",
        help="stored signal of each input order, a name for each of its shards; the base's order first",
    )
    parser.add_argument("--shuffled", nargs="*", default=[], metavar="ORDER", help="those that are seeded shuffles")
    add_qrels(parser)


def _orders(options: argparse.Namespace) -> dict[str, list[Path]]:
    """The files of each order; `UserError` for a shuffle that is none of them."""
    from layerrank.core.errors import UserError

    found = _by_order(options)
    for name in options.shuffled:
        if name not in found:
            raise UserError(f"--shuffled: {name!r} is none of the orders given: {', '.join(found)}")
    return found


def _by_order(options: argparse.Namespace) -> dict[str, list[Path]]:
    """The files of each order."""
    found: dict[str, list[Path]] = {}
    for name, path in options.orders:
        found.setdefault(name, []).append(path)
    return found


def add_sweep_orders(parser: argparse.ArgumentParser) -> None:
    _add_orders(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")
    add_cell(parser)
    add_strategy(parser)
    add_resampling(parser, 1000)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="Arrow file, a row a query")
    parser.add_argument("--table", type=new_file, required=True, metavar="FILE", help="TSV of means, a row a window")


def run_sweep_orders(options: argparse.Namespace) -> None:
    """Every window under several input orders: shares of passage and place, stability, the measure in each order."""
    from layerrank.core import files, frames
    from layerrank.layers.orders import orders_table, sweep_orders, write_order_sweep

    found = sweep_orders(
        _orders(options),
        options.shuffled,
        files.read_qrels(options.qrels),
        options.measure,
        options.strategy,
        workers=options.workers,
    )
    write_order_sweep(options.output, found)
    table = orders_table(found, seed=options.seed, resamples=options.resamples)
    frames.write_frame(options.table, frames.in_cell(table, frames.ORDERS, *cell_of(options)))


def add_evaluate_orders(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    _add_orders(parser)
    add_candidates(parser)
    parser.add_argument(
        "--windows", nargs="+", required=True, metavar="WINDOW", help="such as all, L10-13 or selected-best"
    )
    parser.add_argument(
        "--selections",
        type=file,
        nargs="*",
        default=[],
        metavar="FILE",
        help="files of select-window of those",
    )
    parser.add_argument(
        "--heads", type=file, nargs="*", default=[], metavar="FILE", help="files of choose-heads: ranked by as well"
    )
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="in ir_measures' syntax")
    parser.add_argument(
        "--relevance-level", type=whole(), default=1, metavar="GRADE", help="lowest grade that is relevant (1)"
    )
    parser.add_argument("--sweep", type=file, required=True, metavar="FILE", help="Arrow file of sweep-orders")
    add_strategy(parser)
    add_resampling(parser, 1000)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV of values, as of evaluate")
    parser.add_argument("--table", type=new_file, required=True, metavar="FILE", help="TSV, a row a window and layer")
    parser.add_argument("--by-order", type=new_file, required=True, metavar="FILE", help="TSV, a row each")


def run_evaluate_orders(options: argparse.Namespace) -> None:
    """Windows and heads over input orders, and what averaging and calibration by place make of their rankings."""
    from layerrank.attention.store import stored_layers
    from layerrank.core import files, frames
    from layerrank.core.heads import read_head_selection
    from layerrank.core.windows import by_heads, heads_for, read_selection, selected_by, windows_for
    from layerrank.layers.orders import read_order_sweep
    from layerrank.layers.over_orders import over_orders

    orders, qrels = _orders(options), files.read_qrels(options.qrels)
    layers = stored_layers(next(iter(orders.values())))
    selections = {selected_by(read_selection(path).rule): path for path in options.selections}
    heads = {by_heads(read_head_selection(path).rule): path for path in options.heads}
    windows = {window: windows_for(window, qrels, layers, selections.get(window)) for window in options.windows}
    found = over_orders(
        orders,
        options.shuffled,
        qrels,
        files.read_candidates(options.candidates),
        {**windows, **{name: heads_for(name, qrels, layers, None, path) or {} for name, path in heads.items()}},
        options.measures,
        options.strategy,
        swept=read_order_sweep(options.sweep),
        level=options.relevance_level,
        seed=options.seed,
        resamples=options.resamples,
        workers=options.workers,
    )
    frames.write_frame(options.output, frames.in_cell(found.values, frames.VALUES, *cell_of(options)))
    for path, table, columns in (
        (options.table, found.windows, frames.WINDOW_ORDERS),
        (options.by_order, found.by_order, frames.BY_ORDER),
    ):
        frames.write_frame(path, frames.in_cell(table, columns, *cell_of(options)))


def add_select_window(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", type=label, required=True, metavar="NAME", help="the rule's name, as in the window selected-NAME"
    )
    parser.add_argument("--rule", type=json_object, required=True, metavar="JSON", help="the rule and its settings")
    add_collection(parser)
    parser.add_argument("--model", type=label, required=True, metavar="NAME", help="model, as the study names it")
    parser.add_argument("--sweep", type=file, required=True, metavar="FILE", help="its sweep, from sweep-windows")
    parser.add_argument(
        "--others",
        type=named_file,
        nargs="*",
        default=[],
        metavar="COLLECTION=FILE",
        help="sweeps of other collections; of sweep-orders where the rule has `orders`",
    )
    parser.add_argument("--over-orders", type=file, metavar="FILE", help="its sweep over orders, from sweep-orders")
    add_signal(parser, required=False, use=", for label-free rules")
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="JSON that re-ranking reads")


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


def _add_signals_in_orders(parser: argparse.ArgumentParser, use: str) -> None:
    """Add --orders, which a study may lack; `use` says what it is for."""
    parser.add_argument(
        "--orders",
        type=named_file,
        nargs="*",
        default=[],
        metavar="ORDER=FILE",
        help=f"signals of several input orders, the base's among them, {use}",
    )


def add_score_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rule", type=json_object, required=True, metavar="JSON", help="the rule and its settings")
    add_signal(parser)
    _add_signals_in_orders(parser, "for a rule with `orders`")
    add_qrels(parser)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="Arrow file, a record per query")


def run_score_heads(options: argparse.Namespace) -> None:
    """Score every attention head for every judged query, from the stored signal.

    The rule is JSON: {"rule": "core", "tau": 0.1}; {"rule": "qr-ndcg"}; {"rule": "qr-mass"}; {"rule": "measure",
    "measure": "RR@10", "strategy": "NA_calibration"}; {"rule": "label-free"}; {"rule": "oracle"}, an upper bound. With
    "orders": "all" a query's score is the mean over input orders.
    """
    from layerrank.core import files
    from layerrank.layers import heads
    from layerrank.layers.head_rules import parse_head_rule

    qrels, rule = files.read_qrels(options.qrels), parse_head_rule(options.rule)
    found = heads.head_values(options.signal, qrels, rule, orders=_by_order(options), workers=options.workers)
    heads.write_head_values(options.output, found)


def add_choose_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", type=label, required=True, metavar="NAME", help="the rule's name, as in the system heads-NAME"
    )
    parser.add_argument("--rule", type=json_object, required=True, metavar="JSON", help="the rule and its settings")
    add_collection(parser)
    parser.add_argument("--scores", type=file, required=True, metavar="FILE", help="its scores, from score-heads")
    parser.add_argument(
        "--others",
        type=named_file,
        nargs="*",
        default=[],
        metavar="COLLECTION=FILE",
        help="scores of other collections",
    )
    parser.add_argument(
        "--within", type=file, metavar="FILE", help="file of select-window, for a rule whose window is selected-RULE"
    )
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="JSON that re-ranking reads")
    parser.add_argument("--ranked", type=new_file, metavar="FILE", help="the same with every head allowed, best first")


def run_choose_heads(options: argparse.Namespace) -> None:
    """Choose each query's set of heads by a rule that does not see its judgements; record how, and on what."""
    from layerrank.core.heads import write_head_selection
    from layerrank.core.windows import read_selection
    from layerrank.layers import heads
    from layerrank.layers.head_rules import parse_head_rule

    rule = parse_head_rule(options.rule)
    own = heads.read_head_values(options.scores)
    others = {name: heads.read_head_values(path) for name, path in options.others}
    within = read_selection(options.within) if options.within else None
    chosen = heads.choose_heads(options.name, rule, options.collection, own, others, within)
    write_head_selection(options.output, chosen)
    if options.ranked is not None:
        ranked = heads.choose_heads(options.name, rule, options.collection, own, others, within, every=True)
        write_head_selection(options.ranked, ranked)


def add_map_heads(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    add_signal(parser)
    _add_signals_in_orders(parser, "for their stability")
    add_qrels(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")
    add_strategy(parser)
    add_resampling(parser, 1000)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV to write, a row a head")


def run_map_heads(options: argparse.Namespace) -> None:
    """Measure each attention head by itself, and how alike it ranks in several input orders."""
    from layerrank.core import files, frames
    from layerrank.layers.head_map import head_map

    found = head_map(
        options.signal,
        files.read_qrels(options.qrels),
        options.measure,
        options.strategy,
        orders=_by_order(options),
        seed=options.seed,
        resamples=options.resamples,
        workers=options.workers,
    )
    frames.write_frame(options.output, frames.in_cell(found, frames.HEADS, *cell_of(options)))


def add_count_heads(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    add_signal(parser)
    add_qrels(parser)
    parser.add_argument(
        "--ranked", type=file, nargs="+", required=True, metavar="FILE", help="files of choose-heads --ranked"
    )
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")
    add_strategy(parser)
    add_resampling(parser, 1000)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV, a row a rule and number")


def run_count_heads(options: argparse.Namespace) -> None:
    """Measure what one, two, four … of each rule's best heads rank, under a linear strategy."""
    from layerrank.core import files, frames
    from layerrank.core.heads import read_head_selection
    from layerrank.layers.head_sets import head_counts

    found = head_counts(
        options.signal,
        files.read_qrels(options.qrels),
        [read_head_selection(path) for path in options.ranked],
        options.measure,
        options.strategy,
        seed=options.seed,
        resamples=options.resamples,
        workers=options.workers,
    )
    frames.write_frame(options.output, frames.in_cell(found, frames.HEAD_COUNTS, *cell_of(options)))


def add_agree_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ranked", type=named_file, nargs="+", required=True, metavar="MODEL=FILE", help="of choose-heads --ranked"
    )
    parser.add_argument(
        "--dtypes",
        type=named_file,
        nargs="*",
        default=[],
        metavar="MODEL/DTYPE=FILE",
        help="the same of every dtype, of what was computed in several",
    )
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV, a row a rule and pair")


def run_agree_heads(options: argparse.Namespace) -> None:
    """Hold sets of heads against each other: between folds, collections, dtypes, and models of one shape."""
    from layerrank.core import frames
    from layerrank.core.heads import read_head_selection
    from layerrank.layers.head_sets import agreement

    places: dict[tuple[str, str], list[HeadSelection]] = {}
    dtypes: dict[tuple[str, str], dict[str, list[HeadSelection]]] = {}
    for model, path in options.ranked:
        found = read_head_selection(path)
        places.setdefault((found.collection, model), []).append(found)
    for name, path in options.dtypes:
        found = read_head_selection(path)
        model, _, dtype = name.partition("/")
        dtypes.setdefault((found.collection, model), {}).setdefault(dtype, []).append(found)
    frames.write_frame(options.output, agreement(places, dtypes))


def add_transfer_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=label, required=True, metavar="NAME", help="model, as the study names it")
    for name, what in (
        ("--signals", "stored signals, by shard"),
        ("--qrels", "judgements in TREC format"),
        ("--chosen", "files of choose-heads"),
    ):
        parser.add_argument(name, type=named_file, nargs="+", required=True, metavar="COLLECTION=FILE", help=what)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="in ir_measures' syntax, such as nDCG@10")
    add_strategy(parser)
    add_resampling(parser, 1000)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV, a row a rule and pair")


def run_transfer_heads(options: argparse.Namespace) -> None:
    """Measure what heads chosen on one collection rank on another, with one model, under a linear strategy."""
    from layerrank.core import files, frames
    from layerrank.core.heads import read_head_selection
    from layerrank.layers.head_sets import transfer_heads

    stores: dict[str, list[Path]] = {}
    for name, path in options.signals:
        stores.setdefault(name, []).append(path)
    chosen: dict[str, list[HeadSelection]] = {}
    for name, path in options.chosen:
        chosen.setdefault(name, []).append(read_head_selection(path))
    found = transfer_heads(
        options.model,
        stores,
        {name: files.read_qrels(path) for name, path in options.qrels},
        chosen,
        options.measure,
        options.strategy,
        seed=options.seed,
        resamples=options.resamples,
        workers=options.workers,
    )
    frames.write_frame(options.output, found)


def add_layer_shape(parser: argparse.ArgumentParser) -> None:
    add_layer_profile(parser)
    parser.add_argument(
        "--neighbours", type=new_file, metavar="FILE", help="TSV of Kendall's tau of neighbouring layers"
    )


def run_layer_shape(options: argparse.Namespace) -> None:
    """The shape of a layer profile, by what its best layer gains on held-out queries; how alike neighbours rank."""
    from layerrank.core import files, frames
    from layerrank.layers import shape

    settings = {name: getattr(options, name) for name in ("seed", "resamples", "workers")}
    shapes = shape.layer_shapes(
        options.signal, files.read_qrels(options.qrels), options.measures, options.strategy, **settings
    )
    if options.neighbours is not None:
        neighbours = shape.neighbour_agreement(options.signal, options.strategy, **settings)
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
