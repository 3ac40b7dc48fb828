"""Rules that choose attention heads by a score of every head for every query, from stored signals (semantics.md §7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerrank.attention import scores
from layerrank.attention.signal import Signal
from layerrank.core.windows import LayerWindow, rule_of
from layerrank.evaluation import measures
from layerrank.layers.rules import settings as rules
from layerrank.layers.rules.settings import CHOSEN_ON, Schema, Sees, Settings

Values = NDArray[np.float64]
Judgements = Mapping[str, int]

MASKED = "masked"
"""The strategy of a head by itself that leaves out tokens below mean − 2 · std; it needs a store of format 2."""


@dataclass(frozen=True)
class Kind:
    """One way to score heads.

    Attributes:
        name: as a study writes it.
        sees: what it scores by.
        score: of one query, float64[L, H], higher is better; NaN throughout where the query says nothing.
        own: JSON schema of each setting of its own.
        required: settings that a study must give.
    """

    name: str
    sees: Sees
    score: Callable[[Signal, Judgements, Settings], Values]
    own: Mapping[str, Schema]
    required: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Schema]:
        """JSON schema of each setting."""
        return {**self.own, **_COMMON, **(CHOSEN_ON if self.sees == "judgements" else {})}


HeadRule = rules.Rule[Kind]


def parse_head_rule(given: Settings) -> HeadRule:
    """The rule that `given` names under `rule`; `UserError` names the key, the value and what is allowed."""
    rule = rules.parse(given, KINDS, "head rule")
    if "measure" in rule.settings:
        measures.check([rule.settings["measure"]])
    window = rule.settings.get("window", "all")
    if rule_of(window) is None:
        LayerWindow.parse(window, layers=10_000)
    return rule


def head_rule_schema() -> dict[str, Any]:
    """JSON schema of a rule and its settings, as a study gives them: for each rule its own."""
    return rules.schema(KINDS)


def scoring(rule: HeadRule) -> dict[str, Any]:
    """The part of a rule that heads are scored by, named by the first kind that scores so; the rest is choice."""
    of_scores = (*rule.kind.own, "orders")
    alike = next(name for name, kind in KINDS.items() if kind.score is rule.kind.score)
    return {"rule": alike, **{key: rule.settings[key] for key in of_scores if key in rule.settings}}


def needs_masked(rule: HeadRule) -> bool:
    """Whether a rule scores by each head's masked sums, which a store of format 1 does not hold."""
    return rule.settings.get("strategy") == MASKED or rule.kind.name == "qr-ndcg"


def head_strategy(strategy: str, *, linear: bool = False) -> str:
    """What a head by itself gives a passage under a study's strategy; where it must be `linear`, without the mask.

    Under `NA_only`, which reads no query, that is `NA_calibration`.
    """
    own = MASKED if strategy == scores.MASKED else strategy
    return own if own in HEAD_STRATEGIES and not (linear and own == MASKED) else "NA_calibration"


def by_head(signal: Signal, strategy: str) -> Values:
    """float64[L, H, N]: what each head by itself gives each passage, under a strategy of `HEAD_STRATEGIES`."""
    return HEAD_STRATEGIES[strategy](signal)


def _masked(signal: Signal) -> Values:
    assert signal.masked is not None
    return signal.masked.astype(np.float64)


HEAD_STRATEGIES: Mapping[str, Callable[[Signal], Values]] = {
    MASKED: _masked,
    "NA_calibration": lambda signal: signal.sums["query"].astype(np.float64) - signal.sums["na"],
    "query_last": lambda signal: signal.sums["query"].astype(np.float64),
    "attention_sorting": lambda signal: signal.sums["query_last"].astype(np.float64),
    "NA_calibration_no_agg": lambda signal: signal.sums["query_last"].astype(np.float64) - signal.sums["na_last"],
}
"""Strategy → what each head gives each passage. The linear ones are those of `attention.scores`."""
assert HEAD_STRATEGIES.keys() - {MASKED} <= scores.STRATEGIES.keys()


def _nothing(signal: Signal) -> Values:
    return np.full((signal.layers, signal.heads), np.nan)


