"""Commands that write the explorer's pages."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from layerrank.commands.arguments import named_file


def add_explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidates", required=True, type=Path, metavar="FILE", help="candidates (.jsonl.gz)")
    parser.add_argument("--qrels", required=True, type=Path, metavar="FILE", help="judgements")
    parser.add_argument(
        "--signals",
        required=True,
        nargs="+",
        type=named_file,
        metavar="ORDER=FILE",
        help="signal, the study's own first",
    )
    parser.add_argument("--runs", nargs="*", default=[], type=named_file, metavar="SYSTEM=FILE", help="other systems")
    parser.add_argument(
        "--windows", nargs="+", default=["all"], metavar="NAME", help="presets, the one to open with first"
    )
    parser.add_argument(
        "--selections", nargs="*", default=[], type=Path, metavar="FILE", help="JSON of select-window, for the presets"
    )
    parser.add_argument("--profile", type=Path, metavar="FILE", help="TSV of layer-profile")
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="model folder, for its tokenizer")
    parser.add_argument("--family", required=True, metavar="NAME", help="prompt family")
    parser.add_argument("--query-span", metavar="SPAN", help="instruction_to_end or query_only; default: the family's")
    parser.add_argument("--instruction", default="IE", metavar="NAME", help="IE or QA (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="has no effect on prompts")
    parser.add_argument("--measure", required=True, help="the measure that is shown")
    parser.add_argument("--strategy", default="masked_NA_calibration", metavar="NAME", help="how signals are scored")
    parser.add_argument(
        "--chosen", default='"changed"', metavar="JSON", help="changed, unstable, worst, all, or a list of queries"
    )
    parser.add_argument("--queries", type=int, default=50, metavar="N", help="the most that are shown (%(default)s)")
    parser.add_argument("--title", default="Explorer", help="title of the page")
    parser.add_argument("--subtitle", default="", help="line below it")
    parser.add_argument("--links", nargs="*", default=[], metavar="LABEL=PAGE", help="pages beside this one")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="HTML page to write")


def run_explore(options: argparse.Namespace) -> None:
    """Write one page on which a window is dragged and the ranking follows, for some of a study's queries."""
    from layerrank.attention.store import stored_layers
    from layerrank.core import files
    from layerrank.explorer import build, page
    from layerrank.models.decoder import load_tokenizer
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
        PromptSettings(options.family, options.instruction, options.query_span),
    )
    views = build.study_views(sources, load_tokenizer(options.model), json.loads(options.chosen), options.queries)
    text = page.render(
        views,
        title=options.title,
        subtitle=options.subtitle,
        measure=options.measure,
        curves=build.curves(options.profile, options.measure, layers),
        presets=sources.presets,
        links=[tuple(link.split("=", 1)) for link in options.links],
    )
    files.write_text(options.output, text)
