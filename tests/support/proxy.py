"""A server between a client and an engine, which fails as it is told, or says what a test lets it say."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = str
"""`429`, `500`, … (a status); `slow` (none in time); `cut` (half of one); `nonsense` (no JSON); `dropped`."""


@dataclass
class Proxy:
    """What goes through.

    faults: what happens to the coming POST requests, in their order; then all is well.
    change: what becomes of a request's body and path before it goes on; None refuses it with 400.
    invent: answers POST requests in place of an engine.
    seen: path, body and headers of each POST.
    most: of requests under way at once.
    """

    engine: str = ""
    faults: list[Fault] = field(default_factory=list)
    change: Callable[[str, dict[str, Any]], dict[str, Any] | None] = lambda path, body: body
    alter: Callable[[dict[str, Any], dict[str, Any]], Any] = lambda asked, said: said
    invent: Callable[[str, dict[str, Any]], Any] | None = None
    seen: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    slow: float = 5.0
    address: str = ""


@contextlib.contextmanager
def between(proxy: Proxy) -> Iterator[Proxy]:
    """Run it on a free port of 127.0.0.1; its `address` ends in /v1."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not proxy.engine:
                self._say(404, b"{}")
                return
            try:
                with urllib.request.urlopen(proxy.engine + self.path) as answer:
                    self._say(200, answer.read())
            except urllib.error.HTTPError as error:
                self._say(error.code, error.read())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                proxy.seen.append((self.path, body, dict(self.headers)))
                fault = proxy.faults.pop(0) if proxy.faults else ""
                proxy.under_way += 1
                proxy.most = max(proxy.most, proxy.under_way)
            try:
                self._answer(body, fault)
            finally:
                with lock:
                    proxy.under_way -= 1

        def _answer(self, body: dict[str, Any], fault: Fault) -> None:
            if fault.isdigit():
                self._say(int(fault), json.dumps({"error": {"message": f"as told, {self.headers}"}}).encode())
            elif fault == "dropped":
                self.close_connection = True
            elif fault == "nonsense":
                self._say(200, b"<html>gateway</html>")
            elif fault == "slow":
                time.sleep(proxy.slow)
                self.close_connection = True
            else:
                self._through(body, cut=fault == "cut")

        def _through(self, body: dict[str, Any], cut: bool) -> None:
            changed = proxy.change(self.path, body)
            if changed is None:
                self._say(400, b'{"error": {"message": "not here"}}')
                return
            if proxy.invent is not None:
                said = json.dumps(proxy.invent(self.path, changed)).encode()
            else:
                asked = urllib.request.Request(
                    proxy.engine + self.path, json.dumps(changed).encode(), {"Content-Type": "application/json"}
                )
                try:
                    with urllib.request.urlopen(asked) as answer:
                        said = json.dumps(proxy.alter(changed, json.loads(answer.read()))).encode()
                except urllib.error.HTTPError as error:
                    self._say(error.code, error.read())
                    return
            self._say(200, said, half=cut)

        def _say(self, status: int, said: bytes, half: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said[: len(said) // 2] if half else said)
            self.wfile.flush()
            self.close_connection = self.close_connection or half

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    proxy.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
