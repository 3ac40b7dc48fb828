"""Commands that prepare collections and check what is asked of them."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_collection,
    add_qrels,
    json_object,
    label,
    new_file,
    new_folder,
    whole,
)


def add_prepare_collection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", type=label, required=True, help="the collection's name in the catalogue")
    parser.add_argument("--entry", required=True, type=json_object, metavar="JSON", help="its entry of the catalogue")
    parser.add_argument("--cache", required=True, type=new_folder, help="folder of downloads, shared between studies")
    parser.add_argument(
        "--query-limit",
        type=_limit,
        metavar="N",
        help="take a sample of so many judged queries; None or left out: all",
    )
    parser.add_argument("--seed", required=True, type=whole(0), help="seed of that sample")
    parser.add_argument("--output", required=True, type=new_folder, help="folder to write to")


def run_prepare_collection(options: argparse.Namespace) -> None:
    """Read a collection from its source, check it, and write its topics, judgements, exclusions and description."""
    from layerrank.collections import prepared

    prepared.prepare(options.name, options.entry, options.cache, options.output, options.query_limit, options.seed)


def add_check_queries(parser: argparse.ArgumentParser) -> None:
    add_collection(parser)
    add_qrels(parser)
    parser.add_argument(
        "--asked", required=True, type=json_object, metavar="JSON", help="folds and queries of a study, by their keys"
    )
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="what there is (.json)")


def run_check_queries(options: argparse.Namespace) -> None:
    """Hold the folds and the queries that a study names against the judged queries of a collection, before any GPU."""
    from layerrank.collections.asked import check_asked
    from layerrank.core import files

    found = check_asked(options.collection, files.read_qrels(options.qrels), options.asked)
    files.write_json(options.output, found)


def _limit(text: str) -> int | None:
    """Read a number of queries, or None for all."""
    return None if text == "None" else whole(1)(text)
