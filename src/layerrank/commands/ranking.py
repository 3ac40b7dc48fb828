"""Commands that rank: with a model at hand, or from the stored signal."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands.arguments import KEEP_HELP, json_list, json_object


def add_rerank(parser: argparse.ArgumentParser) -> None:
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


def run_rerank(options: argparse.Namespace) -> None:
    """Rank candidates with one framework and one mechanism, the model at hand: a TREC run and its costs, by query.

    Candidates are those of a study (--candidates) or any TREC run with its texts (--run, --topics, --passages). A run
    that was ended goes on from the queries that it had finished.
    """
    from layerrank.core import files, sampling
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


def add_rerank_cached(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidates", type=Path, required=True, metavar="FILE", help="candidates of make-candidates")
    parser.add_argument("--signal", type=Path, nargs="+", required=True, metavar="FILE", help="stored signal, by shard")
    parser.add_argument("--window", default="all", help="all, L10-13 or selected-RULE (default: %(default)s)")
    parser.add_argument("--selection", type=Path, metavar="FILE", help="the file of a selected window")
    parser.add_argument(
        "--settings", type=json_object, default={}, metavar="JSON", help="of the attention mechanism: strategy, heads"
    )
    parser.add_argument("--strategy", metavar="NAME", help="in place of the settings' strategy")
    parser.add_argument(
        "--heads", type=json_list, metavar="JSON", help="in place of the settings' heads: [[layer, head], …]"
    )
    parser.add_argument("--tag", required=True, metavar="SYSTEM", help="name of the system in the run")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="TREC run to write")
    parser.add_argument("--costs", type=Path, required=True, metavar="FILE", help="costs to write, JSON lines")


def run_rerank_cached(options: argparse.Namespace) -> None:
    """Rank candidates by one-prompt listwise attention from the stored signal: a TREC run and its costs, with no model.

    Costs are the stored forward pass's, which read every layer; measure-latency times the pass that a window needs.
    """
    from layerrank.core import files
    from layerrank.ranking import cached

    given = {"strategy": options.strategy, "heads": options.heads}
    settings = options.settings | {key: value for key, value in given.items() if value is not None}
    strategy, heads = cached.check_settings(settings)
    rankings, costs = cached.rerank_cached(
        files.read_candidates(options.candidates),
        options.signal,
        options.window,
        selection=options.selection,
        strategy=strategy,
        heads=heads,
    )
    files.write_run(options.output, rankings, options.tag)
    files.write_costs(options.costs, costs)


def add_join_shards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="FILE", help="TREC runs, by shard")
    parser.add_argument(
        "--run-costs", type=Path, nargs="+", required=True, metavar="FILE", help="their costs, by shard"
    )
    parser.add_argument("--max-failure-rate", type=float, default=1.0, help="as of rerank, over all parts (default: 1)")
    parser.add_argument("--tag", required=True, help="name of the system in the run")
    parser.add_argument("--output", required=True, type=Path, help="TREC run to write")
    parser.add_argument("--costs", required=True, type=Path, help="costs to write, JSON lines")


def run_join_shards(options: argparse.Namespace) -> None:
    """Put the parts of a run, which jobs of their own have ranked, together."""
    from layerrank.ranking.run import join_shards

    join_shards(
        options.runs,
        options.run_costs,
        output=options.output,
        costs=options.costs,
        tag=options.tag,
        max_failure_rate=options.max_failure_rate,
    )
