"""Requests to a server of models: many at once within a limit, tried again after what passes, ended by a budget.

A key is read from the environment when a request is sent; no message, log line or file holds it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import filelock
import httpx2

from layerrank.core.errors import UserError
from layerrank.core.files import read_json, write_json
from layerrank.core.secrets import MASK, masked

PASSING = (408, 409, 425, 429)
"""Answers, beside 5xx, that may be others a little later."""

WAIT = 0.5
LONGEST_WAIT = 60.0
"""Seconds before the second try, doubled with each further one, and the most of them."""

SHOWN = 200

_A = TypeVar("_A")
_B = TypeVar("_B")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Server:
    """Where a model is served, and how it is asked.

    Attributes:
        address: such as `http://127.0.0.1:8000/v1`; paths of the OpenAI interface follow it.
        key: the environment variable that holds the key, or None where none is needed.
        at_once: requests under way at a time.
        timeout: seconds that an answer may take.
        retries: further tries after a failure that may pass.
        engine: a server to start for the time of the job: `command`, `health`, `wait` (models.engine); `address` is
            then its own.
    """

    address: str = ""
    key: str | None = None
    at_once: int = 8
    timeout: float = 300.0
    retries: int = 6
    engine: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, entry: Mapping[str, Any], where: str) -> Server:
        """The server of a catalogue entry; other keys of it are no matter here.

        Raises:
            UserError: neither or both of `address` and `engine`, an address that is none or holds a secret, a name of
                a variable that is none, a number out of range.
        """
        own = {name: entry[name] for name in cls.__dataclass_fields__ if name in entry}
        if ("address" in own) == ("engine" in own):
            raise UserError(f"{where}: source 'endpoint' needs one of the keys 'address' and 'engine'")
        if "address" in own:
            check_address(own["address"], f"{where}: key 'address'")
        if own.get("key") is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(own["key"])):
            raise UserError(f"{where}: key 'key': expected the name of an environment variable, never the key itself")
        for name, least in (("at_once", 1), ("retries", 0), ("timeout", 0)):
            value = own.get(name, 1)
            whole = isinstance(value, int) if name != "timeout" else isinstance(value, (int, float)) and value > 0
            if isinstance(value, bool) or not whole or value < least:
                raise UserError(f"{where}: key {name!r}: {value!r}: expected a number from {least}")
        return cls(**own)


def check_address(address: Any, where: str) -> None:
    """Refuse what is no plain address; one with a user, a password or parameters could hold a secret."""
    if not isinstance(address, str) or not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", address):
        raise UserError(
            f"{where}: {masked(str(address))!r}: expected http(s)://host:port/v1, no user and no parameters"
        )


@dataclass
class Budget:
    """Requests and tokens that a study may spend, over all its jobs: a file that they share counts both.

    Attributes:
        path: the file of what is spent, made where absent; None: only this process counts.
        requests, tokens: the most of each; None: no limit.
    """

    path: Path | None = None
    requests: int | None = None
    tokens: int | None = None
    _spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("requests", "tokens"), 0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Count a request that is about to be sent; `BudgetError` where none may be."""
        with self._held() as spent:
            for name in ("requests", "tokens"):
                most = getattr(self, name)
                if most is not None and spent[name] >= most:
                    raise BudgetError(
                        f"served.max_{name}: {spent[name]} of {most} {name} are spent; what is finished is kept: "
                        "raise it and run again to go on"
                    )
            spent["requests"] += 1

    def add(self, tokens: int) -> None:
        """Count the tokens of an answer."""
        with self._held() as spent:
            spent["tokens"] += tokens

    @contextlib.contextmanager
    def _held(self) -> Iterator[dict[str, int]]:
        """What is spent so far, which is kept as it is left."""
        with self._lock:
            if self.path is None:
                yield self._spent
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path.with_name(f".{self.path.name}.lock"), poll_interval=0.01):
                if self.path.is_file():
                    self._spent |= read_json(self.path)
                yield self._spent
                write_json(self.path, self._spent)


class BudgetError(UserError):
    """The budget of a study is spent: nothing further is sent."""


