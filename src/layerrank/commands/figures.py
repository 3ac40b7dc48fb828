"""Commands that draw the figures of a report."""

from __future__ import annotations

import argparse
from typing import Any

from layerrank.commands.arguments import file, label, new_file


def _add_figure(parser: argparse.ArgumentParser) -> None:
    """Add the output files, title and subtitle of a figure."""
    parser.add_argument(
        "--output", type=new_file, required=True, metavar="SVG", help="figure to write (.svg, .pdf or .png)"
    )
    parser.add_argument("--pdf", type=new_file, metavar="PDF", help="the same figure as PDF")
    parser.add_argument("--title", default="", help="first line of the figure")


def _add_means(parser: argparse.ArgumentParser) -> None:
    """Add the table of means and what to draw of it."""
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of aggregate")
    parser.add_argument("--measure", help="measure to draw (the table's first)")
    parser.add_argument("--collections", nargs="*", default=[], metavar="NAME", help="only these, in this order")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME", help="only these, in this order")
    parser.add_argument("--variant", type=label, metavar="NAME", help="only this one")


def _save(options: argparse.Namespace, figure: Any) -> None:
    """Write a figure of matplotlib's as --output and --pdf say."""
    from layerrank.report.figures.style import save

    save(figure, *[options.output] if options.pdf is None else [options.output, options.pdf])


def _add_table(parser: argparse.ArgumentParser, flag: str, of: str) -> None:
    """Add the one table that a figure is drawn from, and the figure."""
    parser.add_argument(flag, type=file, required=True, metavar="FILE", help=f"TSV of {of}")
    _add_figure(parser)


def add_plot_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", type=file, required=True, help="TSV of layer-profile")
    parser.add_argument("--measure", help="measure to draw, such as nDCG@10 (the profile's first)")
    parser.add_argument("--evaluation", type=file, help="TSV of evaluate, for the levels")
    parser.add_argument("--first-stage", help="system whose mean is a level, such as bm25")
    parser.add_argument("--all-layers", help="system whose mean is a level, such as listwise-attention-all")
    parser.add_argument("--ceiling", help="system whose mean is the ideal re-ranking's level")
    parser.add_argument(
        "--selections", type=file, nargs="*", default=[], help="JSON of select-window, the headline first"
    )
    parser.add_argument("--shape", type=file, metavar="FILE", help="TSV of layer-shape: draws the bell where it is one")
    _add_figure(parser)


def run_plot_profile(options: argparse.Namespace) -> None:
    """Draw the measure by layer, with its interval, the levels to beat and the selected windows."""
    from layerrank.core import frames, windows
    from layerrank.report.figures import inputs
    from layerrank.report.figures.profile import draw_profile

    profile = inputs.only_measure(
        frames.read_frame(options.profile, frames.PROFILE, complete=True), options.measure, options.profile
    )
    measure = str(profile["measure"].iloc[0])
    systems = {"first stage": options.first_stage, "all layers": options.all_layers, "ceiling": options.ceiling}
    levels = inputs.read_levels(options.evaluation, systems, measure)
    figure = draw_profile(
        profile,
        levels,
        [windows.read_selection(path) for path in options.selections],
        inputs.read_shape(options.shape, measure) if options.shape else None,
        title=options.title,
    )
    _save(options, figure)


def add_plot_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sweep", type=file, required=True, help="TSV of sweep-windows")
    parser.add_argument("--measure", help="measure to draw (the sweep's first)")
    parser.add_argument("--evaluation", type=file, help="TSV of evaluate, for the levels")
    parser.add_argument("--first-stage", help="system whose mean is marked on the colour bar, such as bm25")
    parser.add_argument("--ceiling", help="system whose mean is the ideal re-ranking's level")
    parser.add_argument("--selections", type=file, nargs="*", default=[], help="JSON of select-window, to mark")
    parser.add_argument(
        "--windows", nargs="*", default=[], metavar="WINDOW", help="fixed windows to mark, such as L10-13"
    )
    _add_figure(parser)


