"""Whose results lie in a study's folder: those of another study are not taken for its own."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from layerrank.collections import prepared
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.study.config import Study, query_limit

RECORDS = Path(".snakemake", "metadata")
NAME = 254
"""Characters of a record's name that go into one name of a file."""


def check_results(study: Study, results: Path) -> None:
    """Refuse collections under `results` that were made from something else, where Snakemake would not see it.

    In the working directory where they were made Snakemake has its records, and makes anew what has changed. Elsewhere
    it would take them as they are.
    Raises `UserError` that names the file, the key and both values.
    """
    for key, folder in (("results", results), ("cache", Path(study.config["cache"]))):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"config key {key}: {str(folder)!r} is a file, where a folder is expected")
    for name, entry in study.collections.items():
        path = results / name / "collection" / "collection.json"
        if not path.is_file() or recorded(path):
            continue
        said = files.read_json(path)
        made = {**said, **said.get("entry", {})} if isinstance(said, dict) else {}
        sample = {"query_limit": query_limit(study, name), "seed": study.config["queries"]["seed"]}
        wanted = prepared.identity(name, entry) | sample
        for key, value in wanted.items():
            if key in made and made[key] != value:
                raise UserError(_said(path, name, key, made[key], value))


def recorded(path: Path) -> bool:
    """Whether Snakemake knows, in the working directory, how a file was made."""
    name = urlsafe_b64encode(str(path).encode()).decode()
    parts = [name[start : start + NAME] for start in range(0, len(name), NAME)]
    return RECORDS.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1]).exists()


def _said(path: Path, name: str, key: str, made: Any, wanted: Any) -> str:
    return (
        f"{path}: results of another study, whose collection {name!r} has {key} {made!r}; this one's is {wanted!r}: "
        "name another folder (config key results), or remove what lies there"
    )
