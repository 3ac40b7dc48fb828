"""The device that a model runs on: which one, its name, its memory, its clock."""

from __future__ import annotations

import torch

OutOfMemory = torch.OutOfMemoryError
"""What a device raises where its memory does not hold a batch."""


def place_of(device: str | None) -> str:
    """The device asked for; where none is, the first CUDA device, else the processor."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def name_of(place: str) -> str:
    """What the device at `place` calls itself; of "auto", the first one."""
    if not torch.cuda.is_available() or place == "cpu":
        return "cpu"
    return str(torch.cuda.get_device_name(None if place == "auto" else place))


def release() -> None:
    """Hand back the memory that torch keeps cached on CUDA devices; nothing where there are none."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def synchronise(device: torch.device) -> None:
    """Return when every CUDA device has done what was asked of it; at once on the processor."""
    if device.type == "cuda":
        for index in range(torch.cuda.device_count()):
            torch.cuda.synchronize(index)
