"""Files that grow, and locks, in folders that others may write to: one writer at a time, never through a link."""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from layerrank.core.errors import UserError

_log = logging.getLogger(__name__)

_TEMPORARY = ".tmp"
"""How the names end of files that are not whole yet."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_NOT_PLAIN = (errno.ELOOP, errno.EISDIR, errno.ENXIO)


def open_exclusive(path: Path, what: str) -> BinaryIO:
    """Open a growing file to read and write, made where absent, and hold its lock until it is closed.

    The folder is made as well. A new file has the folder's permissions; an old one is neither followed nor cut. On a
    file system without locks there is none.

    Args:
        path: the file.
        what: what is written, for the message, as "this store".

    Raises:
        UserError: another process holds the file, or it is a link or no plain file; what it points to is left alone.
    """
    return _held(path, what)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, after waiting for whoever holds it; the file stays. Raises as `open_exclusive`."""
    with _held(path, None):
        yield


@contextlib.contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder at `path`, removed at the end; what a killed process left of it goes first.

    The caller holds a lock that belongs to `path`.

    Raises:
        UserError: `path` is a link or no folder.
    """
    _remove_folder(path)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        _remove_folder(path)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield an empty hidden file beside `path`, removed at the end; those that killed processes left of it go first.

    Its lock says that its process lives: what another one is writing at the same time stays.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            _remove_unheld(left)
    handle, name = _locked_temporary(path)
    try:
        yield Path(name)
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)


def plain(path: Path) -> Path:
    """`path`, or `UserError` where it is a link: its target is never written."""
    if path.is_symlink():
        raise UserError(_refusal(path, "is a symbolic link"))
    return path


def _held(path: Path, what: str | None) -> BinaryIO:
    """An open file under lock; where `what` is None, after waiting for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.fdopen(_descriptor(path), "r+b")
        try:
            if not filelock.lock_descriptor(file.fileno(), blocking=False):
                if what is not None:
                    raise UserError(f"{path}: another process is writing {what}")
                _log.info("%s: waiting for another process", path)
                filelock.lock_descriptor(file.fileno(), poll_interval=0.2)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                file.close()
                raise
            _log.debug("%s: no lock", path)
        except BaseException:
            file.close()
            raise
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # whoever held it has removed it: this one guards nothing


def _descriptor(path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            try:
                return _checked(os.open(path, flags), path)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in _NOT_PLAIN:
                    raise
                raise UserError(_refusal(path, "is a symbolic link" if path.is_symlink() else "is no file")) from None
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o600 | path.parent.stat().st_mode & 0o066)
        return descriptor


def _checked(descriptor: int, path: Path) -> int:
    """`descriptor`, unless it is of a device or pipe, or of a file that has another name besides."""
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    raise UserError(_refusal(path, "has another name (a hard link)" if stat.S_ISREG(found.st_mode) else "is no file"))


def _locked_temporary(path: Path) -> tuple[int, str]:
    """A new file beside `path` under lock, where there are locks: its descriptor and its name."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_TEMPORARY, dir=path.parent)
        held = True
        with contextlib.suppress(OSError):
            held = filelock.lock_descriptor(handle, blocking=False)
        if held and os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # another process took it for one that was left, before it was under lock


def _remove_unheld(path: Path) -> None:
    """Remove a file whose lock nobody holds; on a file system without locks it stays."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if filelock.lock_descriptor(descriptor, blocking=False):
            path.unlink()
    finally:
        os.close(descriptor)


def _refusal(path: Path, why: str) -> str:
    return f"{path}: it {why}, which layerrank does not write to; remove it"


def _remove_folder(path: Path) -> None:
    if plain(path).is_dir():
        shutil.rmtree(path)
    elif path.exists():
        raise UserError(_refusal(path, "is no folder"))
