"""The model hub: what a download from it fails with, and whether what came is what it has."""

from __future__ import annotations

import hashlib
from pathlib import Path

from layerrank.core.errors import UserError
from layerrank.core.files import file_digest


def download_errors() -> tuple[type[BaseException], ...]:
    """What a download can fail with: the hub's own error, and its bases, the HTTP client's error and OSError."""
    from huggingface_hub import errors

    return (errors.HfHubHTTPError, *errors.HfHubHTTPError.__bases__)


def verify_etags(where: str, folder: Path) -> None:
    """Compare each downloaded file with what the hub said of it: SHA-256 of large files, git's SHA-1 of small ones."""
    records = folder / ".cache" / "huggingface" / "download"
    for record in sorted(records.rglob("*.metadata")):
        path = folder / record.relative_to(records).with_suffix("")
        lines = record.read_text(encoding="utf-8").splitlines()
        expected = lines[1].strip() if len(lines) > 1 else ""
        if not path.is_file() or len(expected) not in (40, 64):
            continue
        if len(expected) == 64:
            actual = file_digest(path)
        else:
            content = path.read_bytes()
            actual = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if actual != expected:
            path.unlink()
            record.unlink()
            raise UserError(
                f"{where}: {path.name} has digest {actual}, the hub says {expected}; it is removed, run again"
            )
