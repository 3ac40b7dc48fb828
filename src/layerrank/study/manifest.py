"""What a study ran on and what came out: enough to repeat it, and to tell whether a repetition gave the same.

No time stamps and no paths of the machine, so that equal studies give equal manifests.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from layerrank.core import files, versions
from layerrank.core.errors import UserError
from layerrank.core.secrets import masked

FORMAT = 1
OUTSIDE = "(outside)"
CHECKOUT = Path(__file__).resolve().parents[3]

Document = dict[str, Any]


def manifest(
    study: Mapping[str, Any],
    collections: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
    signals: Sequence[Mapping[str, Any]],
    paths: Iterable[Path],
    root: Path,
) -> Document:
    """The manifest as a JSON document.

    Args:
        study: `config` with all defaults, and the catalogue entries `collections` and `models` that it names.
        collections: what prepare-collection wrote about each collection (digests, statistics), and as `retrieved` what
            retrieve counted.
        models: what fetch-model wrote about each model: source, revision, digest; as `server` what try-server found.
        signals: the stored signals' metadata.
        paths: files to digest; they are named relative to `root`.
        root: the working directory of the study.

    Returns:
        Keys format, layerrank, code (commit and whether the checkout differs from it, None outside a checkout), python,
        platform, packages (versions of what layerrank depends on), study, collections, models, signals, files (SHA-256
        and bytes, by name). Absolute paths anywhere in it are made relative to `root`, or end in their name alone;
        passwords in addresses are masked.
    """
    document = {
        "format": FORMAT,
        "layerrank": versions.LAYERRANK,
        "code": checkout(CHECKOUT),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": packages(),
        "study": study,
        "collections": collections,
        "models": models,
        "signals": [_short(signal) for signal in signals],
    }
    digests = {
        relative(path, root): {"sha256": files.file_digest(path), "bytes": path.stat().st_size}
        for path in sorted(_existing(paths))
    }
    return {**_without_machine(document, root), "files": digests}


def provenance(document: Document) -> list[tuple[str, str]]:
    """The manifest for readers: lines of (what, value)."""
    code = document["code"]
    commit = "not a checkout" if code is None else code["commit"] + ("" if code["clean"] else ", with changes")
    lines = [("layerrank", f"{document['layerrank']}, commit {commit}")]
    lines.append(("platform", f"{document['platform']}, Python {document['python']}"))
    devices = sorted({str(signal["device"]) for signal in document["signals"] if signal.get("device")})
    if devices:
        lines.append(("device of the signals", ", ".join(devices)))
    dtypes = sorted({str(signal["dtype"]) for signal in document["signals"] if signal.get("dtype")})
    if dtypes:
        lines.append(("computed in", ", ".join(dtypes)))
    shown = ("torch", "transformers", "pyserini", "ir-measures", "scipy", "snakemake")
    found = [f"{name} {document['packages'][name]}" for name in shown if name in document["packages"]]
    lines.append(("packages", ", ".join(found)))
    for name, about in document["collections"].items():
        counts = about.get("statistics", {})
        digests = ", ".join(f"{part} {_brief(digest)}" for part, digest in sorted(about.get("digests", {}).items()))
        sizes = ", ".join(f"{counts[key]} {key}" for key in ("documents", "queries", "judgements") if key in counts)
        left_out = [
            f"{count} {what}"
            for what, count in (
                ("judged documents without a text", counts.get("judged_documents_without_text")),
                ("documents of a query's own id left out", about.get("retrieved", {}).get("own_ids_excluded")),
                ("queries without candidates", about.get("retrieved", {}).get("without_candidates")),
            )
            if count
        ]
        told = "; ".join(part for part in (sizes, ", ".join(left_out), digests) if part)
        lines.append((f"collection {name}", told))
    for name, about in document["models"].items():
        parts = [str(about.get("source", "")), str(about.get("revision") or "no revision"), _brief(about.get("digest"))]
        server = about.get("server", {})
        parts += [f"{key} {server[key]}" for key in ("engine", "version", "digest", "interface") if server.get(key)]
        lines.append((f"model {name}", ", ".join(part for part in parts if part)))
    lines.append(("configuration", files.text_digest([json.dumps(document["study"], sort_keys=True)])[:16]))
    return lines


def checkout(folder: Path) -> Document | None:
    """The commit of a git checkout and whether its tracked files are as committed; None where there is none."""
    git = shutil.which("git")
    if git is None or not (folder / ".git").exists():
        return None

    def ask(*words: str) -> str:
        found = subprocess.run([str(git), "-C", str(folder), *words], capture_output=True, text=True, check=False)
        return found.stdout.strip() if found.returncode == 0 else ""

    commit = ask("rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "clean": not ask("status", "--porcelain", "--untracked-files=no")}


def packages() -> dict[str, str]:
    """Installed versions of layerrank's dependencies, by name; what a machine lacks is left out."""
    found = {}
    for requirement in metadata.requires("layerrank") or []:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def relative(path: Path, root: Path) -> str:
    """A path as the study sees it: relative to `root`, or its name alone where it lies elsewhere."""
    try:
        return (root / path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return f"{OUTSIDE}/{path.name}"


def _existing(paths: Iterable[Path]) -> list[Path]:
    known = list(dict.fromkeys(paths))
    if missing := [path for path in known if not path.is_file()]:
        raise UserError(f"{missing[0]}: no such file")
    return known


def _short(signal: Mapping[str, Any]) -> Document:
    """A signal's metadata without the list of its queries."""
    return {**{key: value for key, value in signal.items() if key != "qids"}, "queries": len(signal.get("qids", ()))}


def _without_machine(value: Any, root: Path) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_machine(inner, root) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_machine(inner, root) for inner in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return relative(Path(value), root)
    return masked(value) if isinstance(value, str) else value


def _brief(digest: Any) -> str:
    return str(digest or "").rpartition(":")[2][:12]
