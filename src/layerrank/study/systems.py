"""What each variant runs: every system by name, in one table that all rules read.

A name means one thing in a study. `listwise-attention-<window>` is attention that reads the whole list in one prompt:
the stored signal answers it, in every variant, and with all layers it is always there, since windows, diagnostics and
published figures are held against it. With chosen heads it is answered under a linear strategy; under the masked one,
which needs what the heads pay each token together, it is a pass of its own, which `heads.variant` alone makes. Others
are cells of the grid, which one variant runs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layerrank.attention.scores import MASKED
from layerrank.core.systems import TRAINED, WHOLE_LIST
from layerrank.core.windows import ALL, by_heads, head_rule_of
from layerrank.ranking.cells import CROSS_ENCODER
from layerrank.ranking.frameworks import WHOLE, make_sorter
from layerrank.study.config import Entry, Study, variant_settings

STORED = ("strategy", "heads")
"""Settings of attention that the stored signal takes."""

UNSEEN = ("generation", "likelihood")
"""Mechanisms that need not look into a model."""


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid as it runs: its system name, what it is made of, and the window of an attention cell.

    `cached`: the stored signal answers it, without the model.
    """

    name: str
    framework: str
    framework_settings: Entry
    mechanism: str
    mechanism_settings: Entry
    window: str | None
    cached: bool


@functools.cache
def systems(study: Study, variant: str) -> dict[str, PlannedRun]:
    """Every system that a variant runs, by name: whole-list attention by its windows and heads, then the grid's cells.

    A cell of the framework `listwise` with attention that does not read the whole list in one prompt, or reads it in
    another way than the signal was read, has a name that says so: `sliding_listwise-attention-all`.
    """
    config = study.config["systems"]
    windows = dict.fromkeys([ALL, *config["cached_windows"]])
    chosen = map(by_heads, study.config["heads"]["selection"])
    runs = [_whole_list(study, variant, window) for window in (*windows, *chosen)]
    found = {run.name: run for run in runs if run.cached or variant == study.config["heads"]["variant"]}
    if variant == config["variant"] or variant in study.grid_orders:
        for framework in config["frameworks"]:
            for mechanism in config["mechanisms"]:
                for run in cell(study, framework, mechanism):
                    found.setdefault(run.name, run)
    return found


def windows_together(runs: Mapping[str, PlannedRun], windows: Sequence[str]) -> dict[str, tuple[PlannedRun, ...]]:
    """Attention cells that run in all these windows with the model at hand, by their name without the window.

    They differ in nothing else: one job reads for all. A cell that the stored signal answers in one of the windows, or
    that takes other heads there, is none of them.
    """
    found = {}
    for name in dict.fromkeys(run.name.removesuffix(f"-{run.window}") for run in runs.values() if run.window):
        own = [runs[system] for window in windows if (system := f"{name}-{window}") in runs]
        alike = [run for run in own if not run.cached and run.mechanism_settings == own[0].mechanism_settings]
        if windows and len(alike) == len(windows):
            found[name] = tuple(alike)
    return found


def systems_of(study: Study, model: str, variant: str) -> dict[str, PlannedRun]:
    """Those of `systems` that a model can run: one that is served gives no attention."""
    found = systems(study, variant)
    return {name: run for name, run in found.items() if model not in study.served or run.mechanism in UNSEEN}


def trained(study: Study) -> dict[str, PlannedRun]:
    """Models that were trained to rank, by the model's name, as each runs on the grid's candidates."""
    found = {}
    for model, cuts in study.config["systems"]["trained"].items():
        way = study.trained[model].get("ranker", "")
        mechanism, own = (way, {}) if way == CROSS_ENCODER else ("likelihood", {"prompt": way})
        name = f"{TRAINED}-{model}"
        found[model] = PlannedRun(name, "pointwise", {}, mechanism, {**own, **cuts}, None, cached=False)
    return found


def cell(study: Study, framework: str, mechanism: str) -> list[PlannedRun]:
    """A cell of the grid, once for each window where it reads attention; nothing where it is left out."""
    config = study.config["systems"]
    made = cell_settings(study, framework, mechanism)
    if made is None:
        return []
    kind, settings, way, reading = made
    name = f"{framework}-{mechanism}"
    if way != "attention":
        return [PlannedRun(name, kind, settings, way, reading, None, cached=False)]
    depth = int(variant_settings(study, config["variant"])["depth"])
    runs = []
    for window in config["windows"]:
        own = _read_by(window, reading)
        how = _unlike_the_signal(kind, settings, own, depth)
        called = f"{how}_{name}" if how and name == WHOLE_LIST.name else name
        cached = how is None and stored(window, own)
        runs.append(PlannedRun(f"{called}-{window}", kind, settings, way, own, window, cached))
    return runs


def cell_settings(study: Study, framework: str, mechanism: str) -> tuple[str, Entry, str, Entry] | None:
    """A cell's framework and mechanism, each with its settings, the cell's own first; None where it is left out."""
    config = study.config["systems"]
    own = config["cells"].get(f"{framework}-{mechanism}", {})
    if own is False:
        return None
    settings = config["frameworks"][framework] | own.get("framework", {})
    kind = settings.pop("framework", framework)
    reading = config["mechanisms"][mechanism] | own.get("mechanism", {})
    way = reading.pop("mechanism", mechanism)
    if way == "attention":
        reading = {"strategy": variant_settings(study, config["variant"])["strategy"]} | reading
    return kind, settings, way, reading


def _whole_list(study: Study, variant: str, window: str) -> PlannedRun:
    """Whole-list attention, with the strategy and heads of the mechanism `attention` where the study has one."""
    config = study.config["systems"]
    own = config["cells"].get(WHOLE_LIST.name) or {}
    said = config["mechanisms"].get("attention", {}) | own.get("mechanism", {})
    settings = {"strategy": variant_settings(study, variant)["strategy"]}
    settings |= {key: said[key] for key in STORED if key in said}
    settings = _read_by(window, settings)
    name, whole = f"{WHOLE_LIST.name}-{window}", {"size": WHOLE}
    return PlannedRun(name, "listwise", whole, "attention", settings, window, cached=stored(window, settings))


def _read_by(window: str, settings: Entry) -> Entry:
    """Settings of attention with a window; chosen heads in its place stand for those that the settings name."""
    if head_rule_of(window) is None:
        return settings
    return {key: value for key, value in settings.items() if key != "heads"}


def stored(window: str, settings: Entry) -> bool:
    """Whether a signal that sums over heads, token by token, answers for a window or for chosen heads in its place."""
    return head_rule_of(window) is None or settings["strategy"] != MASKED


def _unlike_the_signal(kind: str, settings: Entry, reading: Entry, depth: int) -> str | None:
    """In what an attention cell differs from the pass that the stored signal was read in; None where in nothing."""
    if kind != "listwise":
        return kind
    if make_sorter(kind, settings).largest_group(depth) < depth:
        return "sliding"
    if settings.get("repeats", 1) != 1:
        return "repeated"
    if reading.get("heads") is not None and reading["strategy"] == MASKED:
        return "heads"  # their sum token by token is in no store
    return "cut" if reading.get("query_tokens") or reading.get("passage_tokens") else None
