"""Files that grow, and locks, in folders that others may write to: one writer at a time, never through a link."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from layerrank.core.errors import UserError

_log = logging.getLogger(__name__)

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


def _refusal(path: Path, why: str) -> str:
    return f"{path}: it {why}, which layerrank does not write to; remove it"


def _remove_folder(path: Path) -> None:
    if plain(path).is_dir():
        shutil.rmtree(path)
    elif path.exists():
        raise UserError(_refusal(path, "is no folder"))