def run_plot_sweep(options: argparse.Namespace) -> None:
    """Draw the measure of every window as a heat map, first layer against last."""
    from layerrank.core import frames
    from layerrank.core.windows import LayerWindow, read_selection
    from layerrank.report.figures import inputs
    from layerrank.report.figures.sweep import draw_sweep

    sweep = inputs.only_measure(
        frames.read_frame(options.sweep, frames.SWEEP, complete=True), options.measure, options.sweep
    )
    layers = int(sweep["end"].max()) + 1
    windows = [LayerWindow.parse(window, layers) for window in options.windows]
    systems = {"first stage": options.first_stage, "ceiling": options.ceiling}
    figure = draw_sweep(
        sweep,
        inputs.read_levels(options.evaluation, systems, str(sweep["measure"].iloc[0])),
        [read_selection(path) for path in options.selections],
        windows,
        title=options.title,
    )
    _save(options, figure)


def add_plot_heads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chosen", type=file, nargs="*", default=[], metavar="FILE", help="of choose-heads, to mark")
    _add_table(parser, "--heads", "map-heads")


def run_plot_heads(options: argparse.Namespace) -> None:
    """Draw the measure of every head as a map of layers and heads, and its stability over input orders."""
    from layerrank.core import frames
    from layerrank.core.heads import read_head_selection
    from layerrank.report.figures.heads import draw_heads

    chosen = [read_head_selection(path) for path in options.chosen]
    heads = frames.read_frame(options.heads, frames.HEADS)
    _save(options, draw_heads(heads, chosen, title=options.title))


def add_plot_head_counts(parser: argparse.ArgumentParser) -> None:
    _add_table(parser, "--counts", "count-heads")


def run_plot_head_counts(options: argparse.Namespace) -> None:
    """Draw the measure against the number of heads, a line a rule."""
    from layerrank.core import frames
    from layerrank.report.figures.heads import draw_head_counts

    counts = frames.read_frame(options.counts, frames.HEAD_COUNTS, complete=True)
    _save(options, draw_head_counts(counts, title=options.title))


def add_plot_pareto(parser: argparse.ArgumentParser) -> None:
    _add_means(parser)
    parser.add_argument(
        "--costs",
        type=file,
        nargs="+",
        required=True,
        metavar="FILE",
        help="files of summarise-costs",
    )
    parser.add_argument(
        "--cost", default="seconds", help="seconds, prompt_tokens, generated_tokens, forward_passes … (%(default)s)"
    )
    _add_figure(parser)


def run_plot_pareto(options: argparse.Namespace) -> None:
    """Draw quality against cost, with the systems that none beats in both."""
    from layerrank.report.figures import inputs
    from layerrank.report.figures.pareto import draw_pareto

    means = inputs.read_means(options.means, options.measure, options.collections, options.models, options.variant)
    table = inputs.join_costs(means, options.costs, options.cost)
    _save(options, draw_pareto(table, options.cost, title=options.title))


def add_plot_depth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profiles", type=file, nargs="+", required=True, metavar="FILE", help="TSVs of layer-profile")
    parser.add_argument("--measure", help="measure to draw (the first profile's first)")
    parser.add_argument("--means", type=file, metavar="FILE", help="TSV of aggregate: draws BM25's level")
    parser.add_argument("--variant", type=label, default="base", help="variant of the level (%(default)s)")
    _add_figure(parser)


def run_plot_depth(options: argparse.Namespace) -> None:
    """Draw layer profiles of several models and collections on relative depth, a panel a collection."""
    from layerrank.core import frames
    from layerrank.report.figures import inputs
    from layerrank.report.figures.depth import draw_depth

    profiles = frames.read_frames(options.profiles, frames.PROFILE, (*frames.CELL, "measure", "layer"))
    profiles = inputs.only_measure(profiles, options.measure, options.profiles[0])
    measure = str(profiles["measure"].iloc[0])
    levels = inputs.read_first_stage(options.means, measure, options.variant) if options.means else {}
    figure = draw_depth(profiles, levels, title=options.title)
    _save(options, figure)


def add_plot_effectiveness(parser: argparse.ArgumentParser) -> None:
    _add_means(parser)
    parser.add_argument("--baseline", default="bm25", help="system at the vertical line (%(default)s)")
    _add_figure(parser)


