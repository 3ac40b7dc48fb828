"""Wheels and source packages made in place, harmless and hostile ones, and a package index on the loopback address."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from support.server import Site


def save_wheel(folder: Path, package: str, version: str, members: Mapping[str, bytes]) -> Path:
    """A wheel of `members` (name in the archive → content) in `folder`."""
    stem = f"{package.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    about = f"{stem}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def save_hostile_sdist(folder: Path, package: str, version: str, marker: Path) -> Path:
    """A source package whose set-up writes `marker`: code of its own that runs where pip builds it."""
    stem = f"{package}-{version}"
    path = folder / f"{stem}.tar.gz"
    setup = (
        f"open({str(marker)!r}, 'w').write('run')\n"
        f"from setuptools import setup\nsetup(name={package!r}, version={version!r})\n"
    )
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (
            ("setup.py", setup),
            ("PKG-INFO", f"Metadata-Version: 1.0\nName: {package}\nVersion: {version}\n"),
        ):
            member = tarfile.TarInfo(f"{stem}/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def index_of(paths: Iterable[Path], package: str) -> Site:
    """A site that answers for `package` as a package index does."""
    site = Site()
    links = "".join(f'<a href="/files/{path.name}">{path.name}</a>\n' for path in paths)
    site.files[f"/simple/{package}/"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
    site.headers[f"/simple/{package}/"] = {"Content-Type": "text/html"}
    for path in paths:
        site.files[f"/files/{path.name}"] = path.read_bytes()
    return site
