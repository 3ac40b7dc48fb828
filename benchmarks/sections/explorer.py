"""The explorer's page at its full size: megabytes, seconds until it opens, milliseconds a frame of a drag."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from layerrank.attention.explorer.page import Curves, Preset, render
from layerrank.attention.explorer.view import QueryView, view_query
from layerrank.attention.signal import SUMS, Signal
from layerrank.core.files import write_text
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow

SECTION = "explorer"
QUERIES, PASSAGES, TOKENS, LAYERS, HEADS = 50, 100, 300, 36, 32
FRAMES = 60
MOVES = """async (frames) => {
  const took = [], handle = document.querySelector('#window .range');
  handle.focus();
  for (let i = 0; i < frames; i++) {
    const begun = performance.now();
    const key = i % 4 < 2 ? 'ArrowRight' : 'ArrowLeft';
    handle.dispatchEvent(new KeyboardEvent('keydown', {key, shiftKey: i % 3 === 0, bubbles: true}));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    document.body.offsetHeight;
    took.push(performance.now() - begun);
  }
  return took;
}"""
"""Moves the window by keys, which draw what a drag draws; milliseconds until each frame is painted."""


def run(settings: Settings) -> Iterator[Row]:
    """Seconds to write, megabytes, seconds until the page can be used, milliseconds a frame."""
    queries = 3 if settings.quick else QUERIES
    case = f"{queries} queries × {PASSAGES} passages × {LAYERS} layers × {PASSAGES * TOKENS:,} tokens"
    path = settings.work / "explorer.html"
    begun = time.perf_counter()
    write_text(path, _page(queries))
    yield Row(SECTION, case, "writing the page", "s", time.perf_counter() - begun)
    yield Row(SECTION, case, "size", "MB", path.stat().st_size / 1e6)
    yield from _in_a_browser(case, path)
    path.unlink()


def _in_a_browser(case: str, path: Path) -> Iterator[Row]:
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        yield Row(SECTION, case, "first view", "s", float("nan"), note="not measured: no Chromium on this machine")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        begun = time.perf_counter()
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-ready]")
        yield Row(SECTION, case, "first view", "s", time.perf_counter() - begun, target="≤ 2")
        took = page.evaluate(MOVES, FRAMES)
        yield row_of(SECTION, case, "a frame of a drag", "ms", took, target="≤ 33")
        yield Row(SECTION, case, "the slowest twentieth of frames", "ms", statistics.quantiles(took, n=20)[-1])
        begun = time.perf_counter()
        page.click("[data-qid='q1']")
        page.wait_for_selector("html[data-ready='q1']")
        yield Row(SECTION, case, "another query", "s", time.perf_counter() - begun)
        begun = time.perf_counter()
        page.check("#passage input[value=raw]", force=True)
        page.wait_for_function("() => location.hash.includes('k=raw')")
        yield Row(SECTION, case, "the first change to raw attention", "s", time.perf_counter() - begun)
        took = page.evaluate(MOVES, FRAMES)
        yield row_of(SECTION, case, "a frame of a drag, raw attention", "ms", took, target="≤ 33")
        browser.close()


def _page(queries: int) -> str:
    rng = np.random.default_rng(0)
    windows = [Preset("all layers", LayerWindow(0, LAYERS - 1), {}), Preset("middle", LayerWindow(12, 15), {})]
    views = [_view(rng, f"q{number}") for number in range(queries)]
    return render(
        views, title="Synthetic", subtitle="", measure="nDCG@10", curves=Curves([0.3] * LAYERS), presets=windows
    )


def _view(rng: np.random.Generator, qid: str) -> QueryView:
    lengths = rng.integers(TOKENS - 50, TOKENS + 51, PASSAGES).astype(np.int32)
    pids = tuple(f"d{number}" for number in range(PASSAGES))
    signal = (rng.standard_t(2, size=(LAYERS, int(lengths.sum()))) * 1e-4).astype(np.float32)
    sums = {name: rng.random((LAYERS, HEADS, PASSAGES), dtype=np.float32) for name in SUMS}
    pieces = [[f" w{word}" for word in rng.integers(0, 5000, length)] for length in lengths]
    row = Candidates(Query(qid, qid), tuple(Passage(pid, "") for pid in pids), tuple(range(PASSAGES, 0, -1)))
    grades = {pid: int(grade) for pid, grade in zip(pids, rng.integers(0, 4, PASSAGES), strict=True)}
    na = np.abs(rng.standard_t(2, size=signal.shape) * 1e-4).astype(np.float32)
    read = {"first stage": Signal(qid, pids, lengths, signal, sums, int(lengths.sum()), 0.0, na=na)}
    return view_query(row, read, pieces, judgements=grades)
