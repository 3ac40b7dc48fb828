"""Commands that write the tables of a report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerrank.commands.arguments import add_variant, file, json_object, new_file, number

if TYPE_CHECKING:
    from layerrank.report.tables.effectiveness import Results


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add --outputs: one table in the formats that the suffixes name."""
    parser.add_argument(
        "--outputs",
        type=new_file,
        nargs="+",
        required=True,
        metavar="FILE",
        help="the table as .tsv, .html, .tex or .md",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    """Add what a table of means needs: means, comparisons, and what marks significance."""
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--comparisons", type=file, required=True, metavar="FILE", help="TSV of `compare`")
    add_variant(parser)
    parser.add_argument("--baseline", default="bm25", metavar="SYSTEM", help="system that marks refer to")
    _add_test(parser)


def _add_test(parser: argparse.ArgumentParser) -> None:
    """Add what marks significance."""
    parser.add_argument(
        "--test", choices=["randomisation", "t-test"], default="randomisation", help="test of the marks"
    )
    parser.add_argument(
        "--alpha", type=number(0, 1), default=0.05, metavar="A", help="level of the marks, after correction"
    )


def _results(options: argparse.Namespace, measures: Sequence[str]) -> Results:
    """What the arguments of `add_results` name."""
    from layerrank.report.tables.effectiveness import Marks, Results

    marks = Marks(options.baseline, options.test, options.alpha)
    return Results.read(options.means, options.comparisons, measures, options.variant, marks)


def add_effectiveness_table(parser: argparse.ArgumentParser) -> None:
    _add_results(parser)
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="measures to show")
    parser.add_argument(
        "--values",
        choices=["means", "differences", "with-relevant-candidate"],
        default="means",
        help="what the cells hold (default: %(default)s)",
    )
    parser.add_argument(
        "--caveats", nargs="*", default=[], metavar="TEXT", help="what to know of judgements and models"
    )
    _add_outputs(parser)


def run_effectiveness_table(options: argparse.Namespace) -> None:
    """Table of systems by collections: means, differences from the baseline, or means where something was retrieved."""
    from layerrank.report.tables import effectiveness, render

    found = _results(options, options.measures)
    render.write(
        effectiveness.effectiveness_table(
            found, options.measures, options.variant, options.values, caveats=options.caveats
        ),
        options.outputs,
    )


def add_comparison_table(parser: argparse.ArgumentParser) -> None:
    _add_results(parser)
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="measures to show")
    _add_outputs(parser)


def run_comparison_table(options: argparse.Namespace) -> None:
    """Table of paired comparisons with a baseline: differences, intervals, effect sizes, wins and losses, p-values."""
    from layerrank.report.tables import effectiveness, render

    found = _results(options, options.measures)
    render.write(effectiveness.comparison_table(found, options.measures, options.variant), options.outputs)