def run_plot_effectiveness(options: argparse.Namespace) -> None:
    """Draw every system's mean and interval by collection, against a baseline."""
    from layerrank.report.figures import inputs
    from layerrank.report.figures.effectiveness import draw_effectiveness

    means = inputs.read_means(options.means, options.measure, options.collections, options.models, options.variant)
    figure = draw_effectiveness(
        means,
        baseline=options.baseline,
        title=options.title,
    )
    _save(options, figure)


def add_plot_diagnostics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--position", type=file, metavar="FILE", help="TSV of score by place, from diagnose")
    parser.add_argument("--length", type=file, metavar="FILE", help="TSV of score by length, from diagnose")
    _add_figure(parser)


def run_plot_diagnostics(options: argparse.Namespace) -> None:
    """Draw whether scores follow the place in the prompt or the length of the passage."""
    from layerrank.core import frames
    from layerrank.core.errors import UserError
    from layerrank.report.figures.diagnostics import draw_diagnostics

    if options.position is None and options.length is None:
        raise UserError("nothing to draw: name --position, --length or both")
    tables = [
        frames.read_frame(path, columns) if path else None
        for path, columns in ((options.position, frames.POSITION), (options.length, frames.LENGTH))
    ]
    _save(options, draw_diagnostics(*tables, title=options.title))


def add_plot_latency(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--table",
        type=file,
        nargs="+",
        required=True,
        metavar="FILE",
        help="TSV of measure-latency, and of measure-trained on the same queries",
    )
    _add_figure(parser)


def run_plot_latency(options: argparse.Namespace) -> None:
    """Draw where the time of a query goes: medians of the stages, stacked by system."""
    from layerrank.core import frames
    from layerrank.report.figures.latency import draw_latency

    table = frames.read_frames(options.table, frames.LATENCY)
    _save(options, draw_latency(table, title=options.title))


def add_plot_neighbours(parser: argparse.ArgumentParser) -> None:
    _add_table(parser, "--table", "layer-shape's neighbours")


def run_plot_neighbours(options: argparse.Namespace) -> None:
    """Draw how alike neighbouring layers rank: Kendall's tau by layer."""
    from layerrank.core import frames
    from layerrank.report.figures.neighbours import draw_neighbours

    table = frames.read_frame(options.table, frames.NEIGHBOURS)
    _save(options, draw_neighbours(table, title=options.title))


def add_plot_transfer(parser: argparse.ArgumentParser) -> None:
    _add_table(parser, "--table", "transfer")
    parser.add_argument("--measure", default="", help="measure of the regret, for the colour bar")


def run_plot_transfer(options: argparse.Namespace) -> None:
    """Draw what windows lose that were chosen elsewhere: the matrix of regret against the oracle."""
    from layerrank.core import frames
    from layerrank.report.figures.transfer import draw_transfer

    table = frames.read_frame(options.table, frames.TRANSFER)
    figure = draw_transfer(table, measure=options.measure, title=options.title)
    _save(options, figure)


def add_plot_shares(parser: argparse.ArgumentParser) -> None:
    _add_table(parser, "--orders", "sweep-orders")


def run_plot_shares(options: argparse.Namespace) -> None:
    """Draw what scores owe to passage and to place, layer by layer, with the measure over them."""
    from layerrank.core import frames
    from layerrank.report.figures.orders import draw_shares

    _save(options, draw_shares(frames.read_frame(options.orders, frames.ORDERS), title=options.title))


def add_plot_stability(parser: argparse.ArgumentParser) -> None:
    _add_table(parser, "--orders", "sweep-orders")


def run_plot_stability(options: argparse.Namespace) -> None:
    """Draw the measure and the stability of every window over input orders."""
    from layerrank.core import frames
    from layerrank.report.figures.orders import draw_stability

    _save(options, draw_stability(frames.read_frame(options.orders, frames.ORDERS), title=options.title))


def add_plot_slopes(parser: argparse.ArgumentParser) -> None:
    _add_table(parser, "--by-order", "evaluate-orders")


def run_plot_slopes(options: argparse.Namespace) -> None:
    """Draw each window's measure from order to order."""
    from layerrank.core import frames
    from layerrank.report.figures.orders import draw_slopes

    _save(options, draw_slopes(frames.read_frame(options.by_order, frames.BY_ORDER), title=options.title))
