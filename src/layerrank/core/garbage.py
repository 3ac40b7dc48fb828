"""Garbage is looked for seldom in a process that starts, or that plans a study: nearly all that it makes stays.

Python looks through its objects time and again while some 2,900 modules of torch and transformers are imported: a fifth
of the processor seconds that a job takes to its first token.
"""

from __future__ import annotations

import gc

SELDOM = (100_000, 50, 100)
"""Thresholds of Python's collector: while a job starts, some twenty looks at what is new, and none at everything."""

_USUAL = gc.get_threshold()


def collect_seldom() -> None:
    """Look for garbage seldom, until `collect_as_usual`: for a process that is a command, not for a user's own."""
    gc.set_threshold(*SELDOM)


def collect_as_usual() -> None:
    """Look for garbage as before `collect_seldom`, if that was called: what a forward pass leaves may be large."""
    if gc.get_threshold() == SELDOM:
        gc.set_threshold(*_USUAL)
