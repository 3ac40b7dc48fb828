"""The command that times re-ranking."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from layerrank.commands.arguments import (
    add_candidates,
    add_collection,
    add_computing,
    add_model,
    add_prompt,
    json_object,
    label,
    named_file,
    new_file,
    prompt_of,
    whole,
)

if TYPE_CHECKING:
    import pandas as pd

    from layerrank.latency.stages import Sample


def _add_timed(parser: argparse.ArgumentParser) -> None:
    """Add whose table it is, and what is loaded."""
    add_collection(parser)
    parser.add_argument("--model-name", type=label, required=True, metavar="NAME", help="model, as the study names it")
    add_candidates(parser)
    add_model(parser)


def _add_sample(parser: argparse.ArgumentParser) -> None:
    """Add how much is timed, and where it is written."""
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


def add_measure_latency(parser: argparse.ArgumentParser) -> None:
    _add_timed(parser)
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
    _add_sample(parser)


def run_measure_latency(options: argparse.Namespace) -> None:
    """Time whole-list re-ranking stage by stage (load, tokenise, prefill, decode, score): median and spread.

    Each window's model is loaded up to the window's end. Systems take turns, so that a change of the machine's speed
    hits all of them; peak memory and the operations needed by formula stand beside the seconds.
    """
    from layerrank.latency.stages import measure
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
        sampled=_sample(options),
    )
    _write(options, table, about)


def add_measure_trained(parser: argparse.ArgumentParser) -> None:
    _add_timed(parser)
    add_computing(parser)
    parser.add_argument("--framework", choices=("pointwise",), default="pointwise", help="passages one by one")
    parser.add_argument("--mechanism", required=True, metavar="NAME", help="cross_encoder, or likelihood")
    parser.add_argument("--mechanism-settings", type=json_object, default={}, metavar="JSON", help="its settings")
    parser.add_argument(
        "--batch-tokens", type=whole(1), default=8192, metavar="N", help="tokens of one batch (default: %(default)s)"
    )
    parser.add_argument("--tag", required=True, type=label, metavar="NAME", help="the system's name in the table")
    _add_sample(parser)


def run_measure_trained(options: argparse.Namespace) -> None:
    """Time a model that was trained to rank, stage by stage, on the lists that `measure-latency` samples.

    Passages are scored one by one, in the batches that a study makes of them.
    """
    from layerrank.latency.stages import measure_trained
    from layerrank.ranking.cells import Cell

    table, about = measure_trained(
        options.candidates,
        options.model,
        Cell(options.framework, options.mechanism, {}, options.mechanism_settings, name=options.tag),
        batch_tokens=options.batch_tokens,
        dtype=options.dtype,
        device=options.device,
        sampled=_sample(options),
    )
    _write(options, table, about)


def _sample(options: argparse.Namespace) -> Sample:
    from layerrank.latency.stages import Sample

    return Sample(options.queries, options.repeats, options.warmup, options.seed)


def _write(options: argparse.Namespace, table: pd.DataFrame, about: dict[str, Any]) -> None:
    from layerrank.core import files, frames

    named = frames.in_cell(table, frames.LATENCY, options.collection, options.model_name)
    frames.write_frame(options.output, named)
    if options.about is not None:
        files.write_json(options.about, about)
