"""Small whole studies: a collection and a random model in a folder of their own, run by Snakemake as a user would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from layerrank.models.identity import folder_name
from support import warm

CHECKOUT = Path(__file__).parents[2]
TOPICS = {
    "wing": "lift of a thin wing in steady flow",
    "heat": "heat transfer to a blunt body",
    "wave": "speed of a shock wave in air",
    "beam": "bending of a long elastic beam",
    "tide": "tides raised by the moon",
    "milk": "why milk turns sour",
}
SHARES = ("measured with care", "seen from above", "in the words of a textbook", "when nothing else is known")


def write_collection(folder: Path) -> None:
    """A BEIR collection of 24 passages and 6 queries, each with a relevant, a related and two other passages."""
    folder.mkdir(parents=True)
    passages = [
        {"_id": f"{topic}{number}", "title": topic.title(), "text": f"The {text}, {share}; part {number} of four."}
        for topic, text in TOPICS.items()
        for number, share in enumerate(SHARES)
    ]
    queries = [{"_id": topic, "text": f"What is the {text}?"} for topic, text in TOPICS.items()]
    for name, rows in (("corpus", passages), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels").mkdir()
    lines = [f"{topic}\t{topic}{number}\t{grade}\n" for topic in TOPICS for number, grade in ((1, 2), (2, 1), (3, 0))]
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))


def study_config(folder: Path) -> dict[str, Any]:
    """The embedded study of that collection and a tiny random model, small enough that a job is mostly start-up."""
    embedded: dict[str, Any] = yaml.safe_load((CHECKOUT / "config/config.yaml").read_text())
    own = {
        "title": "A tiny study",
        "collections": ["tiny"],
        "models": ["random"],
        "define": {
            "collections": {"tiny": {"source": "beir", "path": "collection", "instruction": "IE", "titles": True}},
            "models": {
                "random": {"source": "folder", "path": "model", "family": "chatml", "dtype": "float32", "threads": 1}
            },
        },
        "first_stage": {"depth": 6, "check": "off"},
        "variants": {"grid": {"queries": 2, "depth": 4}, "linear": None},
        "heads": None,
        "orders": None,
        "systems": {"max_failure_rate": 1.0, "cached_windows": ["all", "L1-2", "selected-peak", "selected-oracle"]},
        "evaluation": {"resamples": 200},
        "latency": {"windows": ["all"], "queries": 1, "repeats": 1},
    }
    return lay(embedded, own)


def lay(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another, mapping by mapping; None takes a key out."""
    for key, value in above.items():
        if value is None:
            below.pop(key, None)
        else:
            below[key] = lay(below.get(key) or {}, value) if isinstance(value, Mapping) else value
    return below


def write_study(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Make a whole study in `folder`; return its configuration file."""
    from support.tiny import save_tiny

    write_collection(folder / "collection")
    save_tiny(folder / "model", "llama", layers=4)
    return write_config(folder, changes)


def model_folder(folder: Path) -> str:
    """Where the study's model is fetched to, from its folder."""
    source = {"source": "folder", "path": str(folder / "model")}
    return f"resources/models/{folder_name('random', source, folder / 'resources')}"


def write_config(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write study.yaml of `study_config` with `changes` laid over it."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(lay(study_config(folder), changes or {})))
    return path


def snakemake(
    folder: Path, *arguments: str, check: bool = True, fresh: Path | None = None, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on the study in `folder` with two cores; with `check`, a failure shows its output.

    Interpreters of Snakemake and of the jobs have imported what they need (support.warm), but, with `fresh`, for the
    first of each kind.
    """
    command = [sys.executable, "-m", "snakemake", "-s", str(CHECKOUT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "study.yaml"), "--cores", "2", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=CHECKOUT,
        env=os.environ
        | {"COLUMNS": "200", "CUDA_VISIBLE_DEVICES": ""}
        | (warm.first_fresh(fresh) if fresh else warm.environment()),
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Jobs by rule that a dry run announces; {} where there is nothing to do."""
    done = snakemake(folder, "--dry-run", *arguments)
    text = done.stdout + done.stderr
    if "Nothing to be done" in text:
        return {}
    table = text.rsplit("Job stats:", 1)[1]
    counts = dict(re.findall(r"^([a-z_]+)\s+(\d+)\s*$", table, flags=re.MULTILINE))
    counts.pop("total", None)
    counts.pop("all", None)
    return {rule: int(count) for rule, count in counts.items()}


def copy_study(source: Path, target: Path) -> Path:
    """A copy with all times and Snakemake's records, to change and run apart from the original."""
    shutil.copytree(source, target, symlinks=True)
    return target


def contents(folder: Path, but: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file below `folder` by its relative name, except names that contain one of `but`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(word in path.as_posix() for word in but)
    }
