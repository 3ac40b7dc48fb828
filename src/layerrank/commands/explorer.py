"""Commands that write the explorer's pages."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_candidates,
    add_computing,
    add_links,
    add_model,
    add_prompt,
    add_qrels,
    add_runs,
    add_strategy,
    file,
    json_value,
    named_file,
    new_file,
    prompt_of,
    whole,
)


def add_explore(parser: argparse.ArgumentParser) -> None:
    add_candidates(parser)
    add_qrels(parser)
    parser.add_argument(
        "--signals",
        required=True,
        nargs="+",
        type=named_file,
        metavar="ORDER=FILE",
        help="stored signals, the study's own order first; a shard each",
    )
    add_runs(parser)
    parser.add_argument(
        "--windows", nargs="+", default=["all"], metavar="NAME", help="presets, the one to open with first"
    )
    parser.add_argument(
        "--selections", nargs="*", default=[], type=file, metavar="FILE", help="JSON of select-window, for the presets"
    )
    parser.add_argument("--profile", type=file, metavar="FILE", help="TSV of layer-profile")
    parser.add_argument(
        "--orders", nargs="*", default=[], type=file, metavar="FILE", help="TSV of sweep-orders: shares by layer"
    )
    add_model(parser)
    add_prompt(parser)
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="has no effect on prompts")
    parser.add_argument("--measure", required=True, metavar="MEASURE", help="the measure that is shown")
    add_strategy(parser)
    parser.add_argument(
        "--chosen",
        default='"changed"',
        type=json_value,
        metavar="JSON",
        help='"changed", "unstable", "worst", "all", or a list of queries',
    )
    parser.add_argument(
        "--queries", type=whole(1), default=50, metavar="N", help="the most that are shown (default: %(default)s)"
    )
    parser.add_argument(
        "--tokens",
        choices=("all", "calibrated"),
        default="all",
        help="tokens under query − N/A, the query and N/A alone where the signals have them, or under the first alone",
    )
    parser.add_argument("--title", default="Explorer", help="title of the page")
    parser.add_argument("--subtitle", default="", help="line below it")
    add_links(parser)
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="HTML page to write")


def run_explore(options: argparse.Namespace) -> None:
    """Write one page on which a window is dragged and the ranking follows, for some of a study's queries."""
    from pathlib import Path

    from layerrank.attention.explorer import build, page
    from layerrank.attention.store import stored_layers
    from layerrank.core import files
    from layerrank.models.folder import load_tokenizer
    from layerrank.prompts.icr import PromptSettings

    signals: dict[str, list[Path]] = {}
    for name, path in options.signals:
        signals.setdefault(name, []).append(path)
    layers = stored_layers(next(iter(signals.values())))
    sources = build.Sources(
        options.candidates,
        signals,
        options.qrels,
        dict(options.runs),
        build.presets(options.windows, options.selections, layers),
        options.measure,
        options.strategy,
        PromptSettings(**prompt_of(options)),
        options.tokens == "all",
    )
    views = build.study_views(sources, load_tokenizer(options.model), options.chosen, options.queries)
    text = page.render(
        views,
        title=options.title,
        subtitle=options.subtitle,
        measure=options.measure,
        curves=build.curves(options.profile, options.orders, options.measure, layers),
        presets=sources.presets,
        links=options.links,
    )
    files.write_text(options.output, text)


def add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query", required=True, metavar="TEXT", help="what the passages are ranked by")
    parser.add_argument(
        "--passages",
        required=True,
        type=file,
        metavar="FILE",
        help="JSON lines with a text each, or one passage a line; the first stage's best first",
    )
    add_model(parser)
    parser.add_argument("--window", default="all", metavar="LAYERS", help="such as 10-13 (default: %(default)s)")
    add_prompt(parser, required=False)
    add_computing(parser)
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="HTML page to write")


def run_explain(options: argparse.Namespace) -> None:
    """Rank passages of one's own by attention and write a page that shows why; rank, id and score go to the screen."""
    from layerrank.core import files
    from layerrank.core.errors import UserError
    from layerrank.core.reading import numbered_lines
    from layerrank.ranking.reranker import Reranker

    if options.passages.name.endswith((".jsonl", ".jsonl.gz")):
        passages = list(files.read_jsonl(options.passages))
    else:
        lines = numbered_lines(options.passages)
        passages = [{"id": str(number), "text": line} for number, line in lines if line.strip()]
    if not passages:
        raise UserError(f"{options.passages}: it holds no passage")
    reranker = Reranker(
        options.model,
        window=options.window,
        **prompt_of(options),
        dtype=options.dtype,
        device=options.device,
    )
    found = reranker.explain(options.query, passages)
    found.save(options.output)
    scores = dict(zip(found.ids, found.scores, strict=True))
    for rank, name in enumerate(found.ranking, 1):
        print(rank, name, f"{scores[name]:.4f}", found.sentence(name), sep="\t")
