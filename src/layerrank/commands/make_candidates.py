"""Cut the first stage to the study's depth and passage length: the one candidate list that all systems re-rank."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topics", required=True, type=Path, help="topics.jsonl of prepare-collection")
    parser.add_argument("--run", required=True, type=Path, help="first-stage run")
    parser.add_argument("--passages", required=True, type=Path, help="texts of the run's passages")
    parser.add_argument("--depth", required=True, type=int, help="candidates to keep for a query")
    parser.add_argument("--words", required=True, type=int, help="words to keep of a text, its title not counted")
    parser.add_argument("--order", required=True, help="input order: first-stage, reversed or shuffled")
    parser.add_argument("--seed", required=True, type=int, help="seed of the shuffle")
    parser.add_argument(
        "--titles",
        choices=["true", "false", "slug"],
        default="true",
        help="whether passages keep the titles that retrieve wrote",
    )
    parser.add_argument("--query-limit", type=int, metavar="N", help="take a sample of so many queries (default: all)")
    parser.add_argument("--query-seed", type=int, default=0, help="seed of that sample")
    parser.add_argument("--output", required=True, type=Path, help="candidates to write (JSON lines, .gz)")
    parser.add_argument("--qrels", type=Path, help="judgements, to be cut to the same queries")
    parser.add_argument("--output-qrels", type=Path, help="where to write the cut judgements")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files
    from layerrank.first_stage import candidates

    queries = candidates.sample_queries(files.read_topics(options.topics), options.query_limit, options.query_seed)
    rows = candidates.make_candidates(
        queries,
        files.read_run(options.run),
        files.read_passages(options.passages),
        candidates.Settings(options.depth, options.words, options.order, options.seed, options.titles != "false"),
    )
    files.write_candidates(options.output, rows)
    if options.qrels and options.output_qrels:
        qrels = files.read_qrels(options.qrels)
        files.write_qrels(options.output_qrels, {query.qid: qrels[query.qid] for query in queries})
