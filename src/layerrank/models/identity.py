"""What a model is: digests of its files, the name of its folder in the cache, and that both still hold at each use."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.files import MODEL_RECORD, file_digest, read_json, text_digest, write_json

WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
"""Files of a model; whatever else lies in a folder is neither taken over nor looked at."""

SERVED = "endpoint"
"""The source of models that are served: their folder holds the tokenizer alone."""

PARTS = ("adapter", "tokenizer")
"""Keys of an entry that say where a part of a model comes from."""

SETTLED = 2.0
"""Seconds after its last change from which a file's times tell whether it was changed again."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Name and revision of a model as its record says, and `weights`, the SHA-256 over its files and their names."""

    name: str
    revision: str | None
    weights: str


def identify(folder: Path) -> Identity:
    """What the model in a folder is, by its files as they are now.

    Raises:
        UserError: a file of a fetched model differs from what was fetched, is missing or new: the folder was changed.
    """
    record = read_record(folder)
    digests = file_digests(model_files(folder), folder.with_name(f".{folder.name}.digests.json") if record else None)
    fetched = record.get("files", digests)
    for name in sorted(fetched.keys() | digests.keys()):
        if fetched.get(name) != digests.get(name):
            raise UserError(f"{folder / name}: not as it was fetched; delete the folder {folder} to fetch it again")
    return Identity(record.get("name") or folder.resolve().name, record.get("revision"), folder_digest(digests))


def read_record(folder: Path) -> dict[str, Any]:
    """What fetching a model left beside it: name, source, revision, digest, context, files; empty for other folders."""
    path = folder / MODEL_RECORD
    return dict(read_json(path)) if path.is_file() else {}


def is_served(folder: Path) -> bool:
    """Whether a folder is of a model that is served."""
    return read_record(folder).get("source") == SERVED


def model_files(folder: Path) -> list[Path]:
    """A model folder's own files, by name."""
    found = (path for path in folder.iterdir() if any(path.match(pattern) for pattern in WANTED))
    return sorted(path for path in found if path.name != MODEL_RECORD and path.name[0] != "." and path.is_file())


def folder_digest(digests: Mapping[str, str]) -> str:
    """SHA-256 over names and digests of a model's files."""
    return text_digest([part for name in sorted(digests) for part in (name, digests[name])])


def file_digests(paths: Iterable[Path], memo: Path | None = None) -> dict[str, str]:
    """SHA-256 of each file, by name.

    Args:
        paths: of one folder.
        memo: a file that keeps digests with the size and times of what they are of, so that unchanged weights are read
            once; written where it may be.
    """
    known = _read_memo(memo)
    kept = {}
    for path in paths:
        found = path.stat()
        state = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        former = known.get(path.name)
        if not (isinstance(former, list) and former[:-1] == state):
            former = [*state, file_digest(path)]
        kept[path.name] = former
    settled = {name: row for name, row in kept.items() if time.time() - max(row[1:3]) / 1e9 > SETTLED}
    if memo is not None and settled and settled != known:
        with contextlib.suppress(OSError):
            write_json(memo, settled)
    return {name: row[-1] for name, row in kept.items()}


def _read_memo(memo: Path | None) -> dict[str, Any]:
    try:
        known = read_json(memo) if memo is not None else {}
    except (OSError, UserError):
        return {}
    return known if isinstance(known, dict) else {}


def pinned(name: str, source: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """A model's source, where it is a folder with the digest of what lies there now under `digest`.

    Raises:
        UserError: no such folder, or one of another digest than the source names.
    """
    found = dict(source)
    if found["source"] == "folder":
        found["digest"] = _source_digest(f"model {name!r}: key 'path'", found["path"], cache)
        if source.get("digest", found["digest"]) != found["digest"]:
            raise UserError(
                f"model {name!r}: its files have digest {found['digest']}, "
                f"the catalogue's key 'digest' says {source['digest']}"
            )
    for key in PARTS:
        part = found.get(key, {})
        if part.get("source") == "folder":
            digest = _source_digest(f"model {name!r}: key {key!r}", part["path"], cache)
            if part.get("digest", digest) != digest:
                raise UserError(
                    f"model {name!r}: key {key!r}: its files have digest {digest}, "
                    f"the catalogue's key '{key}.digest' says {part['digest']}"
                )
            found[key] = {**part, "digest": digest}
    return found


def folder_name(name: str, source: Mapping[str, Any], cache: Path) -> str:
    """Name of the folder under `cache`/models that holds the model: equal names, equal weights.

    It ends in a digest of the source: what is fetched and how it is changed (adapter, RoPE), and for folders what lies
    in them, wherever they are. Raises as `pinned`.
    """
    content = pinned(name, source, cache)
    if content["source"] == "folder":
        content.pop("path")
    for key in PARTS:
        part = content.get(key)
        if part and part["source"] == "folder":
            content[key] = {name: value for name, value in part.items() if name != "path"}
    return f"{name}-{text_digest([json.dumps(content, sort_keys=True)])[:12]}"


def _source_digest(where: str, path: str, cache: Path) -> str:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"{where}: {path} is no folder")
    memo = cache / "downloads" / "digests" / f"{text_digest([str(folder.resolve())])[:16]}.json"
    return folder_digest(file_digests(model_files(folder), memo))
