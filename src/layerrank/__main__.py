"""Parse, log, call: `python -m layerrank <subcommand>`. One subcommand a rule, each in layerrank.commands."""

from __future__ import annotations

import argparse
import difflib
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

import layerrank
from layerrank import commands
from layerrank.core.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def parser(subcommand: str) -> argparse.ArgumentParser:
    """The parser of `layerrank`, which knows the arguments of one subcommand alone: no other's module is imported."""
    top = Parser(
        prog="layerrank",
        usage="layerrank [-h] [--version] SUBCOMMAND …",
        description=layerrank.__doc__,
        epilog=commands.overview() + "\n\n`layerrank SUBCOMMAND --help` says what a subcommand takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=layerrank.__version__)
    below = top.add_subparsers(
        prog="layerrank", dest="subcommand", required=True, metavar="SUBCOMMAND", help=argparse.SUPPRESS
    )
    if subcommand in commands.SUBCOMMANDS:
        add, run = commands.load(subcommand)
        own = below.add_parser(subcommand, description=run.__doc__)
        own.set_defaults(function=run)
        add(own)
    elif subcommand:
        close = difflib.get_close_matches(subcommand, commands.SUBCOMMANDS, 1)
        meant = f"did you mean {close[0]}? " if close else ""
        top.error(f"{subcommand!r} is no subcommand; {meant}layerrank --help lists them")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return the exit code (0, or 2 for a user error)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser(next((word for word in arguments if not word.startswith("-")), "")).parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("layerrank").setLevel(logging.INFO)
    try:
        options.function(options)
    except UserError as error:
        print(f"layerrank {options.subcommand}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
