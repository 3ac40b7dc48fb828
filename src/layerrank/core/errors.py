"""The one exception that a user can cause, and the name of the file in those of the system."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class UserError(Exception):
    """Bad input. Its message is one line that names the key or file, the value, and what is allowed.

    The command line prints it to stderr and exits with code 2; anything else is a defect and keeps its traceback.
    """


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a quota or a limit of files is full."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the file's name to an `OSError` raised within that has none: that of a full disk says only what is wrong."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


class InputError(UserError, ValueError):
    """A `UserError` as the Python interface raises it: there it is a `ValueError` as well."""
