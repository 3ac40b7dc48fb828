"""Commands that start in no time: a process that has imported what commands of a study need runs each in a fork.

What a study's jobs are and say is what it would be otherwise: the same shell lines, each in a process of its own. What
this cannot see is what start-up itself does: in the study that most tests are about, the first command of each kind is
started in a fresh interpreter, and tests/commands/test_imports.py starts each stage in one.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


@functools.cache
def environment() -> dict[str, str]:
    """What to add to the environment of Snakemake; starts the process, once for each worker."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    atexit.register(folder.cleanup)
    address = Path(folder.name) / "socket"
    source = str(HERE.parents[2] / "src")
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert server.stdin and server.stdout
    atexit.register(server.stdin.close)
    assert server.stdout.readline() == b"ready\n"
    return {"TEST_WARM": str(address), "PYTHONPATH": str(HERE)}


def first_fresh(folder: Path) -> dict[str, str]:
    """The same, but for the first command of each kind, which starts as a user's; `folder` keeps which there were."""
    folder.mkdir(parents=True, exist_ok=True)
    return environment() | {"TEST_FRESH": str(folder)}
