"""The command that times re-ranking."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands.arguments import named_file


def add_measure_latency(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidates", required=True, type=Path, metavar="FILE", help="candidates (.jsonl.gz)")
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="model folder")
    parser.add_argument("--family", required=True, metavar="NAME", help="prompt family")
    parser.add_argument("--instruction", default="IE", metavar="NAME", help="IE or QA (default: %(default)s)")
    parser.add_argument("--query-span", metavar="SPAN", help="instruction_to_end or query_only; default: the family's")
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="float32 or bfloat16 (default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 or auto; default: a CUDA device if any")
    parser.add_argument("--windows", nargs="*", default=[], metavar="WINDOW", help="all, L10-13, selected-RULE")
    parser.add_argument(
        "--selections", nargs="*", default=[], type=named_file, metavar="RULE=FILE", help="files of selected windows"
    )
    parser.add_argument(
        "--mechanisms",
        nargs="*",
        default=[],
        metavar="NAME",
        help="likelihood, generation: time them too, each on the whole list in one prompt",
    )
    parser.add_argument("--queries", type=int, default=3, metavar="N", help="queries sampled (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timed rounds (default: %(default)s)")
    parser.add_argument(
        "--warmup", type=int, default=1, metavar="N", help="passes before a round's first timed one (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of the sample (default: %(default)s)")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="TSV, a row a system and stage")
    parser.add_argument("--about", type=Path, metavar="FILE", help="JSON: hardware, versions, sample, every second")


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
        PromptSettings(options.family, options.instruction, options.query_span),
        options.windows,
        selections=dict(options.selections),
        mechanisms=options.mechanisms,
        dtype=options.dtype,
        device=options.device,
        sampled=Sample(options.queries, options.repeats, options.warmup, options.seed),
    )
    frames.write_frame(options.output, table)
    if options.about is not None:
        files.write_json(options.about, about)
