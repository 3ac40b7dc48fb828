"""Commands that read the attention of every layer."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands.arguments import KEEP_HELP


def add_check_prompts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", required=True, metavar="NAME", help="collection, as the study names it")
    parser.add_argument("--candidates", required=True, type=Path, metavar="FILE", help="candidates (.jsonl.gz)")
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="model folder")
    parser.add_argument("--family", required=True, metavar="NAME", help="prompt family")
    parser.add_argument("--query-span", metavar="SPAN", help="instruction_to_end or query_only; default: the family's")
    parser.add_argument("--instruction", default="IE", metavar="NAME", help="IE or QA (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="has no effect on prompts")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="what was found (.json)")


def run_check_prompts(options: argparse.Namespace) -> None:
    """Tokenise every attention prompt of a candidates file, and refuse those that the model's context cannot hold."""
    from layerrank.attention.extract import check_prompts
    from layerrank.core.files import write_json
    from layerrank.prompts.icr import PromptSettings

    settings = PromptSettings(options.family, options.instruction, options.query_span)
    write_json(options.output, check_prompts(options.candidates, options.model, settings, options.collection))


def add_extract_attention(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--candidates", required=True, type=Path, metavar="FILE", help="candidates (.jsonl.gz)")
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="model folder")
    parser.add_argument("--family", required=True, metavar="NAME", help="prompt family")
    parser.add_argument("--query-span", metavar="SPAN", help="instruction_to_end or query_only; default: the family's")
    parser.add_argument("--instruction", default="IE", metavar="NAME", help="IE or QA (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="float32 or bfloat16 (default: %(default)s)")
    parser.add_argument("--shard", type=int, default=0, metavar="I", help="which part of the queries, from 0")
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="number of parts (default: %(default)s)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 or auto; default: a CUDA device if any")
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="tokens of prompts that may share a pass")
    parser.add_argument("--store-dtype", default="float32", metavar="TYPE", help="float32 or float16, of the store")
    parser.add_argument("--compression", default="none", metavar="NAME", help="none, lz4 or zstd, of the store")
    parser.add_argument("--max-queries", type=int, metavar="N", help="only the first N queries of the part")
    parser.add_argument("--keep", action="store_true", help=KEEP_HELP)
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the signal (.arrow)")


def run_extract_attention(options: argparse.Namespace) -> None:
    """Read the attention of every layer for each query of a candidates file, in one forward pass a query; resumable."""
    from layerrank.attention.extract import extract
    from layerrank.prompts.icr import PromptSettings
    from layerrank.study.code import code_digest

    extract(
        options.candidates,
        options.model,
        options.output,
        PromptSettings(options.family, options.instruction, options.query_span),
        dtype=options.dtype,
        shard=options.shard,
        shards=options.shards,
        device=options.device,
        batch_tokens=options.batch_tokens,
        store_dtype=options.store_dtype,
        compression=options.compression,
        max_queries=options.max_queries,
        code=code_digest("extract-attention"),
        keep=options.keep,
    )
