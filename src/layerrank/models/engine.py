"""A server of its own for a job: started on the job's node, on a free port, and ended with the job, however it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from layerrank.core.errors import UserError
from layerrank.models.client import Server
from layerrank.models.keeper import PATIENCE

WAIT = 1800.0
"""Seconds that a server has to load its model, unless the entry says."""

KEEPER = Path(__file__).with_name("keeper.py")

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def started(server: Server, name: str) -> Iterator[Server]:
    """Yield where the model is served: `server` itself, or with its `engine` running for the time of the block.

    What the engine says goes to standard error.

    Raises:
        UserError: the engine cannot be started, ends before it answers, or takes too long to.
    """
    if server.engine is None:
        yield server
        return
    where, port = f"model {name}: key 'engine'", _free_port()
    words = command(server.engine, port, where)
    _log.info("%s: %s", where, shlex.join(words))
    keeper = subprocess.Popen(
        [sys.executable, "-P", str(KEEPER), *words], stdin=subprocess.PIPE, stdout=sys.stderr, start_new_session=True
    )
    try:
        root = f"http://127.0.0.1:{port}"
        _wait(keeper, root + server.engine.get("health", "/health"), float(server.engine.get("wait", WAIT)), where)
        yield dataclasses.replace(server, address=root + "/v1", engine=None)
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        try:
            keeper.wait(3 * PATIENCE)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()


def command(engine: Mapping[str, Any], port: int, where: str) -> list[str]:
    """The words of an engine's command, `{port}` in its place; `UserError` where it cannot be one."""
    try:
        words = [word.replace("{port}", str(port)) for word in shlex.split(str(engine["command"]))]
    except KeyError:
        raise UserError(f"{where}: 'command' is missing") from None
    except ValueError as error:
        raise UserError(f"{where}.command: {error}") from None
    if "{port}" not in str(engine["command"]):
        raise UserError(f"{where}.command: it does not say {{port}}, where each job puts a free one")
    return words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(keeper: subprocess.Popen[bytes], address: str, seconds: float, where: str) -> None:
    """Return when the server answers."""
    until = time.monotonic() + seconds
    with httpx2.Client(timeout=5, trust_env=False) as http:
        while time.monotonic() < until:
            if (status := keeper.poll()) is not None:
                raise UserError(f"{where}: it ended with status {status} before it answered; the log has its words")
            with contextlib.suppress(httpx2.HTTPError):
                if http.get(address).status_code == 200:
                    return
            time.sleep(0.2)
    raise UserError(f"{where}: no answer at {address} within {seconds:g} seconds (key 'wait')")
