"""Downloads into the cache that studies share: resumed, digest-checked, moved into place only when whole."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.core.errors import NO_ROOM, UserError
from layerrank.core.files import write_text
from layerrank.core.locks import locked, open_exclusive, plain
from layerrank.core.progress import progress

ATTEMPTS = 4
PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""
TIMEOUT = 60.0
"""Seconds without an answer after which a connection counts as dropped."""
BLOCK = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to be had from any of `urls`.

    `digest` is `md5:…`, `sha256:…` or `git:…` (the blob id that git gives the file), None where its publisher names
    none: then the digest of the first whole download is kept beside the file and holds from there on. `size` in bytes.
    """

    urls: Sequence[str]
    digest: str | None = None
    size: int | None = None


class _BrokenError(Exception):
    """A transfer that may succeed when it is tried again."""


class _UnavailableError(Exception):
    """An address that gives nothing: absent, forbidden or out of reach."""


def fetch(remote: Remote, destination: Path, what: str) -> Path:
    """Make sure that `destination` holds the remote file, whole, and return it.

    A file that lies there is used when its digest is right and fetched again when it is not. A dropped transfer goes
    on where it stopped. `UserError` names what is missing, why, and where to put it by hand.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with locked(destination.with_name(destination.name + ".lock")):
        if destination.is_file():
            expected = remote.digest or _recorded(destination)
            if expected is None or digest_of(destination, expected.partition(":")[0]) == expected:
                return destination
            _log.warning("%s does not have digest %s: fetching it again", destination, expected)
            destination.unlink()
        reasons = []
        for url in remote.urls:
            try:
                _fetch_from(mirrored(url), remote, destination, what)
            except _UnavailableError as error:
                reasons.append(str(error))
            else:
                return destination
    digest = f" with digest {remote.digest}" if remote.digest else ""
    raise UserError(f"{what} cannot be fetched ({'; '.join(reasons)}): put the file{digest} at {destination}")


def mirrored(url: str) -> str:
    """The address to ask in place of `url`: LAYERRANK_MIRROR or, for the model hub, HF_ENDPOINT may stand before it."""
    mirror = os.environ.get("LAYERRANK_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{url.split('://', 1)[1]}"
    endpoint = os.environ.get("HF_ENDPOINT")
    hub = "https://huggingface.co/"
    return f"{endpoint.rstrip('/')}/{url.removeprefix(hub)}" if endpoint and url.startswith(hub) else url


def digest_of(path: Path, algorithm: str) -> str:
    """Digest of a file as `algorithm:hexadecimal`; `git` is the id that git gives the file as a blob."""
    with path.open("rb") as stream:
        if algorithm != "git":
            return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := stream.read(BLOCK):
            digest.update(block)
        return f"git:{digest.hexdigest()}"


def _fetch_from(url: str, remote: Remote, destination: Path, what: str) -> None:
    """Fetch from one address, with several attempts; `_UnavailableError` says why it gives no whole file."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in {"", "0"}:
        raise _UnavailableError("HF_HUB_OFFLINE is set")
    partial = plain(destination.with_name(destination.name + ".part"))
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            declared = _transfer(url, remote, partial, what)
            _check(partial, remote.digest or declared, remote.size)
        except _BrokenError as error:
            _log.warning("%s: %s", what, error)
            reason = f"{url}: {error}"
            continue
        if remote.digest is None:
            write_text(_record(destination), digest_of(partial, "sha256") + "\n")
        partial.replace(destination)
        return
    raise _UnavailableError(reason)


def _transfer(url: str, remote: Remote, partial: Path, what: str) -> str | None:
    """Append what is missing to `partial`; return the digest that the server declares, where it does.

    Without a digest to check the whole by, a partial file is not trusted and the transfer starts anew.
    """
    if remote.digest is None:
        partial.unlink(missing_ok=True)
    have = partial.stat().st_size if partial.is_file() else 0
    headers = {"User-Agent": "layerrank"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                have = 0
            length = response.headers.get("Content-Length")
            wrote = _append(response, partial, have, int(length) if length else None, what)
            declared = response.headers.get("X-Linked-ETag", "").strip('"')
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or error.code == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise _BrokenError(f"HTTP {error.code}") from None
        raise _UnavailableError(f"{url}: HTTP {error.code}") from None
    except urllib.error.URLError as error:
        raise _UnavailableError(f"{url}: {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            error.filename = str(partial)
            raise
        raise _BrokenError(f"the connection broke ({error})") from None
    if length and wrote != int(length):
        raise _BrokenError(f"the connection broke after {wrote} of {length} bytes")
    return f"sha256:{declared}" if re.fullmatch(r"[0-9a-f]{64}", declared) else None


def _append(response: Any, partial: Path, have: int, length: int | None, what: str) -> int:
    """Write the body after the `have` bytes of `partial` (none: anew); return how many bytes came."""
    wrote = 0
    total = None if length is None else have + length
    with (
        open_exclusive(partial, "this file") as stream,
        progress(total, what, "B", done=have) as shown,
    ):
        stream.truncate(have)
        stream.seek(have)
        while block := response.read(BLOCK):
            stream.write(block)
            wrote += len(block)
            shown.update(len(block))
        stream.flush()
        os.fsync(stream.fileno())
    return wrote


def _check(partial: Path, digest: str | None, size: int | None) -> None:
    """Refuse, and remove, a file that is not what it should be."""
    found_size = partial.stat().st_size
    if size is not None and size >= 0 and found_size != size:
        partial.unlink()
        raise _BrokenError(f"{found_size} bytes came, {size} were expected")
    if digest is not None:
        found = digest_of(partial, digest.partition(":")[0])
        if found != digest:
            partial.unlink()
            raise _BrokenError(f"the digest is {found}, not {digest}")


def _record(destination: Path) -> Path:
    return destination.with_name(destination.name + ".digest")


def _recorded(destination: Path) -> str | None:
    record = _record(destination)
    return record.read_text(encoding="utf-8").strip() if record.is_file() else None
