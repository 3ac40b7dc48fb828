"""Commands of the first stage: index, retrieval, its check, and the candidates that all systems re-rank."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_qrels,
    add_threads,
    file,
    folder,
    json_object,
    new_file,
    new_folder,
    number,
    whole,
)


def add_build_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", required=True, type=folder, help="folder of prepare-collection")
    parser.add_argument("--cache", required=True, type=new_folder, help="folder of downloads, shared between studies")
    add_threads(parser, "index")
    parser.add_argument("--output", required=True, type=new_folder, help="folder to write to")


def run_build_index(options: argparse.Namespace) -> None:
    """Build the Lucene index of a prepared collection, or fetch the ready one that its source names."""
    from layerrank.collections import prepared
    from layerrank.first_stage import bm25

    bm25.build_index(prepared.load(options.collection), options.cache, options.threads, options.output)


def add_retrieve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", required=True, type=folder, help="folder of prepare-collection")
    parser.add_argument("--index", required=True, type=folder, help="folder of build-index")
    parser.add_argument("--k1", type=number(0), default=0.9, help="BM25's saturation of term frequency")
    parser.add_argument("--b", type=number(0, 1), default=0.4, help="BM25's length normalisation")
    parser.add_argument("--depth", required=True, type=whole(1), help="candidates to keep for a query")
    add_threads(parser, "search")
    parser.add_argument("--output", required=True, type=new_file, help="the TREC run to write")
    parser.add_argument(
        "--passages", required=True, type=new_file, help="the retrieved texts to write (JSON lines, .gz)"
    )
    parser.add_argument("--counts", type=new_file, help="what was left out, to write as JSON")


def run_retrieve(options: argparse.Namespace) -> None:
    """Retrieve the first-stage candidates of every query with BM25, and write their run and their texts."""
    from layerrank.collections import prepared
    from layerrank.core import files
    from layerrank.first_stage import bm25
    from layerrank.first_stage.settings import Bm25

    settings = Bm25(options.k1, options.b, options.depth, options.threads)
    rankings, passages, counts = bm25.retrieve(prepared.load(options.collection), options.index, settings)
    files.write_passages(options.passages, passages)
    files.write_run(options.output, rankings, tag="bm25")
    if options.counts:
        files.write_json(options.counts, counts)


def add_check_first_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, type=file, help="first-stage run")
    add_qrels(parser)
    parser.add_argument(
        "--entry", required=True, type=json_object, metavar="JSON", help="the collection's entry of the catalogue"
    )
    parser.add_argument("--k1", required=True, type=number(0), help="BM25's k1 of the run")
    parser.add_argument("--b", required=True, type=number(0, 1), help="BM25's b of the run")
    parser.add_argument("--depth", required=True, type=whole(1), help="candidates of the run for a query")
    parser.add_argument("--policy", required=True, help="what a deviation is: error, warn or off")
    parser.add_argument("--output", required=True, type=new_file, help="the outcome, as JSON")


def run_check_first_stage(options: argparse.Namespace) -> None:
    """Hold the first stage against the figures that the catalogue expects of it."""
    from layerrank.core import files
    from layerrank.first_stage import check
    from layerrank.first_stage.settings import Bm25

    settings = Bm25(options.k1, options.b, options.depth)
    outcome = check.check(options.run, options.qrels, options.entry, settings, options.policy)
    files.write_json(options.output, outcome)


def add_make_candidates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topics", required=True, type=file, help="topics.jsonl of prepare-collection")
    parser.add_argument("--run", required=True, type=file, help="first-stage run")
    parser.add_argument("--passages", required=True, type=file, help="texts of the run's passages")
    parser.add_argument("--depth", required=True, type=whole(1), help="candidates to keep for a query")
    parser.add_argument("--words", required=True, type=whole(1), help="words to keep of a text, its title not counted")
    parser.add_argument("--order", required=True, help="input order: first-stage, reversed or shuffled")
    parser.add_argument("--seed", required=True, type=whole(0), help="seed of the shuffle")
    parser.add_argument(
        "--titles",
        choices=["true", "false", "slug"],
        default="true",
        help="whether passages keep the titles that retrieve wrote",
    )
    parser.add_argument(
        "--query-limit", type=whole(1), metavar="N", help="take a sample of so many queries (default: all)"
    )
    parser.add_argument("--query-seed", type=whole(0), default=0, help="seed of that sample")
    parser.add_argument("--output", required=True, type=new_file, help="candidates to write (JSON lines, .gz)")
    parser.add_argument("--qrels", type=file, help="judgements, to be cut to the same queries")
    parser.add_argument("--output-qrels", type=new_file, help="where to write the cut judgements")


def run_make_candidates(options: argparse.Namespace) -> None:
    """Cut the first stage to the study's depth and passage length: the one candidate list that all systems re-rank."""
    from layerrank.core import files
    from layerrank.core.errors import UserError
    from layerrank.first_stage import candidates

    queries = candidates.sample_queries(files.read_topics(options.topics), options.query_limit, options.query_seed)
    rows = candidates.make_candidates(
        queries,
        files.read_run(options.run),
        files.read_passages(options.passages),
        candidates.CandidateSettings(
            options.depth, options.words, options.order, options.seed, options.titles != "false"
        ),
    )
    if not rows:
        raise UserError(f"{options.run}: it ranks none of the {len(queries)} queries of {options.topics}")
    qrels = files.read_qrels(options.qrels) if options.qrels and options.output_qrels else None
    if qrels is not None and (unjudged := [query.qid for query in queries if query.qid not in qrels]):
        raise UserError(f"{options.qrels}: no judgement of query {unjudged[0]!r}, and of {len(unjudged) - 1} more")
    files.write_candidates(options.output, rows)
    if qrels is not None:
        files.write_qrels(options.output_qrels, {query.qid: qrels[query.qid] for query in queries})
