"""Commands that hold windows of layers against several input orders of the same candidates."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands.arguments import (
    add_candidates,
    add_cell,
    add_measure,
    add_qrels,
    add_resampling,
    add_strategy,
    add_workers,
    cell_of,
    file,
    files_by_name,
    named_file,
    new_file,
    resampling_of,
    whole,
)


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

    found = files_by_name(options.orders)
    for name in options.shuffled:
        if name not in found:
            raise UserError(f"--shuffled: {name!r} is none of the orders given: {', '.join(found)}")
    return found


def add_sweep_orders(parser: argparse.ArgumentParser) -> None:
    _add_orders(parser)
    add_measure(parser)
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
        **resampling_of(options),
    )
    frames.write_frame(options.output, frames.in_cell(found.values, frames.VALUES, *cell_of(options)))
    for path, table, columns in (
        (options.table, found.windows, frames.WINDOW_ORDERS),
        (options.by_order, found.by_order, frames.BY_ORDER),
    ):
        frames.write_frame(path, frames.in_cell(table, columns, *cell_of(options)))
