"""Table of published figures against measured ones, where a study has both."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import named_file, split_cell
from layerrank.commands._tables import add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--means", type=Path, required=True, metavar="FILE", help="TSV of `aggregate`")
    parser.add_argument(
        "--profiles",
        type=named_file,
        nargs="*",
        default=[],
        metavar="COLLECTION/MODEL=FILE",
        help="layer profiles, for figures of single layers",
    )
    parser.add_argument("--variant", default="base", metavar="NAME", help="variant of the study (default: %(default)s)")
    add_tables(parser)


def run(options: argparse.Namespace) -> None:
    from layerrank.core import frames
    from layerrank.report.tables import render
    from layerrank.report.tables.published import published_table

    columns = ("measure", "layer", "mean")
    profiles = {split_cell(name): frames.read_frame(path, columns) for name, path in options.profiles}
    render.write(published_table(frames.read_means([options.means]), profiles, options.variant), options.outputs)
