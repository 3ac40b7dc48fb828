"""Commands about a whole study: its plan and its manifest."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerrank.commands.arguments import (
    file,
    folder,
    json_object,
    named_file,
    named_folder,
    new_file,
    new_folder,
    number,
)


def add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=file, nargs="+", default=[], metavar="FILE", help="study files, later ones over earlier"
    )
    parser.add_argument("--all", action="store_true", help="count finished jobs as well")
    parser.add_argument(
        "--by",
        default="rule",
        choices=("rule", "system", "model", "collection"),
        metavar="WHAT",
        help="lines by rule, system, model or collection (default: %(default)s)",
    )
    parser.add_argument(
        "--tflops", type=number(0, above=True), default=312.0, help="peak of one GPU in bfloat16, TFLOP/s"
    )
    parser.add_argument(
        "--bandwidth", type=number(0, above=True), default=2.0, help="memory bandwidth of one GPU, TB/s"
    )
    parser.add_argument(
        "--utilisation", type=number(0, 1, above=True), default=0.4, help="share of the peak that long prompts reach"
    )
    parser.add_argument(
        "--widths", action="store_true", help="half the width of intervals of paired differences, by collection"
    )
    parser.add_argument(
        "--half-width", type=number(0, above=True), metavar="W", help="queries that such a half-width takes"
    )
    parser.add_argument(
        "--measured", type=file, nargs="+", metavar="FILE", help="evaluation/<variant>.tsv of a finished study"
    )
    parser.add_argument(
        "--deviation",
        type=number(0, above=True),
        metavar="S",
        help="standard deviation of a difference from query to query, where none was measured (default: 0.2)",
    )
    parser.add_argument(
        "--budget", type=number(0, above=True), metavar="HOURS", help="queries by collection for so many GPU hours"
    )
    parser.add_argument("--write", type=new_file, metavar="FILE", help="the study that --budget proposes (YAML)")


def run_plan(options: argparse.Namespace) -> None:
    """Print a study's jobs and estimated GPU hours, and how wide its intervals come out, without running anything.

    With --budget: numbers of queries that make the widest interval as narrow as so many hours can.
    """
    from layerrank.core.errors import UserError
    from layerrank.study import budget
    from layerrank.study.plan import Gpu, beyond_context, dry_run, estimate, merged_config, read_study, table

    if options.write and options.budget is None:
        raise UserError("--write: goes with --budget")
    gpu = Gpu(options.tflops, options.bandwidth, options.utilisation)
    study = read_study(options.configfile)
    jobs = dry_run(options.configfile, everything=options.all or options.budget is not None)
    print(table(estimate(study, jobs, gpu, options.by), options.by))
    print(f"on GPUs of {gpu.tflops:g} TFLOP/s and {gpu.bandwidth:g} TB/s; how it is reckoned: docs/clusters.md")
    if options.widths or options.half_width or options.measured or options.deviation or options.budget is not None:
        measure = study.config["evaluation"]["measures"][0]
        known = budget.measured_deviations(options.measured, measure) if options.measured else {}
        if options.deviation is not None:
            known[""] = options.deviation
        found = (
            budget.shares(study, jobs, known, gpu)
            if options.budget is None
            else budget.within(options.budget, study, jobs, known, gpu)
        )
        print(f"\n{budget.table(found, options.half_width)}")
        print(f"half-widths of 95 % intervals of paired differences in {measure}, to be expected; {_deviations(known)}")
        if options.write:
            fewer = {share.collection: share.queries for share in found if share.queries < share.most}
            _write_study(options.write, merged_config(options.configfile), fewer)
    for model, collections in beyond_context(study).items():
        print(f"prompts probably longer than {model} reads (passages.shorter, leave_out): {', '.join(collections)}")


def _deviations(known: Mapping[str, float]) -> str:
    """What a table of widths is reckoned with."""
    from layerrank.study.budget import ASSUMED

    measured = ", ".join(f"{name} {value:.3f}" for name, value in known.items() if name)
    others = f"{'others: ' if measured else ''}{known.get('', ASSUMED):.3f}"
    return f"deviation from query to query: {f'measured on {measured}; ' if measured else ''}{others}"


def _write_study(path: Path, config: dict[str, Any], fewer: Mapping[str, int]) -> None:
    """The study with `queries.fewer`, as a file that Snakemake reads."""
    import yaml

    from layerrank.core.files import write_text

    config["queries"] = {**config.get("queries", {}), "fewer": dict(fewer)}
    write_text(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", type=folder, default=Path("results"), metavar="DIR", help="of a finished study (default: results)"
    )
    parser.add_argument("--output", type=new_folder, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--tolerance",
        type=number(0),
        default=0.001,
        metavar="X",
        help="how far a fresh run's figures may be from those stated (default: %(default)s)",
    )
    parser.add_argument(
        "--ir-metadata", action="store_true", help="a header of ir_metadata before each run, from the manifest"
    )


def run_export(options: argparse.Namespace) -> None:
    """Make a folder to publish: candidates, judgements, runs, costs, manifest, and a page with the figures expected."""
    from layerrank.study.export import export

    runs = export(options.results, options.output, tolerance=options.tolerance, ir_metadata=options.ir_metadata)
    print(f"{options.output}: {runs} runs; `layerrank verify {options.output}` computes their figures again")


def add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=folder, metavar="FOLDER", help="folder of `layerrank export`")
    parser.add_argument(
        "--against", type=folder, metavar="DIR", help="results of a fresh run, in place of the folder's own runs"
    )


def run_verify(options: argparse.Namespace) -> None:
    """Check an exported folder: its files and, computed again from runs and judgements, its figures; or a fresh run.

    What does not hold is said in one line, and the exit code is 2.
    """
    from layerrank.study import export

    if options.against is None:
        found, what = export.verify(options.folder), "computed again from runs and judgements"
    else:
        found, what = export.verify_against(options.folder, options.against), f"of {options.against}"
    where = "" if found.difference == 0 else f", at {found.at[3]} on {found.at[0]}, {found.at[4]}"
    print(f"{options.folder}: {found.figures} figures {what} hold, {found.difference:.6f} off at most{where}")


def add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--study",
        type=json_object,
        required=True,
        metavar="JSON",
        help="config and the catalogue entries that it names",
    )
    parser.add_argument(
        "--collections", type=named_file, nargs="*", default=[], metavar="NAME=FILE", help="their collection.json"
    )
    parser.add_argument(
        "--first-stages", type=named_file, nargs="*", default=[], metavar="NAME=FILE", help="their counts of retrieve"
    )
    parser.add_argument(
        "--models", type=named_folder, nargs="*", default=[], metavar="NAME=FOLDER", help="folders of fetch-model"
    )
    parser.add_argument(
        "--trials", type=named_file, nargs="*", default=[], metavar="NAME=FILE", help="trials of those that are served"
    )
    parser.add_argument("--signals", type=file, nargs="*", default=[], metavar="FILE", help="stored signals")
    parser.add_argument("--files", type=file, nargs="*", default=[], metavar="FILE", help="results to digest")
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="the manifest (JSON)")
    parser.add_argument("--provenance", type=new_file, metavar="FILE", help="the same for readers (TSV)")


def run_manifest(options: argparse.Namespace) -> None:
    """Write what a study ran on and what came out: commit, versions, configuration, revisions, devices, digests."""
    from layerrank.attention import store
    from layerrank.core import files
    from layerrank.core.errors import UserError
    from layerrank.study import manifest

    collections = {name: files.read_object(path) for name, path in options.collections}
    for name, path in options.first_stages:
        if name not in collections:
            raise UserError(f"--first-stages: {name!r}: --collections has no such name")
        collections[name]["retrieved"] = files.read_object(path)
    models = {name: files.read_object(folder / files.MODEL_RECORD) for name, folder in options.models}
    for name, path in options.trials:
        if name not in models:
            raise UserError(f"--trials: {name!r}: --models has no such name")
        models[name]["server"] = files.read_object(path)
    document = manifest.manifest(
        options.study,
        collections,
        models,
        [store.read_metadata(path) for path in options.signals],
        options.files,
        Path.cwd(),
    )
    files.write_json(options.output, document)
    if options.provenance:
        lines = [("what", "value"), *manifest.provenance(document)]
        files.write_text(options.provenance, files.tsv(lines))
