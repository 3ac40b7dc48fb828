"""What a variant runs: every system by name, in one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from layerrank.ranking.frameworks import make_sorter
from layerrank.study.config import Entry, Study, variant_settings


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid as it runs: its system name, what it is made of, and the window of an attention cell."""

    name: str
    framework: str
    framework_settings: Entry
    mechanism: str
    mechanism_settings: Entry
    window: str | None
    cached: bool


def systems(study: Study, variant: str) -> dict[str, PlannedRun]:
    """Every system that a variant runs, by name, in the order of the configuration.

    Each variant ranks its whole list by attention with each of `cached_windows`; the grid's own runs the grid too.
    A grid cell is `cached` where it asks for just what the stored signal answers: one prompt, whole list, attention.
    """
    config = study.config["systems"]
    depth = variant_settings(study, variant)["depth"]
    strategy = {"strategy": variant_settings(study, variant)["strategy"]}
    found: dict[str, PlannedRun] = {}

    def add(framework: str, mechanism: str, windows: Iterable[str]) -> None:
        cell = config["cells"].get(f"{framework}-{mechanism}", {})
        if cell is False:
            return
        own_framework = config["frameworks"].get(framework, {}) | cell.get("framework", {})
        own_mechanism = config["mechanisms"].get(mechanism, {}) | cell.get("mechanism", {})
        kind = own_framework.pop("framework", framework)
        way = own_mechanism.pop("mechanism", mechanism)
        attention = way == "attention"
        if attention:
            own_mechanism = strategy | own_mechanism
        whole = kind == "listwise" and make_sorter(kind, own_framework).largest_group(depth) >= depth
        plain = own_framework.get("repeats", 1) == 1
        plain = plain and not (own_mechanism.get("query_tokens") or own_mechanism.get("passage_tokens"))
        cached = attention and whole and plain
        for window in windows if attention else [None]:
            name = f"{framework}-{mechanism}" + (f"-{window}" if window else "")
            found[name] = PlannedRun(name, kind, own_framework, way, own_mechanism, window, cached)

    whole = config["cells"].get("listwise-attention", {})
    whole = {} if whole is False else whole
    for window in config["cached_windows"]:
        name = f"listwise-attention-{window}"
        settings = strategy | config["mechanisms"].get("attention", {}) | whole.get("mechanism", {})
        settings.pop("mechanism", None)
        found[name] = PlannedRun(name, "listwise", {"size": "whole"}, "attention", settings, window, True)
    if variant == config["variant"]:
        for framework in config["frameworks"]:
            for mechanism in config["mechanisms"]:
                add(framework, mechanism, config["windows"])
    return found
