"""What a machine is, and what it holds while it works: hardware and memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from layerrank.models.device import release, synchronise

MIB = 2**20


def hardware(device: torch.device) -> dict[str, Any]:
    """Return what figures were measured on: processor, cores, torch's threads, memory in MiB, and the device's name."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
        "device": "cpu",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"device": properties.name, "devices": torch.cuda.device_count()}
        found["device_memory_mib"] = properties.total_memory // MIB
    return found


@dataclass
class Peak:
    """The most that memory rose during a `peak_memory` block, in MiB; None where the system does not tell."""

    mib: float | None = None


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure how far memory rises above what is held at the start: of the device, else of this process (Linux).

    On the processor, freed memory is handed back first, and the process's high-water mark of resident memory is reset.
    """
    found = Peak()
    gc.collect()
    if device.type == "cuda":
        synchronise(device)
        devices = range(torch.cuda.device_count())
        held = [torch.cuda.memory_allocated(index) for index in devices]
        for index in devices:
            torch.cuda.reset_peak_memory_stats(index)
        yield found
        synchronise(device)
        found.mib = sum(torch.cuda.max_memory_allocated(i) - held[i] for i in devices) / MIB
        return
    give_back()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        held_now: int | None = _status("VmRSS")
    except OSError:
        held_now = None
    yield found
    if held_now is not None:
        found.mib = (_status("VmHWM") - held_now) / 1024


def give_back() -> None:
    """Hand freed memory back to the system, where the C library can."""
    gc.collect()
    release()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _status(field_name: str) -> int:
    """A field of this process's status, in KiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field_name}:"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field_name}")
