"""Commands that rank: with a model at hand, or from the stored signal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from layerrank.commands.arguments import (
    add_candidates,
    add_computing,
    add_keep,
    add_model,
    add_prompt,
    add_servers,
    add_shard,
    add_signal,
    file,
    json_object,
    label,
    new_file,
    number,
    prompt_of,
    whole,
)


def add_rerank(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--candidates", type=file, metavar="FILE", help="candidates of make-candidates")
    source.add_argument("--run", type=file, metavar="FILE", help="a TREC run to re-rank, with --topics and --passages")
    source.add_argument(
        "--lists", type=file, metavar="FILE", help="candidates with texts, as rank_llm and Anserini keep them"
    )
    parser.add_argument("--topics", type=file, metavar="FILE", help="queries of --run: JSON lines {qid or _id, text}")
    parser.add_argument(
        "--passages", type=file, metavar="FILE", help="texts of --run: JSON lines {pid or _id, text, title}, may be .gz"
    )
    parser.add_argument("--depth", type=whole(1), metavar="N", help="candidates of a query (default: 100)")
    parser.add_argument("--words", type=whole(1), metavar="N", help="words of a text to keep (default: all)")
    add_model(parser)
    parser.add_argument("--framework", required=True, help="pointwise, pairwise, setwise or listwise")
    parser.add_argument("--framework-settings", type=json_object, default={}, metavar="JSON", help="its settings")
    parser.add_argument("--mechanism", required=True, help="generation, likelihood or attention")
    parser.add_argument("--mechanism-settings", type=json_object, default={}, metavar="JSON", help="its settings")
    parser.add_argument(
        "--window",
        nargs="+",
        default=["all"],
        metavar="WINDOW",
        help="of attention: all, L10-13, selected-RULE or heads-RULE; several rank together, a run each (default: all)",
    )
    parser.add_argument(
        "--selection",
        type=file,
        nargs="+",
        default=[],
        metavar="FILE",
        help="of attention: the file of a selected window or of chosen heads; of several windows, in their order",
    )
    add_prompt(parser, required=False)
    add_computing(parser)
    parser.add_argument(
        "--batch-tokens", type=whole(1), default=8192, metavar="N", help="tokens of one batch (default: %(default)s)"
    )
    parser.add_argument(
        "--queries-at-once", type=whole(1), default=64, metavar="N", help="queries side by side (default: %(default)s)"
    )
    parser.add_argument(
        "--max-failure-rate",
        type=number(0, 1),
        default=1.0,
        metavar="SHARE",
        help="share of answers that may be other than well-formed, unless the mechanism's settings say (default: 1)",
    )
    add_servers(parser)
    parser.add_argument(
        "--trial", type=file, metavar="FILE", help="of try-server; another server than it tells of is refused"
    )
    add_shard(parser)
    add_keep(parser)
    parser.add_argument(
        "--keep-for-good",
        action="store_true",
        help="the same, beyond the end of a study: a window that joins later, or one that changes, is ranked alone",
    )
    parser.add_argument(
        "--tag",
        type=label,
        nargs="+",
        metavar="NAME",
        help="name of the system in the run, of each window (default: framework-mechanism, of several with the window)",
    )
    parser.add_argument(
        "--output", required=True, type=new_file, nargs="+", metavar="FILE", help="run to write, of each window"
    )
    parser.add_argument(
        "--format",
        default="trec",
        choices=("trec", "rank_llm"),
        help="of the run: TREC's, or lists with texts as rank_llm reads them, .jsonl or .json (default: %(default)s)",
    )
    parser.add_argument(
        "--costs",
        type=new_file,
        nargs="+",
        metavar="FILE",
        help="costs to write, JSON lines, of each window (default: OUTPUT with .costs.jsonl)",
    )


def run_rerank(options: argparse.Namespace) -> None:
    """Rank candidates with one framework and one mechanism, the model at hand: a run and its costs, by query.

    Candidates are those of a study (--candidates), any TREC run with its texts (--run, --topics, --passages), or lists
    with texts (--lists). A run that was ended goes on from the queries that it had finished.

    Attention in several windows (--window all L10-13) reads each group once for all of them, and writes a run and costs
    for each; --tag, --output and --costs then name one for each window.
    """
    from layerrank.core import files, sampling
    from layerrank.core.errors import UserError
    from layerrank.first_stage.candidates import candidates_of_lists, candidates_of_run
    from layerrank.ranking import cells
    from layerrank.ranking import run as ranking
    from layerrank.study.code import running_digest

    given = [flag for flag in ("topics", "passages", "depth", "words") if getattr(options, flag) is not None]
    depth = options.depth or 100
    if options.run is not None:
        if not {"topics", "passages"} <= set(given):
            raise UserError("--run needs --topics and --passages")
        rows = candidates_of_run(options.run, options.topics, options.passages, depth=depth, words=options.words)
    elif options.lists is not None:
        if given and given[0] in ("topics", "passages"):
            raise UserError(f"--{given[0]}: goes with --run, not with --lists")
        rows = candidates_of_lists(options.lists, depth=depth, words=options.words)
    else:
        if given:
            raise UserError(f"--{given[0]}: goes with --run or --lists, not with --candidates")
        rows = files.read_candidates(options.candidates)
    rows = sampling.shard_of(rows, options.shard, options.shards)
    systems = []
    for window, selection, tag, output, costs in _windows(options):
        cell = cells.make_cell(
            options.model,
            [row.query.qid for row in rows],
            framework=options.framework,
            framework_settings=options.framework_settings,
            mechanism=options.mechanism,
            mechanism_settings=options.mechanism_settings,
            window=window,
            selection=selection,
            **prompt_of(options),
            max_failure_rate=options.max_failure_rate,
            name=tag,
        )
        systems.append(ranking.System(cell, tag, output, costs))
    ranking.rerank_together(
        rows,
        systems,
        options.model,
        dtype=options.dtype,
        device=options.device,
        batch_tokens=options.batch_tokens,
        queries_at_once=options.queries_at_once,
        code=running_digest("rerank"),
        keep=options.keep,
        keep_for_good=options.keep_for_good,
        form=options.format,
        **_served(options),
    )


def _windows(options: argparse.Namespace) -> list[tuple[str, Path | None, str, Path, Path]]:
    """Of each window: its name, its selection, the system's name, its run and its costs.

    Raises `UserError` where there are not as many of one as of the other.
    """
    from layerrank.core.errors import UserError
    from layerrank.core.windows import head_rule_of, rule_of

    windows = options.window
    name = f"{options.framework}-{options.mechanism}"
    tags = options.tag or ([name] if len(windows) == 1 else [f"{name}-{window}" for window in windows])
    costs = options.costs or [output.with_suffix(".costs.jsonl") for output in options.output]
    for flag, values in (("tag", tags), ("output", options.output), ("costs", costs)):
        if len(values) != len(windows):
            raise UserError(f"--{flag}: {len(values)} for {len(windows)} windows; expected one for each")
    chosen = [window for window in windows if len(windows) == 1 or rule_of(window) or head_rule_of(window)]
    if len(options.selection) > len(chosen):
        raise UserError(f"--selection: {len(options.selection)} for {len(chosen)} windows that a rule chooses")
    selections = dict(zip(chosen, options.selection, strict=False))
    return [
        (window, selections.get(window), *others)
        for window, *others in zip(windows, tags, options.output, costs, strict=True)
    ]


def _served(options: argparse.Namespace) -> dict[str, Any]:
    """What rerank is told of a model that is served; nothing of others."""
    from layerrank.models.identity import is_served

    if not is_served(options.model):
        return {}
    from layerrank.models.client import Budget
    from layerrank.models.trial import read_trial, server_of

    return {
        "server": server_of(options.model, options.servers),
        "budget": Budget(options.spent, options.max_requests, options.max_tokens),
        "trial": options.trial and read_trial(options.trial),
    }


def add_rerank_cached(parser: argparse.ArgumentParser) -> None:
    add_candidates(parser)
    add_signal(parser)
    _add_window(parser)
    parser.add_argument(
        "--settings", type=json_object, default={}, metavar="JSON", help="of the attention mechanism: strategy, heads"
    )
    parser.add_argument("--tag", required=True, type=label, metavar="SYSTEM", help="name of the system in the run")
    parser.add_argument("--output", type=new_file, required=True, metavar="FILE", help="TREC run to write")
    parser.add_argument("--costs", type=new_file, required=True, metavar="FILE", help="costs to write, JSON lines")


def run_rerank_cached(options: argparse.Namespace) -> None:
    """Rank candidates by one-prompt listwise attention from the stored signal: a TREC run and its costs, with no model.

    Costs are the stored forward pass's, which read every layer; measure-latency times the pass that a window needs.
    """
    from layerrank.core import files
    from layerrank.ranking import cached

    strategy, heads = cached.check_settings(options.settings)
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
    parser.add_argument("--runs", type=file, nargs="+", required=True, metavar="FILE", help="TREC runs, by shard")
    parser.add_argument(
        "--run-costs", type=file, nargs="+", required=True, metavar="FILE", help="their costs, by shard"
    )
    parser.add_argument(
        "--max-failure-rate",
        type=number(0, 1),
        default=1.0,
        metavar="SHARE",
        help="as of rerank, over all parts (default: 1)",
    )
    parser.add_argument("--tag", required=True, type=label, metavar="SYSTEM", help="name of the system in the run")
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="TREC run to write")
    parser.add_argument("--costs", required=True, type=new_file, metavar="FILE", help="costs to write, JSON lines")


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


def _add_window(parser: argparse.ArgumentParser) -> None:
    """Add --window and --selection."""
    parser.add_argument(
        "--window", default="all", help="of attention: all, L10-13, selected-RULE or heads-RULE (default: %(default)s)"
    )
    parser.add_argument(
        "--selection", type=file, metavar="FILE", help="of attention: the file of a selected window or of chosen heads"
    )
