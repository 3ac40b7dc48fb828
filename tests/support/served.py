"""The tiny study with its model once more, behind a real engine that each of its jobs starts."""

from __future__ import annotations

import shlex
from pathlib import Path

from support import studies
from support.llama import ENGINE, SAME_ENDS, save_gguf
from support.tiny import save_tiny, tiny_tokenizer


def served_study(folder: Path) -> Path:
    """Write it: models `random`, at hand, and `served`; return its configuration file."""
    studies.write_collection(folder / "collection")
    ends = [tiny_tokenizer("digits", bos=False).convert_tokens_to_ids(token) for token in SAME_ENDS]
    save_tiny(folder / "model", "qwen3", "digits", bos=False, layers=4, eos_token_id=ends)
    save_gguf(folder / "model", folder / "model.gguf")
    entry = {
        "source": "endpoint",
        "model": "tiny",
        "interface": "completions",
        "tokenizer": {"source": "folder", "path": str(folder / "model")},
        "engine": {"command": shlex.join([*ENGINE, str(folder / "model.gguf")]) + " {port}", "wait": 120},
    }
    own = {
        "models": ["random", "served"],
        "define": {"models": {"served": entry}},
        "first_stage": {"depth": 4},
        "variants": None,
        "layers": {"selection": {"best": None, "label-free": None, "oracle": None}},
        "systems": {"variant": "base", "cached_windows": ["all", "L1-2"], "windows": ["all"]},
        "latency": {"windows": []},
    }
    return studies.write_config(folder, own)
