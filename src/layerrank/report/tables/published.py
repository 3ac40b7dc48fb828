"""Published figures against measured ones, with which denominator; the figures stand in published.yaml."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from layerrank.core.systems import FIRST_STAGE, parse_system
from layerrank.core.windows import LayerWindow, fixed_window
from layerrank.report.tables.describe import Cell, Column, Row, Section, Table, row

DENOMINATORS = {"all": "all judged queries", "reachable": "with a relevant candidate"}
KINDS = {
    "exact": "Reproducible to the fourth digit with the same index",
    "orientation": "For orientation: other samples, depths or truncation",
}
COLUMNS = (
    Column("System"),
    Column("Measure"),
    Column("Mean over queries"),
    Column("queries", "d"),
    Column("published", ".4f"),
    Column("measured", ".4f"),
    Column("difference", "+.4f"),
    Column("What was published", detail="source"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One published mean; `model` is empty where no model took part, `denominator` a key of `DENOMINATORS`."""

    collection: str
    model: str
    system: str
    measure: str
    value: float
    denominator: str
    kind: str
    what: str
    source: str


@functools.cache
def published_figures() -> tuple[Figure, ...]:
    """Every figure of published.yaml, in its order; single layers are the systems `listwise-attention-L<l>-<l>`."""
    blocks = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return tuple(figure for block in blocks for figure in _figures(block))


def published_table(means: pd.DataFrame, profiles: pd.DataFrame, variant: str) -> Table:
    """Every published figure of a collection and model that the study measured; a section a collection and model.

    `means` has the columns `frames.MEANS`; `profiles` those of `frames.PROFILE`, for figures of single layers. A
    layer's mean over queries with a relevant candidate follows from that over all, since every other query's value
    is 0.
    """
    means = means[means["variant"] == variant]
    records = {
        (record["collection"], record["model"], record["system"], record["measure"]): record
        for record in means.to_dict("records")
    }
    pairs = list(dict.fromkeys(zip(means["collection"], means["model"], strict=True)))
    sections: dict[str, list[Row]] = {}
    for figure in published_figures():
        # Without a model the figure is the first stage's, which is the same for every model.
        models = [model for collection, model in pairs if collection == figure.collection]
        model = figure.model or next(iter(models), "")
        found = _measured(figure, model, records, profiles)
        if found is None:
            continue
        measured, queries = found
        title = f"{figure.collection} · {figure.model or 'first stage'} · {KINDS[figure.kind].lower()}"
        sections.setdefault(title, []).append(
            row(
                [
                    parse_system(figure.system).label,
                    figure.measure,
                    DENOMINATORS[figure.denominator],
                    queries,
                    figure.value,
                    measured,
                    measured - figure.value,
                    Cell(figure.what, detail=figure.source),
                ]
            )
        )
    notes = [
        "Mean over queries: over all judged queries, or over those with a relevant passage among the candidates, as "
        "the published figure has it; queries: how many that are here.",
        "Difference: measured minus published.",
    ]
    if not sections:
        notes = ["No published figure is known for what this study measured."]
    return Table(
        "Published and measured",
        COLUMNS,
        tuple(Section(title, tuple(rows)) for title, rows in sections.items()),
        tuple(notes),
    )


def _measured(
    figure: Figure, model: str, records: Mapping[Any, Mapping[Any, Any]], profiles: pd.DataFrame
) -> tuple[float, int] | None:
    """The measured mean with the figure's denominator, and that denominator; None where it was not measured."""
    record = records.get((figure.collection, model, figure.system, figure.measure))
    reference = records.get((figure.collection, model, FIRST_STAGE, figure.measure))
    if record is None:
        layer = _single_layer(figure.system)
        if layer is None or reference is None:
            return None
        own = profiles[
            (profiles["collection"] == figure.collection)
            & (profiles["model"] == model)
            & (profiles["layer"] == layer)
            & (profiles["measure"] == figure.measure)
        ]
        if own.empty:
            return None
        total, reachable = int(reference["queries"]), int(reference["queries_with_relevant_candidate"])
        everywhere = float(own["mean"].iloc[0])
        if figure.denominator == "all":
            return everywhere, total
        return (everywhere * total / reachable, reachable) if reachable else None
    if figure.denominator == "all":
        return float(record["mean"]), int(record["queries"])
    value = float(record["mean_with_relevant_candidate"])
    return None if math.isnan(value) else (value, int(record["queries_with_relevant_candidate"]))


def _single_layer(system: str) -> int | None:
    window = fixed_window(parse_system(system).window)
    return window.start if window and window.width == 1 else None


def _figures(block: Mapping[str, Any]) -> Sequence[Figure]:
    about = {name: block[name] for name in ("measure", "denominator", "kind", "what", "source")}
    if "layers" in block:
        return [
            Figure(
                block["collection"],
                block["model"],
                f"listwise-attention-{LayerWindow(layer, layer)}",
                value=value,
                **about,
            )
            for layer, value in enumerate(block["layers"])
        ]
    return [
        Figure(collection, block.get("model", ""), block["system"], value=value, **about)
        for collection, value in block["values"].items()
    ]
