"""Which code a stage runs: a digest that edits change, and that comments, docstrings, touches and moves do not."""

from __future__ import annotations

import ast
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from layerrank.core.errors import UserError

PACKAGE = Path(__file__).parents[1]
COMMANDS = "commands"
DOCUMENTED = {ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef}
DATA_SUFFIXES = {".yaml", ".j2", ".css", ".js"}
TOLD = "LAYERRANK_CODE"
"""Variable in which the workflow tells its jobs digests that it has taken (`told`): none reads all its code again."""


@dataclass(frozen=True, slots=True)
class _Code:
    """Some statements: the digest of their syntax, the modules of this package that they import, names they use.

    Imports count at a file's head, inside a function, or as a string. `borrowed` are names that they import from other
    command modules, by the name that they give them: pairs of a module and its name for it.
    """

    digest: str
    imports: frozenset[str]
    names: frozenset[str]
    borrowed: Mapping[str, tuple[str, str]]


def code_digest(subcommand: str) -> str:
    """Digest of everything of this package that `layerrank <subcommand>` can run, and of the data beside it.

    Returns 16 hexadecimal digits of a SHA-256 over syntax trees without docstrings: of the subcommand's two functions
    and whatever else of the command modules they use, name by name, so that a stage's subcommands share a file; and,
    transitively, of each module of this package that any of that imports, as a whole; plus the bytes of data files in
    the folders of these modules. Rules carry it as a parameter, since Snakemake does not look into imported packages.
    Raises UserError for a subcommand that does not exist.
    """
    used, modules = _reached(subcommand)
    digest = hashlib.sha256()
    for (module, name), code in sorted(used.items()):
        digest.update(f"{module}:{name} {code}\n".encode())
    for module in sorted(modules):
        digest.update(f"{module} {_whole(_file(module)).digest}\n".encode())
    for folder in sorted({_file(module).parent for module in modules} - {PACKAGE}):
        for path in sorted(folder.iterdir()):
            if path.suffix in DATA_SUFFIXES:
                digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def told(*subcommands: str) -> str:
    """What the workflow says in `TOLD`, a word for a shell: the state of this package's files, and digests of them."""
    return ":".join([_state(), *(f"{subcommand}={code_digest(subcommand)}" for subcommand in subcommands)])


def running_digest(subcommand: str) -> str:
    """`code_digest` of the code that a job runs: as told, where the files are still those that it was taken of."""
    state, *digests = os.environ.get(TOLD, "").split(":")
    known = dict(each.partition("=")[::2] for each in digests)
    return known[subcommand] if subcommand in known and state == _state() else code_digest(subcommand)


def _state() -> str:
    """Digest of names, sizes and times of this package's files; reads none of them."""
    digest = hashlib.sha256()
    for folder, below, names in os.walk(PACKAGE):
        below.sort()
        for name in sorted(names):
            if Path(name).suffix in DATA_SUFFIXES | {".py"}:
                found = Path(folder, name).stat()
                digest.update(f"{folder}/{name} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _reached(subcommand: str) -> tuple[dict[tuple[str, str], str], set[str]]:
    """What a subcommand runs: digests of names of the command modules, and modules below them."""
    waiting = list(_functions(subcommand))
    used: dict[tuple[str, str], str] = {}
    below: list[str] = []
    while waiting:
        module, name = waiting.pop()
        parts = _parts(_file(module))
        if (module, name) in used or name not in parts:
            continue
        code = parts[name]
        used[module, name] = code.digest
        below.extend(code.imports)
        if name in code.borrowed:
            waiting.append(code.borrowed[name])
        waiting.extend((module, other) for other in ("", *code.names))
    modules: set[str] = set()
    while below:
        module = below.pop()
        if module not in modules:
            modules.add(module)
            below.extend(_whole(_file(module)).imports)
    return used, modules


def _functions(subcommand: str) -> Iterator[tuple[str, str]]:
    """The two functions of a subcommand, which are found by their names."""
    stem = subcommand.replace("-", "_")
    for path in sorted((PACKAGE / COMMANDS).glob("*.py")):
        if f"run_{stem}" in _parts(path):
            yield f"{COMMANDS}.{path.stem}", f"run_{stem}"
            yield f"{COMMANDS}.{path.stem}", f"add_{stem}"
            return
    raise UserError(f"{subcommand!r} is no subcommand: no function run_{stem} in the modules of layerrank.{COMMANDS}")


@functools.cache
def _file(module: str) -> Path:
    """The file of a module of this package, named without the package (`attention.probe`, or `attention` itself)."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _whole(path: Path) -> _Code:
    """All of a file."""
    return _code(_tree(path).body)


@functools.cache
def _parts(path: Path) -> dict[str, _Code]:
    """A file by the names that its statements bind; those that bind none, under an empty name."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in _tree(path).body:
        for name in _bound(statement) or [""]:
            found.setdefault(name, []).append(statement)
    return {name: _code(statements) for name, statements in found.items()}


def _tree(path: Path) -> ast.Module:
    """A file's syntax tree, without its docstring."""
    tree = ast.parse(path.read_bytes())
    tree.body = _without_docstring(tree.body)
    return tree


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement binds in its module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    names = [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return names


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def _code(statements: Iterable[ast.stmt]) -> _Code:
    """What statements are and use. One walk finds both: this is most of the time that it takes to read the workflow."""
    syntax: list[str] = []
    names: set[str] = set()
    imports: set[str] = set()
    borrowed: dict[str, tuple[str, str]] = {}

    def visit(node: ast.AST) -> None:
        kind = type(node)
        syntax.append(kind.__name__)
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                imports.add(node.value)
        elif isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module.startswith(f"layerrank.{COMMANDS}."):
                module = node.module.removeprefix("layerrank.")
                borrowed.update({alias.asname or alias.name: (module, alias.name) for alias in node.names})
            else:
                imports.add(node.module)
                imports.update(f"{node.module}.{alias.name}" for alias in node.names)
        for field in kind._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                if field == "body" and kind in DOCUMENTED:
                    value = _without_docstring(value)
                syntax.append(str(len(value)))
                for item in value:
                    if isinstance(item, ast.AST):
                        visit(item)
                    else:
                        syntax.append(repr(item))
            elif isinstance(value, ast.AST):
                visit(value)
            else:
                syntax.append(repr(value))

    for statement in statements:
        visit(statement)
    inside = {name.removeprefix("layerrank.") for name in imports if name.startswith("layerrank.")}
    parents = {".".join(name.split(".")[:depth]) for name in inside for depth in range(1, name.count(".") + 1)}
    return _Code(
        hashlib.sha256("\n".join(syntax).encode()).hexdigest(),
        frozenset(name for name in inside | parents if _exists(name)),
        frozenset(names),
        borrowed,
    )


@functools.cache
def _exists(module: str) -> bool:
    return all(part.isidentifier() for part in module.split(".")) and _file(module).is_file()
