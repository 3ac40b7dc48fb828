"""Commands about a whole study: its plan and its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands.arguments import file, json_object, named_file, named_folder, new_file, number


def add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--configfile", type=file, nargs="+", default=[], metavar="FILE", help="study files, later ones over earlier"
    )
    parser.add_argument("--all", action="store_true", help="count finished jobs as well")
    parser.add_argument(
        "--tflops", type=number(0, above=True), default=312.0, help="peak of one GPU in bfloat16, TFLOP/s"
    )
    parser.add_argument(
        "--bandwidth", type=number(0, above=True), default=2.0, help="memory bandwidth of one GPU, TB/s"
    )
    parser.add_argument(
        "--utilisation", type=number(0, 1, above=True), default=0.4, help="share of the peak that long prompts reach"
    )


def run_plan(options: argparse.Namespace) -> None:
    """Print a study's jobs by rule and estimated GPU hours, without running anything."""
    from layerrank.study.plan import Gpu, beyond_context, plan, read_study, table

    gpu = Gpu(options.tflops, options.bandwidth, options.utilisation)
    print(table(plan(options.configfile, gpu, everything=options.all)))
    print(f"on GPUs of {gpu.tflops:g} TFLOP/s and {gpu.bandwidth:g} TB/s; how it is reckoned: docs/clusters.md")
    for model, collections in beyond_context(read_study(options.configfile)).items():
        print(f"prompts probably longer than {model} reads (passages.shorter, leave_out): {', '.join(collections)}")


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
