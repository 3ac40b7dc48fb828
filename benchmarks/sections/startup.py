"""What a user waits for before anything runs, and what each stage imports."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.rows import Row, row_of
from benchmarks.settings import ROOT, Settings
from benchmarks.timing import run_process, timed_children

SECTION = "startup"
STUDIES = {"config/config.yaml": "≤ 3", "config/paper.yaml": "≤ 15"}
STAGES = {
    "sweep-windows": "layerrank.layers.sweep",
    "select-window": "layerrank.layers.selection",
    "rerank-cached": "layerrank.ranking.cached",
    "evaluate": "layerrank.evaluation.values",
    "compare": "layerrank.evaluation.compare",
    "plot-sweep": "layerrank.report.figures.sweep",
    "effectiveness-table": "layerrank.report.tables.effectiveness",
    "retrieve": "layerrank.first_stage.bm25",
    "extract-attention": "layerrank.attention.extract",
}
HEAVY = ("torch", "transformers", "jnius", "pyserini", "matplotlib", "pandas")
NEEDS = {"extract-attention": {"torch", "transformers"}}


def run(settings: Settings) -> Iterator[Row]:
    """Seconds of dry runs from a fresh folder, and of imports by stage with the heavy packages that they bring in."""
    for number, (config, target) in enumerate(STUDIES.items()):
        folder = settings.work / f"dry-run-{number}"
        folder.mkdir(exist_ok=True)
        arguments = ["-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--quiet", "all"]
        arguments += ["--configfile", str(ROOT / config)]
        seconds = [run_process(arguments, folder)[0] for _ in range(1 if settings.quick else 3)]
        yield row_of(SECTION, f"snakemake -n, {config}", "seconds", "s", seconds, target)
    seconds = [_before_ranking(settings) for _ in range(1 if settings.quick else 3)]
    yield row_of(SECTION, "rerank, until the first token", "seconds", "s", seconds, "≤ 3", note=settings.model.name)
    for stage, module in STAGES.items():
        seconds, heavy = zip(*(_imported(module) for _ in range(2)), strict=True)
        unwanted = {"torch", "transformers"} & set(heavy[0]) - NEEDS.get(stage, set())
        note = f"imports {', '.join(heavy[0]) or 'none of the heavy packages'}"
        yield row_of(SECTION, f"imports of {stage}", "seconds", "s", seconds, note=note)
        if unwanted:
            raise AssertionError(f"{stage}: importing {module} imports {', '.join(sorted(unwanted))}")


def _before_ranking(settings: Settings) -> float:
    """Seconds of `layerrank rerank` until it says what it loaded, which comes before its first forward pass."""
    output = settings.work / "first-token.txt"
    command = [sys.executable, "-m", "layerrank", "rerank", "--candidates", settings.candidates]
    command += ["--model", settings.model, "--family", settings.family, "--framework", "setwise"]
    command += ["--mechanism", "likelihood", "--device", settings.device, "--output", output]
    began = time.perf_counter()
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        loaded = any(" layers" in line for line in process.stderr)
        seconds = time.perf_counter() - began
        process.kill()
    if not loaded:
        raise AssertionError("rerank ended without saying what it loaded")
    return seconds


def _imported(module: str) -> tuple[float, list[str]]:
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    found: list[str] = []

    def work() -> None:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found.extend(json.loads(done.stdout))

    return timed_children(work), found
