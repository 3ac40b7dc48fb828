"""From a configuration to a study: its schema, the catalogue entries that it names, and what no schema can say."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.study.checks import check
from layerrank.study.config import Entry, Study
from layerrank.study.reading import read_mapping
from layerrank.study.schema import check_known, entry_schema, study_schema, validated

SNAKEMAKE_KEYS = ("pathvars",)


def load_study(config: Mapping[str, Any], base: Path, files: Iterable[Path] = ()) -> Study:
    """Check a study's configuration and gather the catalogue entries that it names.

    Args:
        config: as Snakemake merged it.
        base: the folder that holds workflow/schemas; catalogue files are sought in the working directory, then here.
        files: those that the configuration was read from, which are read again, more strictly than Snakemake does.

    Raises `UserError` in one line that names the key, the value and what is allowed.
    """
    for path in files:
        read_mapping(Path(path))
    try:
        own = {key: copy.deepcopy(value) for key, value in config.items() if key not in SNAKEMAKE_KEYS}
        checked = validated(own, study_schema(base), "config")
    except RecursionError:
        raise UserError("config: nested too deeply") from None
    checked |= {key: str(Path(checked[key]).expanduser()) for key in ("results", "cache")}
    study = Study(
        checked,
        _entries(checked, "collections", checked["collections"], "config key collections", base),
        _entries(checked, "models", checked["models"], "config key models", base),
        _entries(checked, "models", checked["systems"]["trained"], "config key systems.trained", base),
    )
    check(study)
    return study


def _entries(config: Entry, kind: str, names: Iterable[str], where: str, base: Path) -> dict[str, Entry]:
    """The catalogue entries of `collections` or `models` that a study names."""
    catalogue: Entry = {}
    for name in config["catalogues"][kind]:
        catalogue |= read_mapping(_found(name, base, f"config key catalogues.{kind}"))
    catalogue |= config["define"][kind]
    schema = entry_schema(base, kind)
    for name in names:
        check_known(name, catalogue, where)
    return {name: validated(catalogue[name], schema, f"{kind} entry {name}") for name in names}


def _found(name: str, base: Path, where: str) -> Path:
    for path in (Path(name), base / name):
        if path.is_file():
            return path
    raise UserError(f"{where}: no file {name!r} in the working directory or in the checkout")