def add_grid_table(parser: argparse.ArgumentParser) -> None:
    _add_results(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    _add_outputs(parser)


def run_grid_table(options: argparse.Namespace) -> None:
    """Table of frameworks by mechanisms, attention with a row for each window."""
    from layerrank.report.tables import effectiveness, render

    found = _results(options, [options.measure])
    render.write(effectiveness.grid_table(found, options.measure, options.variant), options.outputs)


def add_cost_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--costs", type=file, nargs="+", required=True, metavar="FILE", help="files of summarise-costs")
    _add_outputs(parser)


def run_cost_table(options: argparse.Namespace) -> None:
    """Table of what every system costs: groups, passes, tokens, seconds, answers by outcome."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.costs import cost_table

    summaries = frames.read_frames(options.costs, frames.SUMMARY, (*frames.CELL, "system"))
    render.write(cost_table(summaries), options.outputs)


def add_outcome_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--costs", type=file, nargs="+", required=True, metavar="FILE", help="files of summarise-costs")
    _add_outputs(parser)


def run_outcome_table(options: argparse.Namespace) -> None:
    """Table of what became of every written answer: well-formed, repaired or unparseable."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.costs import outcome_table

    summaries = frames.read_frames(options.costs, frames.SUMMARY, (*frames.CELL, "system"))
    render.write(outcome_table(summaries), options.outputs)


def add_diagnostics_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--correlations", type=file, nargs="+", required=True, metavar="FILE", help="from `diagnose`")
    _add_outputs(parser)


def run_diagnostics_table(options: argparse.Namespace) -> None:
    """Table of position bias and length bias: rank correlations of scores with place and with length."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.diagnostics import diagnostics_table

    correlations = frames.read_frames(options.correlations, frames.CORRELATION)
    render.write(diagnostics_table(correlations), options.outputs)


def add_sensitivity_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--differences", type=file, required=True, metavar="FILE", help="TSV of `sensitivity`")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    parser.add_argument("--variants", type=json_object, required=True, metavar="JSON", help="settings by variant")
    _add_outputs(parser)


def run_sensitivity_table(options: argparse.Namespace) -> None:
    """Table of what variants of a study change: rows variants, columns systems."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.sensitivity import sensitivity_table

    differences = frames.read_frame(options.differences, frames.SENSITIVITY)
    render.write(sensitivity_table(differences, options.measure, options.variants), options.outputs)


def add_audit_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audits", type=file, nargs="+", required=True, metavar="FILE", help="audits of evaluate")
    _add_outputs(parser)


def run_audit_table(options: argparse.Namespace) -> None:
    """Table of what means may owe to ties and to passages that nobody judged."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.audit import audit_table

    audits = frames.read_frames(options.audits, frames.AUDIT, (*frames.CELL, "system", "measure"))
    render.write(audit_table(audits), options.outputs)


def add_published_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--profiles", type=file, nargs="*", default=[], metavar="FILE", help="from layer-profile")
    add_variant(parser)
    _add_outputs(parser)


def run_published_table(options: argparse.Namespace) -> None:
    """Table of published figures against measured ones, where a study has both."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.published import published_table

    profiles = frames.read_frames(options.profiles, frames.PROFILE, (*frames.CELL, "measure", "layer"))
    render.write(published_table(frames.read_means([options.means]), profiles, options.variant), options.outputs)


def add_orders_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--windows", type=file, nargs="+", required=True, metavar="FILE", help="tables of evaluate-orders"
    )
    parser.add_argument("--comparisons", type=file, required=True, metavar="FILE", help="TSV of `compare`")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    _add_test(parser)
    _add_outputs(parser)


def run_orders_table(options: argparse.Namespace) -> None:
    """Table of windows over input orders: what they owe to place, how stable they are, whether a remedy helps."""
    from layerrank.core import frames
    from layerrank.report.tables import orders, render
    from layerrank.report.tables.effectiveness import Marks

    windows = frames.read_frames(options.windows, frames.WINDOW_ORDERS, (*frames.CELL, "kind", "window"))
    comparisons = frames.read_comparisons([options.comparisons])
    marks = Marks("", options.test, options.alpha)
    render.write(orders.orders_table(windows, comparisons, options.measure, marks), options.outputs)


def add_selection_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--selections", type=file, nargs="+", required=True, metavar="FILE", help="from select-window")
    parser.add_argument(
        "--over-orders", type=file, nargs="*", default=[], metavar="FILE", help="tables of evaluate-orders"
    )
    _add_outputs(parser)


def run_selection_table(options: argparse.Namespace) -> None:
    """Table of the windows chosen: by which rule, on what, and what the choice lost against the oracle."""
    from layerrank.core import frames
    from layerrank.core.windows import read_selection
    from layerrank.report.tables import render
    from layerrank.report.tables.layers import selection_table

    selections = [read_selection(path) for path in options.selections]
    windows = frames.read_frames(options.over_orders, frames.WINDOW_ORDERS) if options.over_orders else None
    render.write(selection_table(selections, windows), options.outputs)


def add_shape_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", type=file, nargs="+", required=True, metavar="FILE", help="files of layer-shape")
    _add_outputs(parser)


def run_shape_table(options: argparse.Namespace) -> None:
    """Table of the shapes of layer profiles, with the held-out differences that they rest on and each curve's fit."""
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.layers import shape_table

    shapes = frames.read_frames(options.shapes, frames.SHAPE, (*frames.CELL, "measure"))
    render.write(shape_table(shapes), options.outputs)


def add_transfer_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=file, required=True, metavar="FILE", help="TSV of `transfer`")
    parser.add_argument("--title", default="", help="what the matrix is of, such as a model: joins the title")
    _add_outputs(parser)


def run_transfer_table(options: argparse.Namespace) -> None:
    """Table of what windows lose that were chosen elsewhere: the matrix of regret against the oracle."""
    from layerrank.core import frames
    from layerrank.core.frames import TRANSFER
    from layerrank.report.tables import render
    from layerrank.report.tables.layers import transfer_table

    render.write(transfer_table(frames.read_frame(options.table, TRANSFER), options.title), options.outputs)
