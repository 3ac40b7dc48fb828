"""Parse, log, call: `python -m layerrank <subcommand>`. One subcommand a rule, each in layerrank.commands."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import layerrank
from layerrank.core.errors import UserError


def subcommands() -> list[str]:
    """Names of all subcommands: the modules of layerrank.commands, with dashes."""
    folder = Path(__file__).parent / "commands"
    return sorted(path.stem.replace("_", "-") for path in folder.glob("*.py") if not path.stem.startswith("_"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return the exit code (0, or 2 for a user error)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="layerrank", description=layerrank.__doc__)
    parser.add_argument("--version", action="version", version=layerrank.__version__)
    parser.add_argument("subcommand", choices=subcommands(), metavar="subcommand", help=", ".join(subcommands()))
    name = parser.parse_args(arguments[:1]).subcommand
    command = importlib.import_module(f"layerrank.commands.{name.replace('-', '_')}")
    own = argparse.ArgumentParser(prog=f"layerrank {name}", description=command.__doc__)
    command.add_arguments(own)
    options = own.parse_args(arguments[1:])
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("layerrank").setLevel(logging.INFO)
    try:
        command.run(options)
    except UserError as error:
        print(f"layerrank {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
