"""Explorer pages of random signals, and the browser that they are opened in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from layerrank.attention.explorer.page import Curves, Preset, render
from layerrank.attention.explorer.view import QueryView, view_query
from layerrank.attention.signal import Signal
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from support.signals import random_signal

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

HOSTILE = (
    "</script><script>document.title = 'owned'</script>",
    "\"><svg onload=\"document.title='owned'\"></svg> 'single' `back`",
    "<img src=x onerror=alert(1)> &amp; &lt;b&gt;",
    "שלום עולם ‮reversed‬ مرحبا",
    "emoji 👩‍👩‍👧‍👦 🛩️ and 日本語 \u2028 line",
    "plain words that say nothing at all",
)


def chromium() -> str | None:
    """The browser of this machine, where it has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser_page(width: int = 1280, height: int = 900) -> Iterator[tuple[Any, list[str]]]:
    """A page of a fresh browser, and the list of what went wrong in it: console errors, exceptions, requests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium(), args=list(QUIET))
        page = browser.new_page(viewport={"width": width, "height": height})
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url) if not request.url.startswith(("file:", "blob:", "data:")) else None
            ),
        )
        yield page, wrong
        browser.close()


def hostile_view(qid: str, passages: int = 6, layers: int = 6, heads: int = 3, seed: int = 0) -> QueryView:
    """A query of random scores whose texts are ugly; two of its passages have the same score under every window."""
    texts = [HOSTILE[i % len(HOSTILE)] for i in range(passages)]
    pieces = [[f"[{passages - i}]", *(" " + word for word in text.split(" "))] for i, text in enumerate(texts)]
    lengths = [len(tokens) for tokens in pieces]
    own = random_signal(qid, lengths, layers, heads, seed)
    order = np.random.default_rng(seed + 1).permutation(passages)
    own = replace(own, na=(np.abs(own.signal) + np.random.default_rng(seed + 3).random(own.signal.shape)).astype("f4"))
    other = reordered(random_signal(qid, lengths, layers, heads, seed + 2), order)
    row = Candidates(
        Query(qid, HOSTILE[seed % len(HOSTILE)]),
        tuple(
            Passage(pid, text, HOSTILE[(i + 1) % len(HOSTILE)])
            for i, (pid, text) in enumerate(zip(own.pids, texts, strict=True))
        ),
        tuple(float(passages - i) for i in range(passages)),
    )
    grades = dict(zip(own.pids, (2, 0, 1, 3, 0), strict=False))
    return view_query(
        row,
        {"first stage": own, "shuffled <b>1</b>": other},
        pieces,
        judgements=grades,
        runs={"listwise-generation": own.pids[::-1]},
    )


def reordered(signal: Signal, order: Sequence[int]) -> Signal:
    """The same signal, its passages in another order."""
    ends = np.cumsum(signal.lengths)
    spans = [np.arange(ends[i] - signal.lengths[i], ends[i]) for i in order]
    return Signal(
        qid=signal.qid,
        pids=tuple(signal.pids[i] for i in order),
        lengths=signal.lengths[list(order)],
        signal=signal.signal[:, np.concatenate(spans)],
        sums={name: values[..., list(order)] for name, values in signal.sums.items()},
        prompt_tokens=signal.prompt_tokens,
        seconds=signal.seconds,
    )


def hostile_page(views: Sequence[QueryView]) -> str:
    """A page of `views` whose title and labels are ugly too."""
    layers = views[0].layers
    return render(
        views,
        title="</title><script>document.title = 'owned'</script>",
        subtitle='a "study" <i>of</i> nothing',
        measure="nDCG@10",
        curves=Curves([0.1 * layer for layer in range(layers)], [0.2] * layers, [0.3] * layers),
        presets=[
            Preset("peak", LayerWindow(2, 3), {views[0].query.qid: LayerWindow(1, 2)}),
            Preset("all layers", LayerWindow(0, layers - 1), {}),
            Preset("oracle <script>", LayerWindow(4, 4), {}, upper_bound=True),
        ],
        links=[
            (name, f"../answers/{name}.html", "") for name in ("where", "windows", "choice", "mechanisms", "caveats")
        ],
    )