def _core(signal: Signal, judgements: Judgements, settings: Settings) -> Values:
    """CoRe's contrast: mean over positives of softmax(s / τ) at the positive, against the negatives.

    s is the raw attention of the query. Passages that nobody judged count as negatives, unless `judged` asks for judged
    ones alone. A query without a positive or without a negative among its candidates says nothing.
    """
    grades = [judgements.get(pid) for pid in signal.pids]
    positives = [place for place, grade in enumerate(grades) if (grade or 0) >= settings["relevant"]]
    unjudged = not settings["judged"]
    negatives = [
        place
        for place, grade in enumerate(grades)
        if (grade is None and unjudged) or (grade is not None and grade < settings["relevant"])
    ]
    if not positives or not negatives:
        return _nothing(signal)
    scaled = signal.sums["query"].astype(np.float64) / settings["tau"]  # [L, H, N]
    against = np.logaddexp.reduce(scaled[..., negatives], axis=-1)
    positive = scaled[..., positives]
    return np.asarray(np.exp(positive - np.logaddexp(positive, against[..., None])).mean(axis=-1))


def _measured(signal: Signal, judgements: Judgements, settings: Settings) -> Values:
    """The measure of the order that each head by itself gives."""
    scores = by_head(signal, settings["strategy"]).reshape(-1, len(signal.pids))
    orders = np.argsort(-scores, axis=1, kind="stable").astype(np.int64)
    values = measures.of_orders(settings["measure"], judgements, signal.pids, orders)
    return np.asarray(values, dtype=np.float64).reshape(signal.layers, signal.heads)


def _mass(signal: Signal, judgements: Judgements, settings: Settings) -> Values:
    """QRHead's other detector: the masked sums of the relevant passages together."""
    positives = [p for p, pid in enumerate(signal.pids) if judgements.get(pid, 0) >= settings["relevant"]]
    if not positives:
        return _nothing(signal)
    return by_head(signal, settings["strategy"])[..., positives].sum(axis=-1)


def _agreement(signal: Signal, judgements: Judgements, settings: Settings) -> Values:
    """Spearman's correlation of each head's ranking with the mean rank over the heads of all other layers.

    As the windows' criterion of the same name: heads that err independently agree with the others' consensus the more,
    the better they are; heads of the same layer have no vote, and errors that layers share count as agreement.
    """
    n = len(signal.pids)
    if n < 2 or signal.layers < 2:
        return _nothing(signal)
    scores = by_head(signal, settings["strategy"])
    ranks = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1).astype(np.float64)
    of_layers = ranks.sum(axis=1)
    outside = of_layers.sum(axis=0) - of_layers  # [L, N]
    ranks -= ranks.mean(axis=-1, keepdims=True)
    outside -= outside.mean(axis=-1, keepdims=True)
    spread = np.linalg.norm(ranks, axis=-1) * np.linalg.norm(outside, axis=-1)[:, None]
    return np.divide(np.einsum("lhn,ln->lh", ranks, outside), spread, out=np.zeros(ranks.shape[:2]), where=spread > 0)


_STRATEGY = {
    "description": "What a head by itself gives a passage: `masked` (as QRHead), or a linear strategy.",
    "enum": list(HEAD_STRATEGIES),
    "default": MASKED,
}
_RELEVANT = {"description": "The lowest grade that is relevant.", "type": "integer", "minimum": 1, "default": 1}
_COMMON: Mapping[str, Mapping[str, Any]] = {
    "top": {"description": "How many heads are chosen.", "type": "integer", "minimum": 1, "default": 8},
    "window": {
        "description": "Only heads of these layers: all, a layer, START-END, or selected-<rule>, the window that a "
        "rule of layers.selection chose for each query.",
        "type": "string",
    },
}
_MEASURE = {"description": "A measure in the syntax of ir-measures.", "type": "string", "default": "nDCG@10"}

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "core",
            "judgements",
            _core,
            {
                "tau": {"description": "Temperature.", "type": "number", "exclusiveMinimum": 0, "default": 0.1},
                "judged": {
                    "description": "Only judged passages count as negatives.",
                    "type": "boolean",
                    "default": False,
                },
                "relevant": _RELEVANT,
            },
        ),
        Kind(
            "qr-ndcg",
            "judgements",
            lambda signal, judgements, settings: _measured(
                signal, judgements, {"strategy": MASKED, "measure": "nDCG@10"}
            ),
            {},
        ),
        Kind("qr-mass", "judgements", _mass, {"relevant": _RELEVANT, "strategy": _STRATEGY}),
        Kind("measure", "judgements", _measured, {"measure": _MEASURE, "strategy": _STRATEGY}),
        Kind("label-free", "signals", _agreement, {"strategy": _STRATEGY}),
        Kind("oracle", "test judgements", _measured, {"measure": _MEASURE, "strategy": _STRATEGY}),
    )
}
"""Rules by name. core: CoRe's contrastive score. qr-ndcg, qr-mass: QRHead's detectors. measure: any measure of a head's
own order. label-free: agreement with the heads of other layers. oracle: `measure` on the test queries, an upper
bound."""
