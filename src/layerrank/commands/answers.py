"""Commands that write a report's answers: one page of words, a table and a figure."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from layerrank.commands.arguments import add_links, add_variant, file, label, new_file, number

if TYPE_CHECKING:
    from layerrank.report.tables.effectiveness import Marks


def _add_values(parser: argparse.ArgumentParser) -> None:
    """Add what an answer is made from, and what is called significant."""
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--comparisons", type=file, required=True, metavar="FILE", help="TSV of `compare`")
    parser.add_argument(
        "--costs", type=file, nargs="+", required=True, metavar="FILE", help="files of `summarise-costs`"
    )
    add_variant(parser)
    _add_marks(parser)


def _add_marks(parser: argparse.ArgumentParser, *, measure: bool = True) -> None:
    """Add the measure (needed or not), what is called significant, the figure and the page."""
    parser.add_argument("--measure", required=measure, help="the measure to compare by")
    parser.add_argument(
        "--test", choices=["randomisation", "t-test"], default="randomisation", help="test of the marks"
    )
    parser.add_argument(
        "--alpha", type=number(0, 1), default=0.05, metavar="A", help="level of the marks, after correction"
    )
    _add_page(parser)


def _add_page(parser: argparse.ArgumentParser) -> None:
    """Add the figure, the links and the page."""
    parser.add_argument("--figure", type=file, required=True, metavar="FILE", help="SVG to show")
    add_links(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="HTML page to write")


def _marks(options: argparse.Namespace) -> Marks:
    """What the arguments say of significance."""
    from layerrank.report.tables.effectiveness import Marks

    return Marks("", options.test, options.alpha)


def add_answer_mechanisms(parser: argparse.ArgumentParser) -> None:
    _add_values(parser)


def run_answer_mechanisms(options: argparse.Namespace) -> None:
    """Answer how attention compares with generation and likelihood: one page from means, tests, costs and a figure."""
    from layerrank.core import frames
    from layerrank.report.answers import page
    from layerrank.report.answers.mechanisms import mechanisms

    answer = mechanisms(
        frames.read_means([options.means]),
        frames.read_comparisons([options.comparisons]),
        frames.read_frames(options.costs, frames.SUMMARY),
        options.measure,
        options.variant,
        _marks(options),
    )
    page.write(options.output, answer, options.figure, options.links)


def add_answer_where(parser: argparse.ArgumentParser) -> None:
    for name, stage in (("--shapes", "layer-shape"), ("--profiles", "layer-profile")):
        parser.add_argument(name, type=file, nargs="+", required=True, metavar="FILE", help=f"files of {stage}")
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--measure", required=True, help="the measure that windows are chosen by")
    _add_page(parser)


def run_answer_where(options: argparse.Namespace) -> None:
    """Answer where in the layers relevance emerges: one page from shapes, profiles, means and a figure."""
    from layerrank.core import frames
    from layerrank.report.answers import page
    from layerrank.report.answers.where import where

    shapes = frames.read_frames(options.shapes, frames.SHAPE, (*frames.CELL, "measure"))
    profiles = frames.read_frames(options.profiles, frames.PROFILE, (*frames.CELL, "measure", "layer"))
    means = frames.read_means([options.means])
    page.write(options.output, where(shapes, profiles, means, options.measure), options.figure, options.links)


def add_answer_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--selections", type=file, nargs="+", required=True, metavar="FILE", help="from select-window")
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument(
        "--comparisons",
        type=file,
        nargs="*",
        default=[],
        metavar="FILE",
        help="TSV of `compare`, where heads are chosen",
    )
    parser.add_argument(
        "--heads-in", type=label, default="base", metavar="NAME", help="variant that tests heads (base)"
    )
    _add_marks(parser, measure=False)


def run_answer_choice(options: argparse.Namespace) -> None:
    """Answer which way of choosing a window holds up: one page from selections, means and a figure."""
    from layerrank.core import frames
    from layerrank.core.windows import read_selection
    from layerrank.report.answers import page
    from layerrank.report.answers.choice import choice

    selections = [read_selection(path) for path in options.selections]
    means = frames.read_means([options.means])
    heads = None
    if options.comparisons:
        heads = frames.read_comparisons(options.comparisons), options.measure, _marks(options)
    answer = choice(selections, means, heads=heads, heads_in=options.heads_in)
    page.write(options.output, answer, options.figure, options.links)


def add_answer_windows(parser: argparse.ArgumentParser) -> None:
    _add_values(parser)
    parser.add_argument(
        "--latencies", type=file, nargs="*", default=[], metavar="FILE", help="files of measure-latency"
    )
    parser.add_argument(
        "--over-orders", type=file, nargs="*", default=[], metavar="FILE", help="tables of evaluate-orders"
    )


def run_answer_windows(options: argparse.Namespace) -> None:
    """Answer what a window saves and costs: one page from means, tests, costs, measured seconds and a figure."""
    from layerrank.core import frames
    from layerrank.report.answers import page
    from layerrank.report.answers.windows import windows

    latencies = frames.read_frames(options.latencies, frames.LATENCY, (*frames.CELL, "system", "stage"))
    answer = windows(
        frames.read_means([options.means]),
        frames.read_comparisons([options.comparisons]),
        frames.read_frames(options.costs, frames.SUMMARY),
        latencies,
        options.measure,
        options.variant,
        _marks(options),
        frames.read_frames(options.over_orders, frames.WINDOW_ORDERS) if options.over_orders else None,
    )
    page.write(options.output, answer, options.figure, options.links)


def add_answer_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--orders", type=file, nargs="+", required=True, metavar="FILE", help="tables of sweep-orders")
    parser.add_argument(
        "--windows", type=file, nargs="+", required=True, metavar="FILE", help="tables of evaluate-orders"
    )
    parser.add_argument("--comparisons", type=file, required=True, metavar="FILE", help="TSV of `compare`")
    _add_marks(parser)


def run_answer_place(options: argparse.Namespace) -> None:
    """Answer whether rankings follow relevance or the place in the prompt: one page from orders, tests and a figure."""
    from layerrank.core import frames
    from layerrank.report.answers import page
    from layerrank.report.answers.place import place

    answer = place(
        frames.read_frames(options.orders, frames.ORDERS, (*frames.CELL, "start", "end")),
        frames.read_frames(options.windows, frames.WINDOW_ORDERS, (*frames.CELL, "kind", "window")),
        frames.read_comparisons([options.comparisons]),
        options.measure,
        _marks(options),
    )
    page.write(options.output, answer, options.figure, options.links)


def add_answer_caveats(parser: argparse.ArgumentParser) -> None:
    for name, stage in (("--correlations", "diagnose"), ("--audits", "evaluate"), ("--costs", "summarise-costs")):
        parser.add_argument(name, type=file, nargs="+", required=True, metavar="FILE", help=f"files of {stage}")
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--measure", required=True, help="the measure that leads the tables")
    _add_page(parser)


def run_answer_caveats(options: argparse.Namespace) -> None:
    """Answer what else could explain the figures: one page from diagnostics, audits, means, costs and a figure."""
    from layerrank.core import frames
    from layerrank.report.answers import page
    from layerrank.report.answers.caveats import caveats

    answer = caveats(
        frames.read_frames(options.correlations, frames.CORRELATION),
        frames.read_frames(options.audits, frames.AUDIT),
        frames.read_means([options.means]),
        frames.read_frames(options.costs, frames.SUMMARY),
        options.measure,
    )
    page.write(options.output, answer, options.figure, options.links)
