"""The first stage of a collection by its commands, as the rules run them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerrank.__main__ import main


def first_stage(folder: Path, entry: Mapping[str, Any], *, depth: int, threads: int = 1) -> Path:
    """Prepare, index and retrieve in `folder`: collection/, index/, run.txt, passages.jsonl.gz, counts.json."""
    about, index, cache = (str(folder / name) for name in ("collection", "index", "cache"))
    described = ["--name", "tiny", "--entry", json.dumps(entry), "--cache", cache, "--seed", "42"]
    outputs = [f"--{key}={folder / name}" for key, name in OUTPUTS.items()]
    settings = ["--k1", "0.9", "--b", "0.4", "--depth", str(depth), "--threads", str(threads)]
    for step in (
        ["prepare-collection", *described, "--output", about],
        ["build-index", "--collection", about, "--cache", cache, "--threads", str(threads), "--output", index],
        ["retrieve", "--collection", about, "--index", index, *settings, *outputs],
    ):
        assert main(step) == 0, step
    return folder


OUTPUTS = {"output": "run.txt", "passages": "passages.jsonl.gz", "counts": "counts.json"}
