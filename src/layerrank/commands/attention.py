"""Commands that read the attention of every layer."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import (
    add_candidates,
    add_collection,
    add_computing,
    add_keep,
    add_model,
    add_prompt,
    add_shard,
    file,
    json_object,
    new_file,
    prompt_of,
)


def add_check_prompts(parser: argparse.ArgumentParser) -> None:
    add_collection(parser)
    parser.add_argument(
        "--candidates", required=True, type=file, nargs="+", metavar="FILE", help="candidates (.jsonl.gz) to check"
    )
    add_model(parser)
    parser.add_argument(
        "--prompts",
        required=True,
        type=json_object,
        nargs="+",
        metavar="JSON",
        help="what shapes the prompts of each: {family, instruction, query_span}",
    )
    parser.add_argument(
        "--outputs", required=True, type=new_file, nargs="+", metavar="FILE", help="what was found of each (.json)"
    )


def run_check_prompts(options: argparse.Namespace) -> None:
    """Tokenise every attention prompt of candidates files, and refuse those that the model's context cannot hold."""
    from layerrank.attention.extract import check_prompts
    from layerrank.core.errors import UserError
    from layerrank.core.files import write_json
    from layerrank.prompts.icr import PromptSettings

    lists = options.candidates, options.prompts, options.outputs
    if len({len(each) for each in lists}) > 1:
        raise UserError(
            "--candidates, --prompts, --outputs: expected as many of each; "
            f"there are {', '.join(str(len(each)) for each in lists)}"
        )
    try:
        settings = [PromptSettings(**each) for each in options.prompts]
    except TypeError:
        raise UserError("--prompts: expected objects {family, instruction, query_span}") from None
    found = check_prompts(list(zip(options.candidates, settings, strict=True)), options.model, options.collection)
    for output, result in zip(options.outputs, found, strict=True):
        write_json(output, result)


def add_check_layers(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--asked",
        required=True,
        type=json_object,
        metavar="JSON",
        help="windows and heads of a study, by the keys that say them",
    )
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="what the model has (.json)")


def run_check_layers(options: argparse.Namespace) -> None:
    """Hold the windows and heads that a study names against a model's configuration, before any GPU is asked for."""
    from layerrank.core.files import write_json
    from layerrank.models.checks import check_layers

    write_json(options.output, check_layers(options.model, options.asked))


def add_extract_attention(parser: argparse.ArgumentParser) -> None:
    add_candidates(parser)
    add_model(parser)
    add_prompt(parser)
    add_computing(parser)
    add_shard(parser)
    add_keep(parser)
    parser.add_argument(
        "--no-masked", action="store_true", help="leave out each head's masked sums, which some rules choose heads by"
    )
    parser.add_argument(
        "--na-tokens", action="store_true", help="keep what N/A alone pays each token too, for the explorer"
    )
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="the signal (.arrow)")


def run_extract_attention(options: argparse.Namespace) -> None:
    """Read the attention of every layer for each query of a candidates file, one pass per query; resumable."""
    from layerrank.attention.extract import extract
    from layerrank.prompts.icr import PromptSettings
    from layerrank.study.code import running_digest

    extract(
        options.candidates,
        options.model,
        options.output,
        PromptSettings(**prompt_of(options)),
        dtype=options.dtype,
        shard=options.shard,
        shards=options.shards,
        device=options.device,
        masked=not options.no_masked,
        na_tokens=options.na_tokens,
        code=running_digest("extract-attention"),
        keep=options.keep,
    )
