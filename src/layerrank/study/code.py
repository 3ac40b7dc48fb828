"""Which code a stage runs: a digest that edits change, and that comments, docstrings, touches and moves do not."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
DATA_SUFFIXES = {".yaml", ".j2", ".css"}


def code_digest(subcommand: str) -> str:
    """Digest of everything of this package that `layerrank <subcommand>` can import, and of the data beside it.

    Returns 16 hexadecimal digits of a SHA-256 over the syntax trees, without docstrings, of the subcommand's module
    and, transitively, of each module of this package that one of them names in an import, plus the bytes of data files
    in the same folders. Rules carry it as a parameter, since Snakemake does not look into imported packages.
    """
    modules = _closure(f"commands.{subcommand.replace('-', '_')}")
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(f"{name} {_read(_file(name))[0]}\n".encode())
    folders = {_file(name).parent for name in modules} - {PACKAGE, PACKAGE / "commands"}
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()):
            if path.suffix in DATA_SUFFIXES:
                digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _file(module: str) -> Path:
    """The file of a module of this package, named without the package (`attention.probe`, or `attention` itself)."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _closure(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting.extend(_read(_file(name))[1])
    return found


@functools.cache
def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    """Digest of a file's syntax tree without docstrings, and the modules of this package that it imports.

    Imports count at its head, inside a function, or as a string. One walk over the tree finds both: this is most of the
    time that it takes to read the workflow.
    """
    tree = ast.parse(path.read_bytes())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value.startswith("layerrank."):
                names.add(node.value)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and node.level == 0:
                names.add(node.module)
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    inside = {name.removeprefix("layerrank.") for name in names if name.startswith("layerrank.")}
    parents = {".".join(name.split(".")[:depth]) for name in inside for depth in range(1, name.count(".") + 1)}
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digest, tuple(sorted(name for name in inside | parents if _exists(name)))


def _exists(module: str) -> bool:
    return all(part.isidentifier() for part in module.split(".")) and _file(module).is_file()
