"""Rank candidates with one framework and one mechanism, the model at hand: a TREC run and what it cost, query by query.

Candidates are those of a study (--candidates) or any TREC run with its texts (--run, --topics, --passages). A run that
was ended goes on from the queries that it had finished.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import KEEP_HELP, json_object
from layerrank.core import sampling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--candidates", type=Path, help="candidates of make-candidates")
    source.add_argument("--run", type=Path, help="a TREC run to re-rank, with --topics and --passages")
    parser.add_argument("--topics", type=Path, help="queries of --run: JSON lines {qid or _id, text}")
    parser.add_argument(
        "--passages", type=Path, help="texts of --run: JSON lines {pid or _id, text, title}, may be .gz"
    )
    parser.add_argument("--depth", type=int, default=100, help="candidates of --run for a query (default: %(default)s)")
    parser.add_argument("--words", type=int, help="words of a text of --run to keep (default: all)")
    parser.add_argument("--model", required=True, type=Path, help="model folder")
    parser.add_argument("--framework", required=True, help="pointwise, pairwise, setwise or listwise")
    parser.add_argument("--framework-settings", type=json_object, default={}, metavar="JSON", help="its settings")
    parser.add_argument("--mechanism", required=True, help="generation, likelihood or attention")
    parser.add_argument("--mechanism-settings", type=json_object, default={}, metavar="JSON", help="its settings")
    parser.add_argument(
        "--window", default="all", help="attention: all, L10-13 or selected-RULE (default: %(default)s)"
    )
    parser.add_argument("--selection", type=Path, help="attention: the file of a selected window")
    parser.add_argument("--family", help="attention: prompt family (default: the one that fits the chat template)")
    parser.add_argument("--instruction", default="IE", help="attention: IE or QA (default: %(default)s)")
    parser.add_argument("--query-span", help="attention: instruction_to_end or query_only (default: the family's)")
    parser.add_argument("--dtype", default="float32", help="float32 or bfloat16 (default: %(default)s)")
    parser.add_argument("--device", help="such as cpu or cuda:1 (default: the first CUDA device, else the processor)")
    parser.add_argument("--batch-tokens", type=int, default=8192, help="tokens of one batch (default: %(default)s)")
    parser.add_argument("--queries-at-once", type=int, default=64, help="queries side by side (default: %(default)s)")
    parser.add_argument(
        "--max-failure-rate",
        type=float,
        default=1.0,
        help="share of answers that may be other than well-formed, unless the mechanism's settings say (default: 1)",
    )
    parser.add_argument("--shard", type=int, default=0, metavar="I", help="which part of the queries, from 0")
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="number of parts (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help=KEEP_HELP)
    parser.add_argument("--tag", help="name of the system in the run (default: framework-mechanism)")
    parser.add_argument("--output", required=True, type=Path, help="TREC run to write")
    parser.add_argument("--costs", type=Path, help="costs to write, JSON lines (default: OUTPUT with .costs.jsonl)")


def run(options: argparse.Namespace) -> None:
    from layerrank.core import files
    from layerrank.core.errors import UserError
    from layerrank.first_stage.candidates import candidates_of_run
    from layerrank.ranking import cells
    from layerrank.ranking import run as ranking
    from layerrank.study.code import code_digest

    if options.run is None:
        rows = files.read_candidates(options.candidates)
    elif options.topics is None or options.passages is None:
        raise UserError("--run needs --topics and --passages")
    else:
        rows = candidates_of_run(
            options.run, options.topics, options.passages, depth=options.depth, words=options.words
        )
    rows = sampling.shard_of(rows, options.shard, options.shards)
    tag = options.tag or f"{options.framework}-{options.mechanism}"
    cell = cells.make_cell(
        options.model,
        [row.query.qid for row in rows],
        framework=options.framework,
        framework_settings=options.framework_settings,
        mechanism=options.mechanism,
        mechanism_settings=options.mechanism_settings,
        window=options.window,
        selection=options.selection,
        family=options.family,
        instruction=options.instruction,
        query_span=options.query_span,
        max_failure_rate=options.max_failure_rate,
        name=tag,
    )
    ranking.rerank(
        rows,
        cell,
        options.model,
        output=options.output,
        costs=options.costs or options.output.with_suffix(".costs.jsonl"),
        tag=tag,
        dtype=options.dtype,
        device=options.device,
        batch_tokens=options.batch_tokens,
        queries_at_once=options.queries_at_once,
        code=code_digest("rerank"),
        keep=options.keep,
    )
