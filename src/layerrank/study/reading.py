"""YAML as a study has it, read strictly: what YAML 1.1 would take for something else is an error with its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from layerrank.core.errors import UserError

Entry = dict[str, Any]

WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""Numbers as people write them; YAML 1.1 also reads 1_0 as ten, 010 as eight and 1:30 as ninety."""


def read_mapping(path: Path) -> Entry:
    """The mapping that a YAML or JSON file holds; an empty file holds none.

    Raises `UserError` that names file and line: a key twice, a key that is no text, a number that is written as none.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=_Strict)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, where a file is expected") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: {_why(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of names to entries")
    return content


def number_of(text: str) -> int | float | None:
    """The number that a text is, as people write numbers; None where it is none."""
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else None


def _why(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"not valid YAML ({' '.join(str(error).split())})"
    problem = str(getattr(error, "problem", error))
    return f"line {mark.line + 1}: {problem if isinstance(error, _Refused) else f'not valid YAML ({problem})'}"


class _Refused(yaml.constructor.ConstructorError):
    def __init__(self, node: yaml.Node, problem: str) -> None:
        super().__init__(None, None, problem, node.start_mark)


class _Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> Any:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                kind = key_node.tag.rpartition(":")[2]
                raise _Refused(key_node, f"the key {key_node.value} is no text, but read as {kind}: quote it")
            if key_node.value in seen:
                raise _Refused(key_node, f"the key {key_node.value!r} stands twice in one mapping")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        if not WHOLE.fullmatch(node.value):
            raise _Refused(
                node, f"{node.value} is no number as people write them: write it in decimal digits, or quote it"
            )
        return int(node.value)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        if not NUMBER.fullmatch(node.value):
            raise _Refused(node, f"{node.value} is no finite number in decimal digits")
        return float(node.value)


_Strict.add_constructor("tag:yaml.org,2002:int", _Strict.construct_whole)
_Strict.add_constructor("tag:yaml.org,2002:float", _Strict.construct_number)
