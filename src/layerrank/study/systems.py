"""What each variant runs: every system by name, in one table that all rules read.

A name means one thing in a study. `listwise-attention-<window>` is attention that reads the whole list in one prompt:
the stored signal answers it, in every variant, and with all layers it is always there, since windows, diagnostics and
published figures are held against it. Other systems are cells of the grid, which one variant runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from layerrank.attention.scores import MASKED
from layerrank.core.systems import WHOLE_LIST
from layerrank.core.windows import ALL
from layerrank.ranking.frameworks import WHOLE, make_sorter
from layerrank.study.config import Entry, Study, variant_settings

STORED = ("strategy", "heads")
"""Settings of attention that the stored signal takes."""


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


def systems(study: Study, variant: str) -> dict[str, PlannedRun]:
    """Every system that a variant runs, by name: whole-list attention with each of its windows, then the grid's cells.

    A cell of the framework `listwise` with attention that does not read the whole list in one prompt, or reads it in
    another way than the signal was read, has a name that says so: `sliding_listwise-attention-all`.
    """
    config = study.config["systems"]
    windows = dict.fromkeys([ALL, *config["cached_windows"]])
    found = {run.name: run for window in windows for run in [_whole_list(study, variant, window)]}
    if variant == config["variant"] or variant in study.grid_orders:
        for framework in config["frameworks"]:
            for mechanism in config["mechanisms"]:
                for run in cell(study, framework, mechanism):
                    found.setdefault(run.name, run)
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
    how = _unlike_the_signal(kind, settings, reading, int(variant_settings(study, config["variant"])["depth"]))
    if how and name == WHOLE_LIST.name:
        name = f"{how}_{name}"
    return [
        PlannedRun(f"{name}-{window}", kind, settings, way, reading, window, cached=how is None)
        for window in config["windows"]
    ]


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
    return PlannedRun(f"{WHOLE_LIST.name}-{window}", "listwise", {"size": WHOLE}, "attention", settings, window, True)


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
