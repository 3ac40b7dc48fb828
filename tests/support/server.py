"""A server on the loopback address that serves files of a test, whole or broken."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """Files by path; `drops`: how often a connection breaks halfway; `asked`: each path and byte range asked for.

    `refusals`: by how a path begins, what the hub calls it where nothing is there (X-Error-Code); the longest counts.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    short: set[str] = field(default_factory=set)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    url: str = ""


@contextlib.contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve `site` on a free port of 127.0.0.1; honours byte ranges.

    A path in `short` is served cut by one byte, with a Content-Length that says so: a file truncated at its source.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.asked.append((self.path, asked))
            if self.path not in site.files:
                self.refuse()
                return
            body = site.files[self.path]
            body = body[:-1] if self.path in site.short else body
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if start >= len(body):
                self.send_error(416)
                return
            rest = body[start:]
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(rest)))
            for name, value in site.headers.get(self.path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            if site.drops.get(self.path, 0) > 0:
                site.drops[self.path] -= 1
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(rest)

        def refuse(self) -> None:
            codes = [site.refusals[start] for start in sorted(site.refusals, key=len) if self.path.startswith(start)]
            self.send_response(404)
            self.send_header("Content-Length", "0")
            if codes:
                self.send_header("X-Error-Code", codes[-1])
            self.end_headers()

        def do_HEAD(self) -> None:
            if self.path not in site.files:
                self.refuse()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(site.files[self.path])))
            for name, value in site.headers.get(self.path, {}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
