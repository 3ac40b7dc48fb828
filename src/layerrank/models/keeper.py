"""Keeps a server as long as the process that began this one: a program by itself, of the standard library alone.

Its standard input is a pipe that nobody writes to. The pipe ends when the other process does, however it ends, and then
the server ends as well, with all that it has started; should this process be killed, Linux kills the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

PATIENCE = 10.0
"""Seconds that a server has to end by itself."""

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that a process gets when its parent ends."""


def keep(command: Sequence[str]) -> int:
    """Run a command until it ends, standard input ends, or a signal says so; its exit status."""
    libc = ctypes.CDLL(None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=(lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)) if hasattr(libc, "prctl") else None,
    )
    try:
        while server.poll() is None:
            ready, _, _ = select.select([sys.stdin], [], [], 0.2)
            if ready and not os.read(sys.stdin.fileno(), 1):
                break
    finally:
        end(server)
    return server.returncode


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server and what it has started: asked first, killed after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        until = time.monotonic() + PATIENCE
        while server.poll() is None and time.monotonic() < until:
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
