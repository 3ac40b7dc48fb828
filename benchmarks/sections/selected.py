"""The claim that a selected window costs less and loses nothing: seconds and quality of both, on real texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from benchmarks.rows import Row, row_of
from benchmarks.settings import Settings
from benchmarks.stored import signal_stores
from benchmarks.timing import in_turns, ratios
from layerrank.attention.probe import Probe
from layerrank.attention.scores import passage_scores
from layerrank.core.windows import LayerWindow
from layerrank.evaluation.intervals import mean_interval
from layerrank.layers.selection import parse_rule, select
from layerrank.layers.sweep import sweep
from layerrank.prompts.icr import PromptSettings

SECTION = "selected"
MEASURE = "nDCG@10"
SAMPLE = 2
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
    chosen = {}
    for rule, own_settings in RULES.items():
        name = f"selected ({rule})"
        document = select(rule, parse_rule({**own_settings, "folds": min(5, len(swept.qids))}), "collection", swept)
        chosen[name] = {qid: entry.window for entry in document.windows for qid in entry.qids}
        own = np.array([swept.values[row, swept.column(chosen[name][qid])] for row, qid in enumerate(swept.qids)])
        shown = ", ".join(str(window) for window in sorted(set(chosen[name].values())))
        yield _mean(name, MEASURE, own, note=f"windows {shown}, by cross-validation over {len(own)} queries")
        yield _mean(name, f"difference in {MEASURE} from all layers", own - whole)
    systems = {"all layers": dict.fromkeys(swept.qids, LayerWindow(0, layers - 1)), **chosen}
    seconds = in_turns(
        {name: _ranker(settings, windows) for name, windows in systems.items()}, settings.rounds, settings.device
    )
    for name, values in seconds.items():
        yield row_of(SECTION, name, f"seconds for {SAMPLE} queries", "s", values)
        if name != "all layers":
            saved = [100 * (1 - share) for share in ratios(values, seconds["all layers"])]
            yield row_of(SECTION, name, "seconds saved", "%", saved)


def _ranker(settings: Settings, windows: Mapping[str, LayerWindow]) -> Callable[[], None]:
    """Rank the first queries from text to scores, the model loaded up to the last layer that they need."""
    rows = [row for row in settings.rows() if row.query.qid in windows][:SAMPLE]
    probe = Probe(settings.decoder(layers=max(windows[row.query.qid].end for row in rows) + 1))
    prompts = PromptSettings(settings.family)

    def rank() -> None:
        for row in rows:
            window = windows[row.query.qid]
            [signal] = probe.read([prompts.build(probe.decoder.tokenizer, row)], last_layer=window.end)
            passage_scores(signal, window)

    return rank


def _mean(case: str, quantity: str, values: np.ndarray, note: str = "") -> Row:
    found = mean_interval(values, resamples=2000, seed=42)
    return Row(SECTION, case, quantity, "", *map(float, found), note=note or f"95 % interval, {len(values)} queries")
