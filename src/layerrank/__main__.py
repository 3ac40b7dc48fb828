"""Parse, log, call: `python -m layerrank <subcommand>`. One subcommand a rule, each in layerrank.commands."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import layerrank
from layerrank import commands
from layerrank.core import extras
from layerrank.core.errors import NO_ROOM, UserError
from layerrank.core.garbage import collect_seldom
from layerrank.core.secrets import masked
from layerrank.models.threads import yield_soon

TOP = "layerrank"
INTERRUPTED = 130
"""Exit code after an interrupt, as shells have it."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of users: one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise `UserError`."""
        raise UserError(message.removeprefix("argument "))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; `UserError` where a file to write is one that is read, or is written twice."""
        found = super().parse_known_args(args, namespace)
        if self.prog != TOP:
            from layerrank.commands.arguments import check_written

            check_written(self, found[0])
        return found


class Formatter(logging.Formatter):
    """Lines of the log, without the passwords that addresses in them may hold."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, with its traceback where it has one."""
        return masked(super().format(record))


def parser(subcommand: str) -> argparse.ArgumentParser:
    """The parser of `layerrank`, which knows the arguments of one subcommand alone: no other's module is imported."""
    top = Parser(
        prog=TOP,
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
    """Run one subcommand.

    Returns:
        0; 2 where the user has to mend something, or the machine lets a file not be read or written, said in one line;
        130 after an interrupt. Whatever else is raised is a defect.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    subcommand = next((word for word in arguments if not word.startswith("-")), "")
    name = f"layerrank {subcommand}" if subcommand in commands.SUBCOMMANDS else "layerrank"
    log = logging.StreamHandler(sys.stderr)
    log.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[log])
    logging.getLogger("layerrank").setLevel(logging.INFO)
    yield_soon()
    options = argparse.Namespace()
    try:
        for word in arguments:
            _check_text(word)
        options = parser(subcommand).parse_args(arguments)
        options.function(options)
        sys.stdout.flush()
    except UserError as error:
        return _refused(name, str(error))
    except ModuleNotFoundError as error:
        if (message := extras.lacking(error)) is None:
            raise
        return _refused(name, message)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _refused(name, _of_system(error, getattr(options, "output", None)))
    except KeyboardInterrupt:
        _refused(name, "interrupted")
        return INTERRUPTED
    return 0


def _check_text(word: str) -> None:
    """Refuse an argument that is no text: no file that is written could say it."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UserError(f"argument {word!a}: not valid UTF-8") from None


def _refused(name: str, message: str) -> int:
    print(f"{name}: {masked(' '.join(message.split()))}", file=sys.stderr)
    return 2


def _of_system(error: OSError, output: Path | None) -> str:
    """What the system says: the file, where it is known, and what is wrong with it; `output` is what was written."""
    if error.strerror is None:
        return str(error)
    said, file = error.strerror, error.filename
    if error.errno in NO_ROOM and error.errno is not None:
        said, file = os.strerror(error.errno), file or output
    return f"{file}: {said.lower()}" if file else said.lower()


def _defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, without the passwords that addresses in it may hold."""
    print(masked("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def run() -> NoReturn:
    """What a shell calls."""
    sys.excepthook = _defect
    collect_seldom()
    sys.exit(main())


if __name__ == "__main__":
    run()
