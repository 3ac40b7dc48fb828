"""Read the attention of every layer for each query of a candidates file, in one forward pass a query; resumable."""

from __future__ import annotations

import argparse
from pathlib import Path

from layerrank.commands._arguments import KEEP_HELP


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(options: argparse.Namespace) -> None:
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
