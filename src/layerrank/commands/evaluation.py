"""Commands that measure runs, sum up costs, and test differences."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_candidates,
    add_cell,
    add_evaluations,
    add_qrels,
    add_resampling,
    add_runs,
    add_signal,
    cell_of,
    file,
    named_file,
    new_file,
    pair,
    whole,
)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    add_qrels(parser)
    add_candidates(parser)
    add_runs(parser)
    parser.add_argument(
        "--costs", type=file, nargs="*", default=[], metavar="FILE", help="the runs' costs: all are to be of one model"
    )
    parser.add_argument(
        "--measures",
        nargs="+",
        required=True,
        metavar="MEASURE",
        help="measures in ir_measures' syntax, such as nDCG@10",
    )
    parser.add_argument(
        "--relevance-level", type=whole(1), default=1, metavar="GRADE", help="lowest relevant grade of binary measures"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=42, metavar="N", help="seed of random orders (default: %(default)s)"
    )
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV of per-query values")
    parser.add_argument("--audit", type=new_file, metavar="FILE", help="TSV of ties and of unjudged passages")


def run_evaluate(options: argparse.Namespace) -> None:
    """Measure every system of one cell query by query, with its first stage, its ceiling and controls."""
    from layerrank.core import files, frames
    from layerrank.evaluation import audit
    from layerrank.evaluation import values as evaluate

    files.costs_of_one_model(options.costs)
    measured = (
        files.read_qrels(options.qrels),
        files.read_candidates(options.candidates),
        {system: files.read_run(path) for system, path in options.runs},
        options.measures,
        options.relevance_level,
        options.seed,
    )
    values = evaluate.evaluate(*measured)
    if options.audit is not None:
        audited = frames.in_cell(audit.audit(*measured), frames.AUDIT, *cell_of(options))
        frames.write_frame(options.audit, audited)
    frame = frames.in_cell(values, frames.VALUES, *cell_of(options))
    frames.write_frame(options.output, frame, digits=8)


def add_aggregate(parser: argparse.ArgumentParser) -> None:
    add_evaluations(parser)
    add_resampling(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV of means")


def run_aggregate(options: argparse.Namespace) -> None:
    """Means over queries, with bootstrap intervals, of all evaluations of a study."""
    from layerrank.core import frames
    from layerrank.evaluation import values

    means = values.aggregate(frames.read_values(options.evaluations), options.seed, options.resamples)
    frames.write_frame(options.output, means)


def add_compare(parser: argparse.ArgumentParser) -> None:
    add_evaluations(parser)
    parser.add_argument("--baselines", nargs="+", required=True, metavar="SYSTEM", help="systems to test against")
    add_resampling(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV of comparisons")


def run_compare(options: argparse.Namespace) -> None:
    """Test every system against baselines: paired tests with Holm's correction, intervals, effect sizes, wins."""
    from layerrank.core import frames
    from layerrank.evaluation import compare

    values = frames.read_values(options.evaluations)
    comparisons = compare.compare(values, options.baselines, options.seed, options.resamples)
    frames.write_frame(options.output, comparisons, digits=8)


def add_summarise_costs(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    parser.add_argument("--costs", type=named_file, nargs="*", default=[], metavar="SYSTEM=FILE", help="costs of runs")
    parser.add_argument(
        "--trained",
        type=named_file,
        nargs="*",
        default=[],
        metavar="SYSTEM=FILE",
        help="costs of models trained to rank, each of its own weights",
    )
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV, a row a system")


def run_summarise_costs(options: argparse.Namespace) -> None:
    """Sum up the per-query costs of every system of one collection, model and variant."""
    from layerrank.core import files, frames
    from layerrank.evaluation import costs

    read = files.costs_of_one_model(path for _, path in options.costs)
    found = {system: read[path] for system, path in options.costs}
    found |= {system: files.read_costs(path) for system, path in options.trained}
    frames.write_frame(options.output, costs.summarise(found, options.collection, options.model, options.variant))


def add_sensitivity(parser: argparse.ArgumentParser) -> None:
    add_evaluations(parser)
    parser.add_argument(
        "--against",
        type=pair,
        nargs="*",
        default=[],
        metavar="VARIANT=OTHER",
        help="variants that are held against another one than base",
    )
    add_resampling(parser)
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TSV of differences")


def run_sensitivity(options: argparse.Namespace) -> None:
    """Hold every variant of a study against its base, query by query."""
    from layerrank.core import frames
    from layerrank.evaluation import sensitivity

    values = frames.read_values(options.evaluations)
    found = sensitivity.sensitivity(values, options.seed, options.resamples, dict(options.against))
    frames.write_frame(options.output, found)


def add_diagnose(parser: argparse.ArgumentParser) -> None:
    add_cell(parser)
    add_qrels(parser)
    add_candidates(parser)
    add_signal(parser)
    add_runs(parser)
    add_resampling(parser)
    parser.add_argument("--position", type=new_file, required=True, metavar="FILE", help="TSV of score by place")
    parser.add_argument("--length", type=new_file, required=True, metavar="FILE", help="TSV of score by length")
    parser.add_argument("--correlations", type=new_file, required=True, metavar="FILE", help="TSV of rank correlations")


def run_diagnose(options: argparse.Namespace) -> None:
    """Hold every system's scores against place in the prompt and against passage length."""
    from layerrank.attention import store
    from layerrank.core import files, frames
    from layerrank.evaluation import diagnostics

    scored = diagnostics.standardised_scores(
        files.read_candidates(options.candidates),
        {system: files.read_run(path) for system, path in options.runs},
        store.stored_lengths(options.signal),
        files.read_qrels(options.qrels),
    )
    for path, columns, make in (
        (options.position, frames.POSITION, diagnostics.by_place),
        (options.length, frames.LENGTH, diagnostics.by_length),
        (options.correlations, frames.CORRELATION, diagnostics.correlations),
    ):
        frame = make(scored, options.seed, options.resamples)
        frames.write_frame(path, frames.in_cell(frame, columns, *cell_of(options)))
