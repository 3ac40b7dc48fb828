"""Which heads see relevance: a score of every head for every query, from stored signals, and sets chosen by it.

Scores follow semantics.md §7. A rule never sees the judgements of a query that it chooses for: it is chosen by
cross-validation, on other collections, or without judgements; the oracle is an upper bound. Ties go to the lower layer,
then to the lower head.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from layerrank.attention.scores import STRATEGIES
from layerrank.attention.signal import Signal
from layerrank.attention.store import read_signals
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, replacing
from layerrank.core.heads import ChosenHeads, Head, HeadSelection
from layerrank.core.windows import LayerWindow
from layerrank.evaluation import measures
from layerrank.layers.selection import folds_of
from layerrank.layers.signals import for_each

Values = NDArray[np.float64]
Judgements = Mapping[str, int]
Settings = Mapping[str, Any]
Sees = Literal["judgements", "signals", "test judgements"]

FORMAT = 1
_KEY = b"layerrank"
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
    """

    name: str
    sees: Sees
    score: Callable[[Signal, Judgements, Settings], Values]
    own: Mapping[str, Mapping[str, Any]]

    @property
    def settings(self) -> dict[str, Mapping[str, Any]]:
        """JSON schema of each setting."""
        return {**self.own, **_COMMON, **(_CHOSEN_ON if self.sees == "judgements" else {})}


@dataclass(frozen=True)
class HeadRule:
    """A kind with its settings, checked, with the defaults of those that are not given."""

    kind: Kind
    settings: Settings


@dataclass(frozen=True, eq=False)
class HeadValues:
    """The score of every head for the Q queries of a collection and model.

    Attributes:
        qids: the queries, judged ones with a signal (all with a signal for a rule that needs no judgements).
        values: float32[Q, L, H], NaN for a query that says nothing.
        rule: the settings that they were scored with.
    """

    qids: tuple[str, ...]
    values: NDArray[np.float32]
    rule: Mapping[str, Any]

    def mean(self, rows: NDArray[np.integer[Any]] | None = None) -> Values:
        """float64[L, H]: mean over the queries, or those at `rows`, that say something; 0 where none does."""
        chosen = self.values if rows is None else self.values[rows]
        known = ~np.isnan(chosen).any(axis=(1, 2))
        if not known.any():
            return np.zeros(self.values.shape[1:])
        return np.asarray(chosen[known].mean(axis=0, dtype=np.float64))


def parse_head_rule(given: Mapping[str, Any]) -> HeadRule:
    """The rule that `given` names under `rule`; `UserError` names the key, the value and what is allowed."""
    name = given.get("rule")
    if not isinstance(name, str) or name not in KINDS:
        raise UserError(f"head rule {name!r}: one of {', '.join(KINDS)}")
    kind, where = KINDS[name], f"head rule {name!r}"
    own = {key: value for key, value in given.items() if key != "rule"}
    for key, value in own.items():
        if key not in kind.settings:
            raise UserError(f"{where}: no key {key!r}; its keys: {', '.join(sorted(kind.settings))}")
        if errors := list(jsonschema.Draft202012Validator(kind.settings[key]).iter_errors(value)):
            raise UserError(f"{where}: {key}: {errors[0].message} ({kind.settings[key]['description']})")
    defaults = {key: schema["default"] for key, schema in kind.settings.items() if "default" in schema}
    rule = HeadRule(kind, {**defaults, **own})
    if "measure" in rule.settings:
        measures.check([rule.settings["measure"]])
    return rule


def head_rule_schema() -> dict[str, Any]:
    """JSON schema of a rule and its settings, as a study gives them: for each rule its own."""
    return {
        "description": "One rule.",
        "type": "object",
        "required": ["rule"],
        "properties": {"rule": {"description": "The rule's name; the others are its settings.", "enum": list(KINDS)}},
        "allOf": [
            {
                "if": {"properties": {"rule": {"const": name}}},
                "then": {"properties": {"rule": True, **kind.settings}, "additionalProperties": False},
            }
            for name, kind in KINDS.items()
        ],
    }


