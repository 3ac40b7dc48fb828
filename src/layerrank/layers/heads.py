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
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from layerrank.attention.signal import Signal
from layerrank.attention.store import read_signals, stored_qids
from layerrank.core.errors import UserError
from layerrank.core.files import Qrels, replacing
from layerrank.core.heads import ChosenHeads, Head, HeadSelection
from layerrank.core.windows import LayerWindow, Selection, rule_of
from layerrank.layers.head_rules import KINDS, HeadRule, Judgements, Values, needs_masked, scoring
from layerrank.layers.rules.settings import Settings, folds_for
from layerrank.layers.selection import folds_of
from layerrank.layers.signals import for_each

FORMAT = 1
_KEY = b"layerrank"


@dataclass(frozen=True, eq=False)
class HeadValues:
    """The score of every head for the Q queries of a collection and model.

    Attributes:
        qids: the queries, judged ones with a signal (all with a signal for a rule that needs no judgements).
        values: float32[Q, L, H], NaN for a query that says nothing.
        rule: the settings that they were scored with (`scoring`).
    """

    qids: tuple[str, ...]
    values: NDArray[np.float32]
    rule: Settings

    def mean(self, rows: NDArray[np.integer[Any]] | None = None) -> Values:
        """float64[L, H]: mean over the queries, or those at `rows`, that say something; 0 where none does."""
        chosen = self.values if rows is None else self.values[rows]
        known = ~np.isnan(chosen).any(axis=(1, 2))
        if not known.any():
            return np.zeros(self.values.shape[1:])
        return np.asarray(chosen[known].mean(axis=0, dtype=np.float64))


def head_values(
    paths: Sequence[Path],
    qrels: Qrels,
    rule: HeadRule,
    *,
    orders: Mapping[str, Sequence[Path]] | None = None,
    workers: int = 1,
) -> HeadValues:
    """Score every head for every query, streaming over the store.

    Args:
        paths: the stored signal, by shard.
        qrels: of the judged queries.
        rule: how to score.
        orders: the signal of each input order, the base's among them, for a rule that asks for them: a query's scores
            are then their mean, and one that does not run in all of them says nothing.
        workers: processes.

    Raises:
        UserError: a store without what the rule needs, orders where there are none, or no query that says something.
    """
    stores = [paths]
    if rule.settings.get("orders") == "all":
        if not orders or len(orders) < 2:
            raise UserError(f"head rule {rule.kind.name!r}: orders is 'all', and there are no further orders")
        stores = list(orders.values())
    arguments: Mapping[str, Any] = qrels
    if rule.kind.sees == "signals":
        arguments = {qid: {} for qid in stored_qids(paths)}
    held = stored_qids(paths)
    qids = tuple(qid for qid in arguments if qid in held)
    found = [_of_store(store, arguments, rule, workers) for store in stores]
    nothing = np.full_like(next(iter(found[0].values())), np.nan)
    each = [np.mean([own.get(qid, nothing) for own in found], axis=0) for qid in qids]
    if not any(np.isfinite(values).all() for values in each):
        raise UserError(f"head rule {rule.kind.name!r}: no query with a signal says anything of a head")
    return HeadValues(qids, np.stack(each).astype(np.float32), scoring(rule))


def _of_store(paths: Sequence[Path], arguments: Mapping[str, Any], rule: HeadRule, workers: int) -> dict[str, Values]:
    """float64[L, H] of each query of one store."""
    for signal in read_signals(paths):
        if needs_masked(rule) and signal.masked is None:
            raise UserError(
                f"{paths[0]}: rule {rule.kind.name!r} needs each head's masked sums, which this store does not hold; "
                "extract it again, or choose another strategy"
            )
        layers = signal.layers
        break
    else:
        raise UserError(f"{', '.join(map(str, paths))}: no query has a signal")
    work = partial(_score, kind=rule.kind.name, settings=dict(rule.settings))
    found = for_each(paths, work, arguments, windows=layers, workers=workers, what="heads")
    if not found:
        raise UserError(f"head rule {rule.kind.name!r}: no query with a signal says anything of a head")
    return found


def _score(signal: Signal, judgements: Judgements, *, kind: str, settings: Settings) -> Values:
    return KINDS[kind].score(signal, judgements, settings)


