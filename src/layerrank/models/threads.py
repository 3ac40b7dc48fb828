"""Threads that wait for each other give the processor away soon.

The OpenMP library of torch's builds for Linux (libgomp) lets a thread that is done with its part of a product spin for
milliseconds before it sleeps. Where other programs want the same processors, that is most of what a forward pass costs:
on two processors shared with four others, a pass of 321 tokens took 4.4 processor seconds, and takes 0.6.
"""

from __future__ import annotations

import os

SPINS = "1000"
"""Turns of libgomp's waiting loop, some 0.1 ms: longer than the pause between two products of one pass."""


def yield_soon() -> None:
    """Tell libgomp, unless the environment says how to wait. It reads this once, when torch is first imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