def head_values(paths: Sequence[Path], qrels: Qrels, rule: HeadRule, *, workers: int = 1) -> HeadValues:
    """Score every head for every query, streaming over the store.

    Raises:
        UserError: a store without what the rule needs, or no query that says something.
    """
    for signal in read_signals(paths):
        if _needs_masked(rule) and signal.masked is None:
            raise UserError(
                f"{paths[0]}: rule {rule.kind.name!r} needs each head's masked sums, which this store does not hold; "
                "extract it again, or choose another strategy"
            )
        shape = (signal.layers, signal.heads)
        break
    else:
        raise UserError(f"{', '.join(map(str, paths))}: no query has a signal")
    arguments: Mapping[str, Any] = qrels
    if rule.kind.sees == "signals":
        arguments = {qid: {} for path in paths for qid in _qids(path)}
    work = partial(_score, kind=rule.kind.name, settings=dict(rule.settings))
    found = for_each(paths, work, arguments, windows=shape[0], workers=workers, what="heads")
    if not any(np.isfinite(values).all() for values in found.values()):
        raise UserError(f"head rule {rule.kind.name!r}: no query with a signal says anything of a head")
    values = np.stack(list(found.values())).astype(np.float32)
    return HeadValues(tuple(found), values, {"rule": rule.kind.name, **rule.settings})


def choose_heads(
    name: str, rule: HeadRule, collection: str, own: HeadValues, others: Mapping[str, HeadValues] | None = None
) -> HeadSelection:
    """Choose the best heads for `own`'s queries.

    Args:
        name: the rule's name in the study.
        rule: how to choose.
        collection: whose queries are judged.
        own: scores on it. No value of a query is read that the set is chosen for, the oracle excepted.
        others: scores on other collections, same model, by name.

    Raises:
        UserError: fewer queries than folds, no other collection, or fewer heads than asked for.
    """
    settings, every = rule.settings, tuple(own.qids)
    layers, heads = own.values.shape[1:]
    folds = seed = None
    where = [collection]
    if rule.kind.sees == "judgements" and settings["chosen_on"] == "folds":
        folds, seed = settings["folds"], settings["seed"]
        fold = folds_of(own.qids, folds, seed)
        places = np.array([fold[qid] for qid in own.qids])
        sets = []
        for number in range(folds):
            rows = np.flatnonzero(places != number)
            judged = tuple(qid for qid in own.qids if fold[qid] == number)
            said = f"{collection}: {len(rows)} queries of the other folds"
            sets.append(ChosenHeads(best_heads(own.mean(rows), settings), judged, said))
        default, how = best_heads(own.mean(), settings), "cross-validation"
    elif rule.kind.sees == "judgements":
        on = settings["chosen_on"]
        where = [other for other in (sorted(others or {}) if on == "others" else on) if other != collection]
        if missing := [other for other in where if other not in (others or {})]:
            raise UserError(f"head rule {name!r}: no scores of collection {missing[0]!r}")
        if not where:
            raise UserError(f"head rule {name!r}: chosen_on names no collection other than {collection}")
        assert others is not None
        means = np.mean([others[other].mean() for other in where], axis=0)
        default, how = best_heads(means, settings), "other-collections"
        sets = [ChosenHeads(default, every, ", ".join(where))]
    else:
        oracle = rule.kind.sees == "test judgements"
        default, how = best_heads(own.mean(), settings), "test queries" if oracle else "none"
        said = f"{collection}: the test queries" if oracle else f"signals of {collection}, no judgements"
        sets = [ChosenHeads(default, every, said)]
    return HeadSelection(
        rule=name,
        family=rule.kind.name,
        settings={"rule": rule.kind.name, **settings},
        chosen_by=how,
        upper_bound=rule.kind.sees == "test judgements",
        layers=layers,
        heads=heads,
        folds=folds,
        seed=seed,
        collection=collection,
        collections=tuple(where),
        sets=tuple(sets),
        default=default,
    )


