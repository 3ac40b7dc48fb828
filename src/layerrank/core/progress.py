"""How far long work has come: a bar on a terminal, elsewhere a line in the log once a minute."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

T = TypeVar("T")

EVERY = 60.0
"""Seconds between two lines of a log."""

_log = logging.getLogger(__name__)


class Progress:
    """What `progress` yields.

    Args:
        total: parts of the work, where it is known.
        what: names the work.
        unit: names its parts, in the plural; bytes (`B`) are shown in units that fit.
        done: parts that were done before.
        shown: whether there is a bar; None: on a terminal alone, elsewhere lines of the log. False shows nothing.
    """

    def __init__(self, total: int | None, what: str, unit: str, done: int, shown: bool | None = None) -> None:
        self._total, self._what, self._unit = total, what, unit
        self._done = self._before = done
        self._begun = self._said = time.monotonic()
        self._bar = None
        self._silent = shown is False
        if sys.stderr.isatty() if shown is None else shown:
            self._bar = tqdm(total=total, initial=done, desc=what, unit=f" {unit}", unit_scale=unit == "B")

    def update(self, parts: int = 1, note: str = "") -> None:
        """Count parts as done; `note` says what else there is to say, as that batches pass though no query is done."""
        self._done += parts
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(parts)
        elif not self._silent and time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            _log.info("%s", self.line(note))

    def line(self, note: str = "") -> str:
        """The parts done, of how many; how fast, and how long it takes from here, once there is a rate."""
        words = [f"{self._what}: {self._count(self._done)}"]
        if self._total is not None:
            words[0] += f" of {self._count(self._total)}"
        words[0] += "" if self._unit == "B" else f" {self._unit}"
        seconds = time.monotonic() - self._begun
        if (parts := self._done - self._before) and seconds > 0:
            rate = parts / seconds
            span, words_of_span = (1, "second") if rate >= 1 or self._unit == "B" else (60, "minute")
            shown = self._count(rate * span) if self._unit == "B" else f"{rate * span:.1f}"
            words.append(f"{shown} a {words_of_span}")
            if self._total is not None:
                words.append(f"{tqdm.format_interval((self._total - self._done) / rate)} left")
        return ", ".join([*words, *([note] if note else [])])

    def _count(self, parts: float) -> str:
        return tqdm.format_sizeof(parts, "B") if self._unit == "B" else f"{parts:,.0f}"

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def progress(
    total: int | None, what: str, unit: str = "queries", *, done: int = 0, bar: bool | None = None
) -> Iterator[Progress]:
    """Show how far work has come while the context lasts; on a terminal, what is logged goes above the bar.

    `bar`: as `Progress` takes `shown`.
    """
    shown = Progress(total, what, unit, done, bar)
    with contextlib.ExitStack() as stack:
        if sys.stderr.isatty():
            stack.enter_context(logging_redirect_tqdm())
        try:
            yield shown
        finally:
            shown.close()


def counted(parts: Iterable[T], what: str, unit: str = "queries", *, total: int | None = None) -> Iterator[T]:
    """Yield each of `parts`, counted as done when the next is asked for."""
    with progress(total, what, unit) as shown:
        for part in parts:
            yield part
            shown.update()
