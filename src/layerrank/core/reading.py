"""Text files as people bring them: plain, gzip or Zstandard, with whatever is wrong named by file and line."""

from __future__ import annotations

import gzip
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from layerrank.core.errors import UserError

PACKED = (".gz", ".zst")
"""Endings of compressed files, after the name's own."""

GRADES = 1000
"""Largest relevance grade, and the least is its negative: evaluators keep a table of all grades up to the largest."""

_BOM = "\ufeff"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_UNFIT = re.compile(r"[\s\x00-\x1f\x7f\ufeff]")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_GRADE = re.compile(r"([+-]?[0-9]{1,18})(\.0+)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line without its end) of a UTF-8 text file that may be packed; blank lines are passed over.

    Numbers count from 1. A byte order mark at the start is taken off. `UserError` names the file that is missing, is a
    folder, cannot be opened or is cut, and the line that is not UTF-8.
    """
    number = 0
    try:
        with _opened(path) as lines:
            for number, raw in enumerate(lines, 1):
                try:
                    line = raw.decode().rstrip("\r\n")
                except UnicodeDecodeError as error:
                    reason = f"byte {error.start + 1} of the line"
                    raise UserError(f"{path}:{number}: not UTF-8 text ({reason})") from None
                if number == 1:
                    line = line.removeprefix(_BOM)
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, where a file is expected") from None
    except (EOFError, zlib.error, OSError) as error:
        if path.suffix in PACKED and not isinstance(error, PermissionError):
            kind = {".gz": "gzip", ".zst": "Zstandard"}[path.suffix]
            raise UserError(f"{path}:{number + 1}: not a whole {kind} file ({error})") from None
        raise UserError(f"{path}: cannot be read ({error})") from None


def numbered_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSON-lines file; `UserError` as of `numbered_lines` and `json_value`."""
    for number, line in numbered_lines(path):
        where = f"{path}:{number}"
        row = json_value(line, where)
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected a JSON object, got {shown(line)}")
        yield number, row


def json_value(text: str, where: str) -> Any:
    """Read JSON, strictly: a key twice in one object, NaN, infinity and half a character are `UserError`s too."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except RecursionError:
        raise UserError(f"{where}: not valid JSON (nested too deeply)") from None
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON ({error})") from None
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])
            raise UserError(f"{where}: half a character ({half}): a surrogate without its other half") from None
    return value


def check_ids(kind: str, ids: Iterable[str], where: str) -> None:
    """Refuse ids that a TREC file cannot hold: empty, or with white space or control characters."""
    for name in ids:
        if not name or _UNFIT.search(name):
            raise UserError(f"{where}: {kind} id {name!r} is empty or has white space, which TREC files cannot hold")


def whole_number(text: str, what: str, where: str) -> int:
    """Read a whole number as files have it: decimal digits, no underscores."""
    if not _WHOLE.fullmatch(text):
        raise UserError(f"{where}: {what} {shown(text)} is not a whole number")
    return int(text)


def finite_number(text: str, what: str, where: str) -> float:
    """Read a number as files have it; NaN and infinity, said or by size, are a `UserError`."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {what} {shown(text)} is not a finite number")
    return value


def finite_value(value: Any, what: str, where: str) -> float:
    """A number that a JSON document holds, as a finite float."""
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        number = float(value)
    if not math.isfinite(number):
        raise UserError(f"{where}: {what} must be a finite number, got {shown(value)}")
    return number


def grade_of(text: str, where: str) -> int:
    """Read a relevance grade: a whole number, `2` or `2.0`, within `GRADES`."""
    matched = _GRADE.fullmatch(text)
    if not matched:
        whole = re.fullmatch(r"[+-]?[0-9]+", text)
        reason = f"is not between -{GRADES} and {GRADES}" if whole else "is not a whole number"
        raise UserError(f"{where}: grade {shown(text)} {reason}")
    if abs(int(matched[1])) > GRADES:
        raise UserError(f"{where}: grade {shown(text)} is not between -{GRADES} and {GRADES}")
    return int(matched[1])


def shown(value: Any, limit: int = 80) -> str:
    """A value as messages quote it, cut to `limit` characters."""
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        import pyarrow

        with path.open("rb"):
            return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {shown(key)} comes twice")
            seen.add(key)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
