"""Write what a study ran on and what came out: commit, versions, configuration, revisions, devices, digests."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import json_object, named_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
        "--models", type=named_file, nargs="*", default=[], metavar="NAME=FOLDER", help="folders of fetch-model"
    )
    parser.add_argument("--signals", type=Path, nargs="*", default=[], metavar="FILE", help="stored signals")
    parser.add_argument("--files", type=Path, nargs="*", default=[], metavar="FILE", help="results to digest")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the manifest (JSON)")
    parser.add_argument("--provenance", type=Path, metavar="FILE", help="the same for readers (TSV)")


def run(options: argparse.Namespace) -> None:
    from layerrank.attention import store
    from layerrank.core import files
    from layerrank.study import manifest

    document = manifest.manifest(
        options.study,
        {name: files.read_json(path) for name, path in options.collections},
        {name: files.read_json(folder / files.MODEL_RECORD) for name, folder in options.models},
        [store.read_metadata(path) for path in options.signals],
        options.files,
        Path.cwd(),
    )
    files.write_json(options.output, document)
    if options.provenance:
        lines = [("what", "value"), *manifest.provenance(document)]
        files.write_text(options.provenance, "".join(f"{what}\t{value}\n" for what, value in lines))