def choose_heads(
    name: str,
    rule: HeadRule,
    collection: str,
    own: HeadValues,
    others: Mapping[str, HeadValues] | None = None,
    within: Selection | None = None,
    *,
    every: bool = False,
) -> HeadSelection:
    """Choose the best heads for `own`'s queries; `every` ranks all that the rule allows, best first.

    Args:
        name: the rule's name in the study.
        rule: how to choose.
        collection: whose queries are judged.
        own: scores on it. No value of a query is read that the set is chosen for, the oracle excepted.
        others: scores on other collections, same model, by name.
        within: the windows that a query's heads lie in, where the rule's `window` is `selected-<rule>`.

    Raises:
        UserError: scores of another rule or model, fewer queries than folds, no other collection, windows of another
            rule, or fewer heads than asked for.
    """
    settings, all_qids = rule.settings, tuple(own.qids)
    for whose, values in {collection: own, **(others or {})}.items():
        _check_scores(name, rule, whose, values, own)
    layers, heads = own.values.shape[1:]
    folds = seed = None
    where = [collection]
    parts: list[tuple[Values, tuple[str, ...], str]] = []  # means, the queries that they are for, on what
    whole = own.mean()
    if rule.kind.sees == "judgements" and settings["chosen_on"] == "folds":
        how, folds, seed = "cross-validation", folds_for(settings, len(all_qids)), settings["seed"]
        if folds < 2:
            raise UserError(f"head rule {name!r}: folds: cross-validation needs two judged queries or more")
        fold = folds_of(own.qids, folds, seed)
        places = np.array([fold[qid] for qid in own.qids])
        for number in range(folds):
            rows = np.flatnonzero(places != number)
            judged = tuple(qid for qid in own.qids if fold[qid] == number)
            parts.append((own.mean(rows), judged, f"{collection}: {len(rows)} queries of the other folds"))
    elif rule.kind.sees == "judgements":
        on, how = settings["chosen_on"], "other-collections"
        where = [other for other in (sorted(others or {}) if on == "others" else on) if other != collection]
        if missing := [other for other in where if other not in (others or {})]:
            raise UserError(f"head rule {name!r}: no scores of collection {missing[0]!r}")
        if not where:
            raise UserError(f"head rule {name!r}: chosen_on names no collection other than {collection}")
        assert others is not None
        whole = np.mean([others[other].mean() for other in where], axis=0)
        parts.append((whole, all_qids, ", ".join(where)))
    elif rule.kind.sees == "test judgements":
        how = "test queries"
        parts.append((whole, all_qids, f"{collection}: the test queries"))
    else:
        how = "none"
        parts.append((whole, all_qids, f"signals of {collection}, no judgements"))
    window = _windows(name, rule, layers, within)

    def best(means: Values, allowed: LayerWindow) -> tuple[Head, ...]:
        top = {"top": allowed.width * heads} if every else {}
        return best_heads(means, {**settings, **top}, allowed)

    sets = []
    for means, qids, said in parts:
        by_window: dict[LayerWindow, list[str]] = {}
        for qid, own_window in window(qids).items():
            by_window.setdefault(own_window, []).append(qid)
        for own_window in sorted(by_window):
            sets.append(ChosenHeads(best(means, own_window), tuple(by_window[own_window]), said))
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
        default=best(whole, within.default if within else LayerWindow.parse(settings.get("window", "all"), layers)),
    )


def _check_scores(name: str, rule: HeadRule, whose: str, values: HeadValues, own: HeadValues) -> None:
    if dict(values.rule) != scoring(rule):
        raise UserError(f"head rule {name!r}: the scores of {whose} are by {dict(values.rule)}, not {scoring(rule)}")
    if values.values.shape[1:] != own.values.shape[1:]:
        raise UserError(f"head rule {name!r}: the scores of {whose} are of a model with other layers or heads")


def _windows(
    name: str, rule: HeadRule, layers: int, within: Selection | None
) -> Callable[[Sequence[str]], Mapping[str, LayerWindow]]:
    """What says in which window each query's heads lie."""
    spec = rule.settings.get("window", "all")
    asked = rule_of(spec)
    if (asked is None) != (within is None) or (within is not None and within.rule != asked):
        given = "none" if within is None else f"those of {within.rule!r}"
        raise UserError(f"head rule {name!r}: window is {spec!r}, the file of selected windows: {given}")
    if within is None:
        window = LayerWindow.parse(spec, layers)
        return lambda qids: dict.fromkeys(qids, window)
    if within.layers != layers:
        raise UserError(f"head rule {name!r}: window {spec!r} was chosen for {within.layers} layers, not {layers}")
    return within.of


def best_heads(means: Values, settings: Settings, within: LayerWindow | None = None) -> tuple[Head, ...]:
    """The `top` heads of float64[L, H], best first, in the window `within`, else in that of the settings, else any."""
    layers, heads = means.shape
    window = within or LayerWindow.parse(settings.get("window", "all"), layers)
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
