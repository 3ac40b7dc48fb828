"""What else could explain a study's figures: place, length, ties, unjudged passages, answers that cannot be read."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from layerrank.core.systems import ALL_LAYERS, PLACE, RANDOM
from layerrank.report.answers.page import Answer
from layerrank.report.answers.words import failures
from layerrank.report.tables.describe import Cell, Column, Section, Table, interval, row
from layerrank.report.tables.looked_up import means_by_system

Pair = tuple[str, str]
RHO = "+.2f"


def caveats(
    correlations: pd.DataFrame, audited: pd.DataFrame, means: pd.DataFrame, costs: pd.DataFrame, measure: str
) -> Answer:
    """What whole-list attention of all layers owes to place, length, ties and judgements that are missing.

    Args:
        correlations: of `diagnose`, columns `frames.CORRELATION`; the base's are read.
        audited: of `evaluate`, columns `frames.AUDIT`.
        means: of `aggregate`, columns `frames.MEANS`.
        costs: of `summarise-costs`, columns `frames.SUMMARY`, of every variant that is shown.
        measure: the one that leads the tables.
    """
    columns = (
        Column("Model on collection"),
        Column("place in the prompt", RHO, group="ρ among passages that are not relevant", detail="95% interval"),
        Column("passage length", RHO, group="ρ among passages that are not relevant", detail="95% interval"),
        Column("all layers", ".3f", group=measure),
        Column("place alone", ".3f", group=measure),
        Column("random order", ".3f", group=measure),
        Column("without unjudged", ".3f", group=measure),
        Column("judged at the cut-off", ".0%"),
        Column("change by random ties", "+.3f"),
    )
    biases = _biases(correlations)
    audit = {(one["collection"], one["model"]): one for one in _of_all_layers(audited, measure)}
    systems = means_by_system(means[(means["measure"] == measure) & (means["variant"] == "base")])
    rows = []
    for pair, own in biases.items():
        told = audit[pair]
        shown = [Cell(one["mean"], detail=interval(one["low"], one["high"], RHO)) for one in own]
        values = systems[pair]
        kept = (values.get(name, math.nan) for name in (ALL_LAYERS, PLACE, RANDOM))
        tied = float(told["tied_value"]) - float(told["value"])
        rows.append(row([_named(pair), *shown, *kept, float(told["condensed"]), float(told["judged"]), tied]))
    statements = (
        *_of_bias(biases, 0, "the place in the prompt", "passages nearer to the query", "passages further from it"),
        *_of_bias(biases, 1, "the passage’s length", "longer passages", "shorter ones"),
        *_of_controls(systems, measure),
        *_of_judgements(audit, measure),
        *failures(costs, "The table of outcomes counts them by cell."),
    )
    notes = (
        "ρ: Spearman’s rank correlation of the scores of all layers with place or length within a query, mean over "
        "queries; among passages that are not relevant, so that relevance has no part in it. Place alone ranks by the "
        "place in the prompt, the last passage first: in the first stage’s order that is the first stage itself.",
        "Without unjudged: the ranking with unjudged passages taken out. Ties: mean over random orders of the tied.",
    )
    return Answer(
        "What else could explain the figures?", statements, Table("", columns, (Section("", tuple(rows)),), notes)
    )


def _named(pair: Pair) -> str:
    return f"{pair[1]} on {pair[0]}"


def _of_all_layers(frame: pd.DataFrame, measure: str | None = None) -> list[dict[str, Any]]:
    own = frame[(frame["system"] == ALL_LAYERS) & (frame["variant"] == "base")]
    if measure is not None:
        own = own[own["measure"] == measure]
    return [{str(key): value for key, value in one.items()} for one in own.to_dict("records")]


def _biases(correlations: pd.DataFrame) -> dict[Pair, list[dict[str, Any]]]:
    """By collection and model: the correlation with place, and that with length."""
    found: dict[Pair, dict[str, dict[str, Any]]] = {}
    for one in _of_all_layers(correlations[correlations["passages"] == "not relevant"]):
        found.setdefault((one["collection"], one["model"]), {})[one["diagnostic"]] = one
    return {pair: [own["place"], own["tokens"]] for pair, own in found.items()}


def _of_bias(biases: dict[Pair, list[dict[str, Any]]], which: int, what: str, more: str, less: str) -> tuple[str, ...]:
    """Whether scores of passages that are not relevant follow something."""
    found = [own[which] for own in biases.values() if math.isfinite(own[which]["mean"])]
    if not found:
        return ()
    if len(found) == 1:
        [one] = found
        said = f"(ρ = {_signed(one['mean'])} {interval(one['low'], one['high'], RHO)})"
        if one["low"] > 0 or one["high"] < 0:
            liked = more if one["mean"] > 0 else less
            return (f"Among passages that are not relevant, scores follow {what}: {liked} score higher {said}.",)
        return (f"Among passages that are not relevant, scores are not shown to follow {what} {said}.",)
    up, down = sum(one["low"] > 0 for one in found), sum(one["high"] < 0 for one in found)
    span = " to ".join(_signed(end) for end in (min(one["mean"] for one in found), max(one["mean"] for one in found)))
    return (
        f"Among passages that are not relevant, {more} score higher in {up} and {less} in {down} of {len(found)} pairs "
        f"of a model and a collection (ρ = {span}).",
    )


def _signed(number: float) -> str:
    return format(number, RHO).replace("-", "−")


def _of_controls(systems: dict[Pair, dict[str, float]], measure: str) -> tuple[str, ...]:
    known = {pair: own for pair, own in systems.items() if {ALL_LAYERS, PLACE, RANDOM} <= set(own)}
    if not known:
        return ()
    if len(known) == 1:
        [own] = known.values()
        return (
            f"All layers reach {own[ALL_LAYERS]:.3f} {measure}; the place in the prompt alone {own[PLACE]:.3f}, "
            f"a random order {own[RANDOM]:.3f}: what does not rise above these has shown nothing.",
        )
    above = [sum(own[ALL_LAYERS] > own[name] for own in known.values()) for name in (PLACE, RANDOM)]
    return (
        f"The mean of all layers lies above that of place alone in {above[0]}, and above that of a random order in "
        f"{above[1]}, of {len(known)} pairs; category 1 has the tests against the first stage.",
    )


def _of_judgements(audit: dict[Pair, dict[str, Any]], measure: str) -> tuple[str, ...]:
    gaps = [float(one["judged"]) for one in audit.values() if math.isfinite(float(one["judged"]))]
    if not gaps:
        return ()
    least, most = min(gaps), max(gaps)
    share = f"{100 * least:.0f}%" if f"{least:.2f}" == f"{most:.2f}" else f"{100 * least:.0f} to {100 * most:.0f}%"
    moved = max((float(one["condensed"]) - float(one["value"]) for one in audit.values()), key=abs)
    return (
        f"{share} of the ranks that {measure} reads hold judged passages; without the unjudged ones its mean changes "
        f"by up to {format(moved, '+.3f').replace('-', '−')}.",
    )
