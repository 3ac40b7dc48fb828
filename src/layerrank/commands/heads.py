"""Commands that score, choose and compare attention heads, from the stored signal alone."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from layerrank.commands.arguments import (
    add_choice,
    add_judged,
    add_measure,
    add_qrels,
    add_resampling,
    add_rule,
    add_signal,
    add_strategy,
    add_workers,
    cell_of,
    file,
    files_by_name,
    label,
    named_file,
    new_file,
    resampling_of,
)

if TYPE_CHECKING:
    from layerrank.core.heads import HeadSelection


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
    add_rule(parser)
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
    found = heads.head_values(
        options.signal, qrels, rule, orders=files_by_name(options.orders), workers=options.workers
    )
    heads.write_head_values(options.output, found)


def add_choose_heads(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "system heads-NAME", "scores of other collections")
    parser.add_argument("--scores", type=file, required=True, metavar="FILE", help="its scores, from score-heads")
    parser.add_argument(
        "--within", type=file, metavar="FILE", help="file of select-window, for a rule whose window is selected-RULE"
    )
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
    add_judged(parser)
    _add_signals_in_orders(parser, "for their stability")
    add_measure(parser)
    add_resampling(parser, 1000)
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
        orders=files_by_name(options.orders),
        **resampling_of(options),
    )
    frames.write_frame(options.output, frames.in_cell(found, frames.HEADS, *cell_of(options)))


def add_count_heads(parser: argparse.ArgumentParser) -> None:
    add_judged(parser)
    parser.add_argument(
        "--ranked", type=file, nargs="+", required=True, metavar="FILE", help="files of choose-heads --ranked"
    )
    add_measure(parser)
    add_resampling(parser, 1000)
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
        **resampling_of(options),
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
    add_measure(parser)
    add_strategy(parser)
    add_resampling(parser, 1000)
    add_workers(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV, a row a rule and pair")


def run_transfer_heads(options: argparse.Namespace) -> None:
    """Measure what heads chosen on one collection rank on another, with one model, under a linear strategy."""
    from layerrank.core import files, frames
    from layerrank.core.heads import read_head_selection
    from layerrank.layers.head_sets import transfer_heads

    chosen: dict[str, list[HeadSelection]] = {}
    for name, path in options.chosen:
        chosen.setdefault(name, []).append(read_head_selection(path))
    found = transfer_heads(
        options.model,
        files_by_name(options.signals),
        {name: files.read_qrels(path) for name, path in options.qrels},
        chosen,
        options.measure,
        options.strategy,
        **resampling_of(options),
    )
    frames.write_frame(options.output, found)
