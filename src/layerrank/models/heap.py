"""Memory that a forward pass frees stays with the process, for the next layer's tensors.

glibc gives large blocks back to the system as soon as they are freed, and takes fresh pages, to be zeroed one by one,
for the next tensor of the same size: on the processor up to a fifth of a pass (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt (malloc.h)."""

KEPT = {M_MMAP_THRESHOLD: 1 << 28, M_TRIM_THRESHOLD: 1 << 30, M_TOP_PAD: 1 << 26}
"""Bytes: the largest block that is kept when it is freed (a layer's tensors, not a model's weights), and how much."""


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed, and torch for huge pages; True where glibc has taken it.

    Elsewhere (other systems, other C libraries) nothing is changed. Once is enough for a process.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first allocation
    return tell_glibc(KEPT)


def tell_glibc(settings: Mapping[int, int]) -> bool:
    """Set parameters of mallopt for this process; False where the C library is another one, or refuses."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(ctypes.c_int(key), ctypes.c_int(value)) == 1 for key, value in settings.items())
