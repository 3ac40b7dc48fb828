"""Seconds in turns, the machine's own rates, and memory of whole process trees."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from layerrank.attention.probe import NAME
from layerrank.latency.machine import synchronise
from layerrank.models.decoder import DTYPES

CPU = torch.device("cpu")
SHAPES = ((2048, 2048, 2048), (2816, 576, 1536), (2816, 1536, 576))
"""Matrix products [n, i] · [i, o] whose best rate is the machine's: a square, and a small model's MLP."""


def device_at_hand() -> torch.device:
    """The first CUDA device, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
_clock = ["wall"]


def use_clock(name: str) -> None:
    """Take seconds of the wall, or of the processor alone: a fallback for a shared machine, fair with one thread."""
    _clock[0] = name


def now() -> float:
    """Seconds of the clock in use."""
    return CLOCKS[_clock[0]]()


def timed(work: Callable[[], object], device: torch.device = CPU) -> float:
    """Seconds of one call, the device done at both ends."""
    synchronise(device)
    began = now()
    work()
    synchronise(device)
    return now() - began


def in_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int, device: torch.device = CPU, warmup: bool = True
) -> dict[str, list[float]]:
    """Seconds of each run in each round; the runs take turns, each round begins with another one."""
    names = list(runs)
    if warmup:
        for name in names:
            runs[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            seconds[name].append(timed(runs[name], device))
    return seconds


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """above / below, round by round."""
    return [one / other for one, other in zip(above, below, strict=True)]


class MatrixRate:
    """Calling it measures the machine's best rate of matrix products of a dtype; `values` are in GFLOP/s."""

    def __init__(self, dtype: str, device: torch.device) -> None:
        self.device = device
        self.values: list[float] = []
        self._pairs = [
            (
                torch.randn(n, i, device=device).to(DTYPES[dtype]),
                torch.randn(o, i, device=device).to(DTYPES[dtype]),
                2 * n * i * o,
            )
            for n, i, o in SHAPES
        ]

    @torch.inference_mode()
    def __call__(self) -> None:
        """Measure once more."""
        best = 0.0
        for left, right, operations in self._pairs:
            torch.nn.functional.linear(left, right)
            for _ in range(3):
                best = max(
                    best, operations / timed(lambda a=left, b=right: torch.nn.functional.linear(a, b), self.device)
                )
        self.values.append(best / 1e9)


def memory_rate(device: torch.device, mib: int = 256) -> float:
    """GB/s of reading and writing: the best of five copies of `mib` MiB."""
    source = torch.zeros(mib * 2**18, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return max(2 * source.nbytes / timed(lambda: target.copy_(source), device) for _ in range(5)) / 1e9


@contextlib.contextmanager
def attention_clock(device: torch.device) -> Iterator[list[float]]:
    """A list whose one entry grows by the seconds that layerrank's attention function takes; synchronises each call."""
    plain = ALL_ATTENTION_FUNCTIONS[NAME]
    seconds = [0.0]

    def clocked(*arguments: Any, **options: Any) -> Any:
        synchronise(device)
        began = now()
        try:
            return plain(*arguments, **options)
        finally:
            synchronise(device)
            seconds[0] += now() - began

    ALL_ATTENTION_FUNCTIONS.register(NAME, clocked)
    try:
        yield seconds
    finally:
        ALL_ATTENTION_FUNCTIONS.register(NAME, plain)


def timed_children(work: Callable[[], object]) -> float:
    """Seconds of a call that waits for child processes: of the wall, or of their processor time."""
    began, children = time.perf_counter(), _children()
    work()
    return time.perf_counter() - began if _clock[0] == "wall" else _children() - children


def run_process(arguments: Sequence[str], folder: Path | None = None) -> tuple[float, float]:
    """Run `python …` to its end: seconds, and the most private memory of it and its children together, in MiB.

    Pages of mapped files do not count: they are the system's cache. Raises where it fails.
    """
    began, children = time.perf_counter(), _children()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    most = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.1):
            most = max(most, sum(private_kib(pid) for pid in _tree(process.pid)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    _, errors = process.communicate()
    seconds = time.perf_counter() - began if _clock[0] == "wall" else _children() - children
    done.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"python {' '.join(arguments)}: {errors.strip()[-2000:]}")
    return seconds, most / 1024


def _children() -> float:
    """Processor seconds of all child processes that have ended, theirs included."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _tree(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                found += _tree(int(child))
    return found


def private_kib(pid: int) -> int:
    """Anonymous and shared resident memory of a process, in KiB; 0 once it is gone."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1])
    return total
