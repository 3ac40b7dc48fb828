"""Memory that a forward pass frees stays with the process, for the next layer's tensors.

glibc gives large blocks back to the system as soon as they are freed, and takes fresh pages, to be zeroed one by one,
for the next tensor of the same size: on the processor up to a fifth of a pass (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt (malloc.h)."""

LARGEST_KEPT = 1 << 28
"""Bytes of the largest block that is kept when it is freed: a layer's tensors, not a model's weights."""

KEPT = 1 << 30
"""Free bytes that stay with the process."""


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed, and torch for huge pages; True where glibc has taken it.

    Elsewhere (other systems, other C libraries) nothing is changed. Once is enough for a process.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first allocation
    if platform.libc_ver()[0] != "glibc":
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_KEPT), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, LARGEST_KEPT // 4))
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(ctypes.c_int(key), ctypes.c_int(value)) == 1 for key, value in settings)