def best_heads(means: Values, settings: Settings) -> tuple[Head, ...]:
    """The `top` heads of float64[L, H], best first, within the window where the settings have one."""
    layers, heads = means.shape
    window = LayerWindow.parse(settings.get("window", "all"), layers)
    allowed = [(layer, head) for layer in range(window.start, window.end + 1) for head in range(heads)]
    if len(allowed) < settings["top"]:
        raise UserError(f"heads: top is {settings['top']}, but {window} has {len(allowed)} heads")
    return tuple(sorted(allowed, key=lambda head: (-means[head], head))[: settings["top"]])


def write_head_values(path: Path, found: HeadValues) -> None:
    """Write Arrow IPC, one record a query {qid, values float32[L · H]}; the rule is JSON in the schema's metadata."""
    layers, heads = found.values.shape[1:]
    about = {"format": FORMAT, "layers": layers, "heads": heads, "rule": dict(found.rule)}
    flat = pa.array(np.ascontiguousarray(found.values).reshape(-1), type=pa.float32())
    columns = [pa.array(found.qids, type=pa.string()), pa.FixedSizeListArray.from_arrays(flat, layers * heads)]
    schema = pa.schema(
        [pa.field("qid", pa.string()), pa.field("values", columns[1].type)],
        metadata={_KEY: json.dumps(about, sort_keys=True).encode()},
    )
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def read_head_values(path: Path) -> HeadValues:
    """Read what `write_head_values` wrote. Raises `UserError` for a missing or foreign file."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            table = pa.ipc.open_file(source).read_all()
        about = json.loads((table.schema.metadata or {})[_KEY])
        if about["format"] != FORMAT and about["rule"]:
            raise UserError(f"{path}: format {about['format']!r} of head scores, this layerrank reads format {FORMAT}")
        qids = tuple(table.column("qid").to_pylist())
        values = table.column("values").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return HeadValues(qids, values.reshape(len(qids), about["layers"], about["heads"]), about["rule"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path}: no head scores of layerrank ({type(error).__name__}: {error})") from None


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
assert HEAD_STRATEGIES.keys() - {MASKED} <= STRATEGIES.keys()


def _score(signal: Signal, judgements: Judgements, *, kind: str, settings: Settings) -> Values:
    return KINDS[kind].score(signal, judgements, settings)


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


def _needs_masked(rule: HeadRule) -> bool:
    return rule.settings.get("strategy") == MASKED or rule.kind.name == "qr-ndcg"


def _qids(path: Path) -> list[str]:
    from layerrank.attention.store import read_metadata

    return list(read_metadata(path)["qids"])


_STRATEGY = {
    "description": "What a head by itself gives a passage: `masked` (as QRHead), or a linear strategy.",
    "enum": list(HEAD_STRATEGIES),
    "default": MASKED,
}
_RELEVANT = {"description": "The lowest grade that is relevant.", "type": "integer", "minimum": 1, "default": 1}
_COMMON: Mapping[str, Mapping[str, Any]] = {
    "top": {"description": "How many heads are chosen.", "type": "integer", "minimum": 1, "default": 8},
    "window": {"description": "Only heads of these layers: START-END, a layer, or all.", "type": "string"},
}
_CHOSEN_ON: Mapping[str, Mapping[str, Any]] = {
    "chosen_on": {
        "description": "Where the heads are chosen: `folds` (cross-validation over queries), `others` (the study's "
        "other collections), or a list of collections.",
        "oneOf": [{"enum": ["folds", "others"]}, {"type": "array", "minItems": 1, "items": {"type": "string"}}],
        "default": "folds",
    },
    "folds": {"description": "Folds of the cross-validation.", "type": "integer", "minimum": 2, "default": 5},
    "seed": {"description": "Seed of the folds.", "type": "integer", "default": 42},
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
