"""The most memory that a way to rank takes above the model's weights, by formula and measured, a process each.

python -m benchmarks.sections.memory '{"model": "FOLDER", "mechanism": "likelihood", …}'
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.rows import Row
from benchmarks.settings import ROOT, Settings

SECTION = "memory"
CASES: Mapping[str, Mapping[str, Any]] = {
    "extraction, 20 passages, float32": {"passages": 20, "words": 50},
    "extraction, 100 passages, float32": {"passages": 100, "words": 50},
    "extraction, 100 passages, bfloat16": {"passages": 100, "words": 50, "dtype": "bfloat16"},
    "setwise attention, float32": {"mechanism": "attention", "passages": 3, "words": 50},
    "setwise likelihood, float32": {"mechanism": "likelihood", "passages": 3, "words": 50},
    "setwise generation, float32": {"mechanism": "generation", "passages": 3, "words": 50},
    "setwise generation, bfloat16": {
        "mechanism": "generation",
        "passages": 3,
        "words": 50,
        "dtype": "bfloat16",
    },
    "listwise generation, float32": {
        "mechanism": "generation",
        "framework": "listwise",
        "passages": 20,
        "words": 20,
    },
}
"""What is measured. Online mechanisms score one batch, as many groups as come to 8,192 tokens."""


def run(settings: Settings) -> Iterator[Row]:
    """Both, and their ratio; on the processor alone, which is what the formula tells of."""
    if settings.device.type != "cpu":
        return
    for name, case in CASES.items():
        told = {**case, "model": str(settings.model), "family": settings.family, "quick": settings.quick}
        command = [sys.executable, "-m", "benchmarks.peak", json.dumps(told)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.strip()[-2000:]}")
        found = json.loads(done.stdout)
        yield Row(SECTION, name, "groups", "", found["groups"])
        yield Row(SECTION, name, "tokens", "", found["tokens"])
        yield Row(SECTION, name, "weights", "MiB", found["weights"])
        yield Row(SECTION, name, "by formula", "MiB", found["formula"])
        if found["measured"] is None:
            continue
        yield Row(SECTION, name, "measured", "MiB", found["measured"])
        yield Row(SECTION, name, "measured against formula", "×", found["measured"] / found["formula"])
        yield Row(SECTION, name, "first pass", "MiB", found["first"])
        yield Row(SECTION, name, "kept for good", "MiB", found["kept"])
