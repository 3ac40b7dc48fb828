"""Tokenise every attention prompt of a candidates file, and refuse those that the model's context cannot hold."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", required=True, metavar="NAME", help="collection, as the study names it")
    parser.add_argument("--candidates", required=True, type=Path, metavar="FILE", help="candidates (.jsonl.gz)")
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="model folder")
    parser.add_argument("--family", required=True, metavar="NAME", help="prompt family")
    parser.add_argument("--query-span", metavar="SPAN", help="instruction_to_end or query_only; default: the family's")
    parser.add_argument("--instruction", default="IE", metavar="NAME", help="IE or QA (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", metavar="TYPE", help="has no effect on prompts")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="what was found (.json)")


def run(options: argparse.Namespace) -> None:
    from layerrank.attention.extract import check_prompts
    from layerrank.core.files import write_json
    from layerrank.prompts.icr import PromptSettings

    settings = PromptSettings(options.family, options.instruction, options.query_span)
    write_json(options.output, check_prompts(options.candidates, options.model, settings, options.collection))
