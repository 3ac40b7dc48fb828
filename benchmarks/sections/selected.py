"""The claim that a selected window costs less and loses nothing: seconds and quality of both, on real texts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.stored import candidates_file, signal_stores
from layerrank.attention.extract import PromptSettings
from layerrank.files import write_json
from layerrank.intervals import mean_interval
from layerrank.latency import Sample, measure
from layerrank.records import LayerWindow
from layerrank.windows.selection import parse_rule, select
from layerrank.windows.sweep import sweep

SECTION = "selected"
MEASURE = "nDCG@10"
RULES = {
    "peak": {"rule": "peak", "width": 2, "chosen_on": "folds", "folds": 5, "seed": 42},
    "early": {"rule": "best", "chosen_on": "folds", "folds": 5, "seed": 42, "standard_errors": 1.0},
}


def run(settings: Settings) -> Iterator[Row]:
    """Quality of windows chosen by cross-validation, and the measured seconds of both, the model cut at their end."""
    swept = sweep(signal_stores(settings, "float32"), settings.qrels(), MEASURE, "masked_NA_calibration")
    layers = swept.layers
    whole = swept.values[:, swept.column(LayerWindow(0, layers - 1))]
    yield _mean("all layers", MEASURE, whole)
    files = {}
    for name, rule in RULES.items():
        chosen = select(name, parse_rule({**rule, "folds": min(5, len(swept.qids))}), "collection", swept)
        files[name] = settings.work / f"{name}.json"
        write_json(files[name], chosen)
        windows = {qid: LayerWindow(*entry["window"]) for entry in chosen["windows"] for qid in entry["qids"]}
        own = np.array([swept.values[row, swept.column(windows[qid])] for row, qid in enumerate(swept.qids)])
        shown = ", ".join(sorted({str(window) for window in windows.values()}))
        yield _mean(f"selected ({name})", MEASURE, own, note=f"windows {shown}, by cross-validation over queries")
        yield _mean(f"selected ({name})", f"difference in {MEASURE} from all layers", own - whole)
    _, about = measure(
        candidates_file(settings),
        settings.model,
        PromptSettings(settings.family),
        ["all", *(f"selected-{name}" for name in files)],
        selections=files,
        device=settings.device.type,
        sampled=Sample(queries=2, repeats=min(3, settings.rounds), warmup=1),
    )
    rounds = {
        name: [float(np.mean(one["total"])) for one in system["rounds"]] for name, system in about["systems"].items()
    }
    for name, values in rounds.items():
        case = name.removeprefix("listwise-attention-").replace("all", "all layers").replace("selected-", "selected ")
        case = f"selected ({case.removeprefix('selected ')})" if "selected" in case else case
        saved = [100 * (1 - own / full) for own, full in zip(values, rounds["listwise-attention-all"], strict=True)]
        yield Row(
            SECTION, case, "seconds a query", "s", float(np.median(values)), min(values), max(values), len(values)
        )
        if "selected" in case:
            yield Row(SECTION, case, "saved", "%", float(np.median(saved)), min(saved), max(saved), len(saved))


def _mean(case: str, quantity: str, values: np.ndarray, note: str = "") -> Row:
    found = mean_interval(values, resamples=2000, seed=42)
    return Row(SECTION, case, quantity, "", *map(float, found), note=note or f"95 % interval, {len(values)} queries")
