"""server.py SOCKET: import what commands of a study need, then run each that is asked for in a fork of this process."""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import NoReturn

MODULES = (
    "layerrank.attention.extract",
    "layerrank.evaluation.values",
    "layerrank.evaluation.compare",
    "layerrank.latency.stages",
    "layerrank.layers.selection",
    "layerrank.layers.sweep",
    "layerrank.ranking.cells",
    "layerrank.ranking.generation",
    "layerrank.ranking.likelihood",
    "layerrank.ranking.run",
    "layerrank.report.figures.sweep",
    "layerrank.report.tables.effectiveness",
    "layerrank.study.load",
    "snakemake.cli",
    "transformers.generation",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.llama.tokenization_llama",
)


def main(address: str) -> None:
    """Serve, until standard input ends."""
    for name in MODULES:
        importlib.import_module(name)
    learn()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(connection)
        connection.close()


def learn() -> None:
    """Find out what each reading of the workflow asks of code that does not change: digests, Snakemake's plugins."""
    from snakemake.cli import get_argument_parser

    from layerrank.commands import SUBCOMMANDS
    from layerrank.study.code import code_digest

    get_argument_parser()
    for name in SUBCOMMANDS:
        code_digest(name)


def answer(connection: socket.socket) -> NoReturn:
    """Run the command that is asked for in a fork, and tell its status."""
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    command = json.loads(b"".join(parts))
    child = os.fork()
    if not child:
        connection.close()
        become(command, files)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def become(command: dict[str, object], files: list[int]) -> NoReturn:
    """Be what the command would have started as, and run it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    module, *words = command["words"]
    sys.argv[:] = ["-m", *words]
    sys.path[0] = command["folder"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
