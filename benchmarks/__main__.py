"""Run the benchmarks, write docs/performance.tsv, and render docs/performance.md and its figure from it."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.against import against
from benchmarks.page import render
from benchmarks.rows import FACT, MACHINE, SECONDS, SO_FAR, Row, begun, done, read_rows, replaced, write_rows
from benchmarks.sections import BY_CASE, SECTIONS
from benchmarks.settings import ROOT, Settings
from benchmarks.timing import CLOCKS, device_at_hand, use_clock
from layerrank.core.errors import UserError
from layerrank.latency.machine import hardware
from layerrank.models.folder import load_tokenizer
from layerrank.prompts.icr import fitting_family

_log = logging.getLogger("benchmarks")


def main(argv: list[str] | None = None) -> int:
    """Measure the sections asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"{', '.join(SECTIONS)} (default: all)")
    models = ROOT / "resources/models"
    fetched = next(models.glob("smollm2-135m-instruct-*"), models / "smollm2-135m-instruct")
    parser.add_argument("--model", type=Path, default=fetched, help="model folder (default: the embedded study's)")
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="FOLDER[=FAMILY]",
        help="further models for seconds a query (default: those beside the model, where a prompt family fits)",
    )
    parser.add_argument(
        "--collection",
        type=Path,
        default=ROOT / "results/pocket",
        help="results folder of a collection, for what needs judgements (default: the embedded study's)",
    )
    parser.add_argument("--queries", type=int, default=16, help="its first so many queries (default: %(default)s)")
    parser.add_argument("--family", help="prompt family (default: the one that fits the chat template)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of what takes turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own choice)")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="processor: processor seconds, on one thread, for a machine that others use too (default: wall)",
    )
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    parser.add_argument("--short", action="store_true", help="leave out the longest prompts")
    parser.add_argument(
        "--full", action="store_true", help="sweep, heads (8 GB on disk) and sharing in their whole size"
    )
    parser.add_argument("--work", type=Path, help="folder to keep signals in (default: a temporary one)")
    parser.add_argument("--note", default="", help="a remark on the machine, for the page")
    parser.add_argument(
        "--output", type=Path, help="results (.tsv; default: docs/performance.tsv, with --quick none are written)"
    )
    parser.add_argument(
        "--go-on",
        action="store_true",
        help=f"leave out what this machine and commit have measured: sections, and cases of {', '.join(BY_CASE)}",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="RESULTS",
        help="hold each ratio against that of other results (.tsv), as they were before this run; with --render "
        "nothing is measured",
    )
    parser.add_argument("--render", action="store_true", help="only render the page from the results")
    options = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    _log.setLevel(logging.INFO)
    output = options.output or (None if options.quick else ROOT / "docs/performance.tsv")
    before = None if options.against is None else read_rows(options.against)
    if options.render:
        results = output or ROOT / "docs/performance.tsv"
        render(results)
        if before is not None:
            print(against(read_rows(results), before))
        return 0
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        print(f"benchmarks: section {unknown[0]!r}: one of {', '.join(SECTIONS)}", file=sys.stderr)
        return 2
    use_clock(options.clock)
    if options.threads or options.clock == "processor":
        torch.set_num_threads(options.threads or 1)
    names = options.sections or list(SECTIONS)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        settings = Settings(
            model=options.model,
            family=options.family or fitting_family(load_tokenizer(options.model)),
            rounds=1 if options.quick else options.rounds,
            quick=options.quick,
            short=options.short,
            full=options.full,
            collection=options.collection,
            queries=options.queries,
            work=work,
            device=device_at_hand(),
            models=tuple(_named(text) for text in options.models) if options.models else _others(options.model),
        )
        said = {"clock": options.clock, "remark": options.note or "none"}
        rows = _measure(settings, names, said, output, options.go_on)
    if output is not None:
        render(output)
    if before is not None:
        print(against(rows, before))
    return 0


def _named(text: str) -> tuple[Path, str]:
    """A model's folder and prompt family, of `FOLDER` or `FOLDER=FAMILY`."""
    folder, _, family = text.partition("=")
    return Path(folder), family or fitting_family(load_tokenizer(Path(folder)))


def _others(model: Path) -> tuple[tuple[Path, str], ...]:
    """Further models that were fetched into the same folder, with their prompt families."""
    found = []
    for folder in sorted(path.parent for path in model.parent.glob("*/config.json")):
        if folder.resolve() != model.resolve():
            try:
                found.append(_named(str(folder)))
            except UserError as error:
                _log.warning("%s: left out: %s", folder.name, error)
    return tuple(found)


def _measure(settings: Settings, names: list[str], said: dict[str, str], output: Path | None, go_on: bool) -> list[Row]:
    """Measure section by section; each row is in the results as soon as it is known, in place of older ones.

    Returns the results.
    """
    known = _facts(settings, said)
    place = {name: value for name, value in known.items() if name != "remark"}
    run = f"{known['commit']}-{hashlib.sha256(repr(place).encode()).hexdigest()[:6]}"
    facts = [Row(MACHINE, FACT, name, "", float("nan"), note=str(value), run=run) for name, value in known.items()]
    kept = read_rows(output) if output is not None and output.is_file() else []
    start, measured = time.perf_counter(), done(kept, run) if go_on else set()
    for number, name in enumerate(names, 1):
        if name in measured:
            _log.info("section %d of %d, %s: measured already in run %s", number, len(names), name, run)
            continue
        at, before = time.perf_counter(), os.getloadavg()[0]
        _log.info("section %d of %d, %s; %.1f min so far", number, len(names), name, (at - start) / 60)
        fresh, spent = begun(kept, name, run) if go_on and name in BY_CASE else ([], 0.0)
        at -= spent
        for row in SECTIONS[name](replace(settings, measured=frozenset(row.case for row in fresh))):
            fresh.append(replace(row, run=run))
            _say(row)
            so_far = Row(MACHINE, name, SO_FAR, "s", time.perf_counter() - at, run=run)
            _keep(output, replaced(kept, name, [*fresh, so_far], facts))
        spent = time.perf_counter() - at
        fresh.append(Row(MACHINE, name, SECONDS, "s", spent, run=run))
        fresh.append(Row(MACHINE, name, "load average before", "", before, run=run))
        kept = replaced(kept, name, fresh, facts)
        _keep(output, kept)
        _log.info("section %d of %d, %s: %.1f min", number, len(names), name, spent / 60)
    return kept


def _keep(output: Path | None, rows: list[Row]) -> None:
    if output is not None:
        order = [MACHINE, *SECTIONS]
        write_rows(output, sorted(rows, key=lambda row: order.index(row.section)))


def _say(row: Row) -> None:
    mark = {None: "", True: "  met", False: "  MISSED"}[row.met]
    spread = "" if row.low is None or row.high is None else f" ({row.low:.4g}–{row.high:.4g})"
    what = f"{row.section:<11}{row.case}: {row.quantity}"
    print(f"{what}: {row.value:.4g} {row.unit}{spread}{mark} {row.note}", flush=True)


def _facts(settings: Settings, said: dict[str, str]) -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return {
        **hardware(settings.device),
        "model": settings.model.name,
        "collection": f"{settings.collection.name}, {len(settings.rows())} queries"
        if settings.collection.is_dir()
        else "none",
        "python": platform.python_version(),
        **{name: version(name) for name in ("layerrank", "torch", "transformers")},
        "commit": commit.stdout.strip(),
        **said,
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(2)
