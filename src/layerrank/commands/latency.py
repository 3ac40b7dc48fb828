"""The command that times re-ranking."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_candidates,
    add_collection,
    add_computing,
    add_model,
    add_prompt,
    label,
    named_file,
    new_file,
    prompt_of,
    whole,
)


def add_measure_latency(parser: argparse.ArgumentParser) -> None:
    add_collection(parser)
    parser.add_argument("--model-name", type=label, required=True, metavar="NAME", help="model, as the study names it")
    add_candidates(parser)
    add_model(parser)
    add_prompt(parser)
    add_computing(parser)
    parser.add_argument(
        "--windows", nargs="*", default=[], metavar="WINDOW", help="all, L10-13, selected-RULE, heads-RULE"
    )
    parser.add_argument(
        "--selections",
        nargs="*",
        default=[],
        type=named_file,
        metavar="RULE=FILE",
        help="files of selected windows, by rule; of chosen heads by heads-RULE",
    )
    parser.add_argument(
        "--mechanisms",
        nargs="*",
        default=[],
        metavar="NAME",
        help="likelihood, generation: time them too, each on the whole list in one prompt",
    )
    parser.add_argument(
        "--queries", type=whole(1), default=3, metavar="N", help="queries sampled (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=whole(1), default=3, metavar="N", help="timed rounds (default: %(default)s)")
    parser.add_argument(
        "--warmup", type=whole(0), default=1, metavar="N", help="passes before a round's first timed one (default: 1)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=42, metavar="N", help="seed of the sample (default: %(default)s)"
    )
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="TSV, a row a system and stage")
    parser.add_argument("--about", type=new_file, metavar="FILE", help="JSON: hardware, versions, sample, every second")


def run_measure_latency(options: argparse.Namespace) -> None:
    """Time whole-list re-ranking stage by stage (load, tokenise, prefill, decode, score): median and spread.

    Each window's model is loaded up to the window's end. Systems take turns, so that a change of the machine's speed
    hits all of them; peak memory and the operations needed by formula stand beside the seconds.
    """
    from layerrank.core import files, frames
    from layerrank.latency.stages import Sample, measure
    from layerrank.prompts.icr import PromptSettings

    table, about = measure(
        options.candidates,
        options.model,
        PromptSettings(**prompt_of(options)),
        options.windows,
        selections=dict(options.selections),
        mechanisms=options.mechanisms,
        dtype=options.dtype,
        device=options.device,
        sampled=Sample(options.queries, options.repeats, options.warmup, options.seed),
    )
    named = frames.in_cell(table, frames.LATENCY, options.collection, options.model_name)
    frames.write_frame(options.output, named)
    if options.about is not None:
        files.write_json(options.about, about)
