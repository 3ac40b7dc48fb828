"""Commands that write the tables of a report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerrank.commands.arguments import add_variant, file, json_object, named_file, new_file, number

if TYPE_CHECKING:
    import pandas as pd

    from layerrank.core.heads import HeadSelection
    from layerrank.report.tables.describe import Table
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


def _add_frames(parser: argparse.ArgumentParser, flag: str, of: str, *, required: bool = True) -> None:
    """Add a flag that takes files, a cell of the study each; `of` says from which command."""
    nargs = "+" if required else "*"
    parser.add_argument(flag, type=file, nargs=nargs, required=required, default=[], metavar="FILE", help=of)


def _write(options: argparse.Namespace, table: Table) -> None:
    """Write a table as --outputs says."""
    from layerrank.report.tables import render

    render.write(table, options.outputs)


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
    from layerrank.report.tables import effectiveness

    found = _results(options, options.measures)
    table = effectiveness.effectiveness_table(
        found, options.measures, options.variant, options.values, caveats=options.caveats
    )
    _write(options, table)


def add_comparison_table(parser: argparse.ArgumentParser) -> None:
    _add_results(parser)
    parser.add_argument("--measures", nargs="+", required=True, metavar="MEASURE", help="measures to show")
    _add_outputs(parser)


def run_comparison_table(options: argparse.Namespace) -> None:
    """Table of paired comparisons with a baseline: differences, intervals, effect sizes, wins and losses, p-values."""
    from layerrank.report.tables import effectiveness

    found = _results(options, options.measures)
    _write(options, effectiveness.comparison_table(found, options.measures, options.variant))


def add_grid_table(parser: argparse.ArgumentParser) -> None:
    _add_results(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    _add_outputs(parser)


def run_grid_table(options: argparse.Namespace) -> None:
    """Table of frameworks by mechanisms, attention with a row for each window."""
    from layerrank.report.tables import effectiveness

    found = _results(options, [options.measure])
    _write(options, effectiveness.grid_table(found, options.measure, options.variant))


def _summaries(options: argparse.Namespace) -> pd.DataFrame:
    """The costs of systems that --costs names."""
    from layerrank.core import frames

    return frames.read_frames(options.costs, frames.SUMMARY, (*frames.CELL, "system"))


def add_cost_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--costs", "files of summarise-costs")
    _add_outputs(parser)


def run_cost_table(options: argparse.Namespace) -> None:
    """Table of what every system costs: groups, passes, tokens, seconds, answers by outcome."""
    from layerrank.report.tables.costs import cost_table

    _write(options, cost_table(_summaries(options)))


def add_outcome_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--costs", "files of summarise-costs")
    _add_outputs(parser)


def run_outcome_table(options: argparse.Namespace) -> None:
    """Table of what became of every written answer: well-formed, repaired or unparseable."""
    from layerrank.report.tables.costs import outcome_table

    _write(options, outcome_table(_summaries(options)))


def add_diagnostics_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--correlations", "from `diagnose`")
    _add_outputs(parser)


def run_diagnostics_table(options: argparse.Namespace) -> None:
    """Table of position bias and length bias: rank correlations of scores with place and with length."""
    from layerrank.core import frames
    from layerrank.report.tables.diagnostics import diagnostics_table

    correlations = frames.read_frames(options.correlations, frames.CORRELATION)
    _write(options, diagnostics_table(correlations))


def add_sensitivity_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--differences", type=file, required=True, metavar="FILE", help="TSV of `sensitivity`")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    parser.add_argument("--variants", type=json_object, required=True, metavar="JSON", help="settings by variant")
    _add_outputs(parser)


def run_sensitivity_table(options: argparse.Namespace) -> None:
    """Table of what variants of a study change: rows variants, columns systems."""
    from layerrank.core import frames
    from layerrank.report.tables.sensitivity import sensitivity_table

    differences = frames.read_frame(options.differences, frames.SENSITIVITY)
    _write(options, sensitivity_table(differences, options.measure, options.variants))


def add_audit_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--audits", "audits of evaluate")
    _add_outputs(parser)


def run_audit_table(options: argparse.Namespace) -> None:
    """Table of what means may owe to ties and to passages that nobody judged."""
    from layerrank.core import frames
    from layerrank.report.tables.audit import audit_table

    audits = frames.read_frames(options.audits, frames.AUDIT, (*frames.CELL, "system", "measure"))
    _write(options, audit_table(audits))


def add_published_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    _add_frames(parser, "--profiles", "from layer-profile", required=False)
    add_variant(parser)
    _add_outputs(parser)


def run_published_table(options: argparse.Namespace) -> None:
    """Table of published figures against measured ones, where a study has both."""
    from layerrank.core import frames
    from layerrank.report.tables.published import published_table

    profiles = frames.read_frames(options.profiles, frames.PROFILE, (*frames.CELL, "measure", "layer"))
    _write(options, published_table(frames.read_means([options.means]), profiles, options.variant))


def add_orders_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--windows", "tables of evaluate-orders")
    parser.add_argument("--comparisons", type=file, required=True, metavar="FILE", help="TSV of `compare`")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    _add_test(parser)
    _add_outputs(parser)


def run_orders_table(options: argparse.Namespace) -> None:
    """Table of windows over input orders: what they owe to place, how stable they are, whether a remedy helps."""
    from layerrank.core import frames
    from layerrank.report.tables import orders
    from layerrank.report.tables.effectiveness import Marks

    windows = frames.read_frames(options.windows, frames.WINDOW_ORDERS, (*frames.CELL, "kind", "window"))
    comparisons = frames.read_comparisons([options.comparisons])
    marks = Marks("", options.test, options.alpha)
    _write(options, orders.orders_table(windows, comparisons, options.measure, marks))


def add_heads_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--means", type=file, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument("--comparisons", type=file, required=True, metavar="FILE", help="TSV of `compare`")
    _add_frames(parser, "--costs", "files of `summarise-costs`")
    _add_frames(parser, "--over-orders", "tables of evaluate-orders", required=False)
    _add_chosen(parser)
    add_variant(parser)
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="measure to show")
    _add_test(parser)
    _add_outputs(parser)


def run_heads_table(options: argparse.Namespace) -> None:
    """Table of windows, heads, and heads within a window: what each ranks at which work, with paired tests."""
    from layerrank.core import frames
    from layerrank.report.tables import heads
    from layerrank.report.tables.effectiveness import Marks

    table = heads.heads_table(
        frames.read_means([options.means]),
        frames.read_comparisons([options.comparisons]),
        frames.read_frames(options.costs, frames.SUMMARY),
        _chosen(options),
        options.measure,
        Marks("", options.test, options.alpha),
        frames.read_frames(options.over_orders, frames.WINDOW_ORDERS) if options.over_orders else None,
        options.variant,
    )
    _write(options, table)


def add_head_agreement_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agreement", type=file, required=True, metavar="FILE", help="TSV of agree-heads")
    _add_outputs(parser)


def run_head_agreement_table(options: argparse.Namespace) -> None:
    """Table of how far sets of heads agree, against chance."""
    from layerrank.core import frames
    from layerrank.report.tables import heads

    _write(options, heads.agreement_table(frames.read_frame(options.agreement, frames.HEAD_AGREEMENT)))


def add_head_transfer_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--transfer", "tables of transfer-heads")
    _add_outputs(parser)


def run_head_transfer_table(options: argparse.Namespace) -> None:
    """Table of what heads rank that were chosen on another collection."""
    from layerrank.core import frames
    from layerrank.report.tables import heads

    _write(options, heads.head_transfer_table(frames.read_frames(options.transfer, frames.HEAD_TRANSFER)))


def _add_chosen(parser: argparse.ArgumentParser) -> None:
    """Add --chosen: files of `choose-heads` by model."""
    parser.add_argument(
        "--chosen", type=named_file, nargs="+", required=True, metavar="MODEL=FILE", help="files of choose-heads"
    )


def _chosen(options: argparse.Namespace) -> dict[tuple[str, str, str], HeadSelection]:
    """What `_add_chosen` added, by collection, model and rule."""
    from layerrank.core.heads import read_head_selection

    read = [(model, read_head_selection(path)) for model, path in options.chosen]
    return {(found.collection, model, found.rule): found for model, found in read}


def add_selection_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--selections", "from select-window")
    _add_frames(parser, "--over-orders", "tables of evaluate-orders", required=False)
    _add_outputs(parser)


def run_selection_table(options: argparse.Namespace) -> None:
    """Table of the windows chosen: by which rule, on what, and what the choice lost against the oracle."""
    from layerrank.core import frames
    from layerrank.core.windows import read_selection
    from layerrank.report.tables.layers import selection_table

    selections = [read_selection(path) for path in options.selections]
    windows = frames.read_frames(options.over_orders, frames.WINDOW_ORDERS) if options.over_orders else None
    _write(options, selection_table(selections, windows))


def add_shape_table(parser: argparse.ArgumentParser) -> None:
    _add_frames(parser, "--shapes", "files of layer-shape")
    _add_outputs(parser)


def run_shape_table(options: argparse.Namespace) -> None:
    """Table of the shapes of layer profiles, with the held-out differences that they rest on and each curve's fit."""
    from layerrank.core import frames
    from layerrank.report.tables.layers import shape_table

    shapes = frames.read_frames(options.shapes, frames.SHAPE, (*frames.CELL, "measure"))
    _write(options, shape_table(shapes))


def add_transfer_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", type=file, required=True, metavar="FILE", help="TSV of `transfer`")
    parser.add_argument("--title", default="", help="what the matrix is of, such as a model: joins the title")
    _add_outputs(parser)


def run_transfer_table(options: argparse.Namespace) -> None:
    """Table of what windows lose that were chosen elsewhere: the matrix of regret against the oracle."""
    from layerrank.core import frames
    from layerrank.core.frames import TRANSFER
    from layerrank.report.tables.layers import transfer_table

    _write(options, transfer_table(frames.read_frame(options.table, TRANSFER), options.title))