class RefusedError(UserError):
    """A server says no to a request, and would again.

    status: its HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Asks one server.

    Args:
        server: Where it is.
        name: Of the model, for messages.
        budget: What may be spent; None: anything.

    Raises:
        UserError: The variable that should hold the key is not set.
    """

    def __init__(self, server: Server, name: str, budget: Budget | None = None) -> None:
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would log each request
        self.server = server
        self.name = name
        self.budget = budget or Budget()
        self._where = f"model {name}: {server.address}"
        if server.key and not os.environ.get(server.key):
            raise UserError(f"model {name}: key 'key': the environment variable {server.key} is not set")
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(server.timeout, connect=min(server.timeout, 30.0)),
            limits=httpx2.Limits(max_connections=server.at_once + 2, max_keepalive_connections=server.at_once + 2),
            trust_env=not re.match(r"https?://(127\.|localhost|\[::1\])", server.address),  # no proxy to this machine
        )
        self.tries = 0
        """Requests sent so far, those that were tried again included."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def post(self, path: str, body: Mapping[str, Any], read: Callable[[Any], _A]) -> _A:
        """Send JSON to a path below the address, and read the answer.

        Args:
            path: such as `/completions`.
            body: the JSON object.
            read: takes the answer's JSON; what it raises of LookupError, TypeError, ValueError is nonsense, and asked
                again.

        Raises:
            RefusedError: an answer that says no for good.
            BudgetError: before anything is sent.
            UserError: no answer that makes sense after all tries.
        """
        why, pause = "", 0.0
        for attempt in range(self.server.retries + 1):
            if attempt:
                _log.debug("%s: %s: trying again", self._where, why)
                time.sleep(pause)
            pause = min(LONGEST_WAIT, WAIT * 2**attempt) * random.uniform(0.75, 1.25)
            self.budget.begin()
            self.tries += 1
            try:
                answer = self._http.post(self.server.address + path, json=dict(body), headers=self._headers())
            except httpx2.TimeoutException:
                why = f"no answer within {self.server.timeout:g} seconds (key 'timeout')"
                continue
            except httpx2.TransportError as error:
                why = self._plain(f"{type(error).__name__}: {error}")
                continue
            if answer.status_code in PASSING or answer.status_code >= 500:
                why = f"status {answer.status_code}: {self._plain(answer.text)}"
                with contextlib.suppress(KeyError, ValueError):
                    pause = min(LONGEST_WAIT, max(pause, float(answer.headers["retry-after"])))
                continue
            if answer.status_code != 200:
                raise RefusedError(self._denied(answer), answer.status_code)
            try:
                said = answer.json()
                result = read(said)
                self.budget.add(sum(used(said)))
                return result
            except (LookupError, TypeError, ValueError) as error:
                why = self._plain(f"nonsense ({type(error).__name__}: {error})")
        raise UserError(f"{self._where}{path}: {why}, {self.server.retries + 1} times")

    def get(self, path: str) -> Any:
        """The JSON at a path of the server's root, or None where there is none; nothing is tried again."""
        root = re.sub(r"/v[0-9]+/*$", "", self.server.address)
        try:
            answer = self._http.get(root + path, headers=self._headers())
            return answer.json() if answer.status_code == 200 else None
        except (httpx2.HTTPError, ValueError):
            return None

    def map(self, function: Callable[[_A], _B], items: Iterable[_A]) -> list[_B]:
        """`function` of each, so many at once as the server allows, in their order.

        The first that fails ends it: what is under way is waited for, nothing further is begun.
        """
        listed: Sequence[_A] = list(items)
        if len(listed) < 2:
            return [function(item) for item in listed]
        pool = ThreadPoolExecutor(max_workers=self.server.at_once)
        try:
            coming = [pool.submit(function, item) for item in listed]
            done, _ = wait(coming, return_when=FIRST_EXCEPTION)
            failed = next((future for future in done if future.exception() is not None), None)
            return [future.result() for future in ([failed] if failed else coming)]
        finally:
            pool.shutdown(cancel_futures=True)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {os.environ.get(self.server.key, '')}"} if self.server.key else {}

    def _denied(self, answer: httpx2.Response) -> str:
        hint = ""
        if answer.status_code in (401, 403):
            hint = f" (the key is read from {self.server.key})" if self.server.key else " (key 'key' names no variable)"
        return f"{self._where}: status {answer.status_code}{hint}: {self._plain(answer.text)}"

    def _plain(self, text: str) -> str:
        """One short line without the key, which servers repeat when they refuse it."""
        line = " ".join(text.split())
        secret = os.environ.get(self.server.key, "") if self.server.key else ""
        line = line.replace(secret, MASK) if secret else line
        return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def used(answer: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens read and written, as an answer's `usage` says; a KeyError or TypeError where it does not."""
    usage = answer["usage"]
    return int(usage["prompt_tokens"]), int(usage.get("completion_tokens", 0))
