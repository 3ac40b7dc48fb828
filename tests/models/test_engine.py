"""A server of a job's own: waited for, on a port of its own, and gone with the job, however that ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from support.studies import CHECKOUT

from layerrank.core.errors import UserError
from layerrank.models.client import Server
from layerrank.models.engine import started

SERVER = """
import http.server, os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[2]).write_text(f"{os.getpid()} {child.pid}")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""A server that has a child of its own, as engines do, and writes both numbers down."""


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "server.py").write_text(SERVER)
    return {"command": f"{sys.executable} {tmp_path}/server.py {{port}} {tmp_path}/pids", "wait": 60}


def alive(pid):
    return status(pid)[:1] not in ("", "Z")


def status(pid):
    """State and parent of a process; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
    return ""


def gone(pids):
    until = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


def pids_of(tmp_path):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError, ValueError):
            server, child = (tmp_path / "pids").read_text().split()
            return int(server), int(child)
        time.sleep(0.05)
    raise AssertionError("no server")


def test_it_answers_within_the_block_and_is_gone_with_its_children_after_it(tmp_path, engine):
    with started(Server(engine=engine), "m") as server:
        assert server.address.startswith("http://127.0.0.1:") and server.address.endswith("/v1")
        assert urllib.request.urlopen(server.address.removesuffix("/v1") + "/health").status == 200
        pids = pids_of(tmp_path)
        assert all(map(alive, pids))
    assert gone(pids)


def test_two_jobs_have_two_ports(tmp_path, engine):
    with started(Server(engine=engine), "m") as one, started(Server(engine=engine), "m") as other:
        assert one.address != other.address


def test_an_error_in_the_block_ends_it_too(tmp_path, engine):
    with pytest.raises(ZeroDivisionError), started(Server(engine=engine), "m"):
        raise ZeroDivisionError
    assert gone(pids_of(tmp_path))


JOB = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs begin with it ignored
from layerrank.models.client import Server
from layerrank.models.engine import started
with started(Server(engine={"command": sys.argv[1], "wait": 60}), "m"):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_takes_its_server_along(tmp_path, engine, number):
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, engine["command"]],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT / "src")},
        start_new_session=True,
    )
    assert job.stdout.readline() == b"ready\n"
    pids = pids_of(tmp_path)
    job.send_signal(number)
    job.wait(60)
    assert gone(pids)


def test_a_killed_keeper_takes_the_server_along(tmp_path, engine):
    with started(Server(engine=engine), "m"):
        server, child = pids_of(tmp_path)
        keeper = int(status(server).split()[1])
        os.kill(keeper, signal.SIGKILL)
        assert gone([server])
    os.kill(child, signal.SIGKILL)  # it was told nothing: only the server itself is the keeper's


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"command": "true {port}"}, "key 'engine': it ended with status 0 before it answered"),
        ({"command": "no-such-program {port}"}, "key 'engine': it ended with status 1 before it answered"),
        ({"command": "sleep 60 {port}", "wait": 1}, "no answer at http://127.0.0.1:.*/health within 1 seconds"),
        ({"command": "vllm serve model"}, r"it does not say \{port\}"),
        ({"command": "vllm '{port}"}, "key 'engine'.command: No closing quotation"),
        ({}, "'command' is missing"),
    ],
)
def test_what_does_not_start_is_one_line(engine, words):
    with pytest.raises(UserError, match=words), started(Server(engine=engine), "m"):
        pass
