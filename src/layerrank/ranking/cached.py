"""Rankings of one-prompt listwise attention from the stored signal, with no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layerrank.attention.scores import MASKED, Heads, check_strategy, passage_scores, rank
from layerrank.attention.signal import Signal
from layerrank.attention.store import read_signals, stored_layers, stored_qids, stored_weights
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Cost, Ranking
from layerrank.core.windows import LayerWindow, heads_for, windows_for

STORED_PASS = "stored_full_pass"
"""Outcome of every query: its seconds are the extraction's, of all layers, whatever the window."""


def check_settings(settings: Mapping[str, Any]) -> tuple[str, Heads | None]:
    """Strategy and heads out of the settings of the attention mechanism.

    Raises `UserError` for an unknown key, for whatever `check_strategy` refuses, and for a cut of texts: the stored
    signal has been read already.
    """
    for key, value in settings.items():
        if key in ("query_tokens", "passage_tokens"):
            if value is not None:
                raise UserError(f"attention: {key} is {value!r}, but the stored signal was read from uncut texts")
        elif key not in ("strategy", "heads"):
            raise UserError(f"attention: unknown setting {key!r}; the stored signal takes strategy, heads")
    strategy = settings.get("strategy", MASKED)
    return strategy, check_strategy(strategy, settings.get("heads"), stored=True)


def rerank_cached(
    candidates: Sequence[Candidates],
    paths: Sequence[Path],
    spec: str,
    *,
    selection: Path | None = None,
    strategy: str = MASKED,
    heads: Heads | None = None,
) -> tuple[list[Ranking], list[Cost]]:
    """Each query's candidates by falling score under its window, and its cost; queries in the order of `candidates`.

    A query without candidates has neither. Equal scores stay in input order and become strictly falling in the run.
    The cost's tokens and layers are those of a pass cut at the window's end; its seconds are those of the stored pass,
    which read every layer: the outcome `STORED_PASS` says so.
    Raises `UserError` where a query with candidates has no signal or the signal is of other candidates.
    """
    lists = {row.query.qid: tuple(passage.pid for passage in row.passages) for row in candidates if len(row)}
    held = stored_qids(paths)
    if missing := [qid for qid in lists if qid not in held]:
        raise UserError(
            f"query {missing[0]} and {len(missing) - 1} more have candidates and no signal; extract it again"
        )
    if not lists:
        return [], []
    layers = stored_layers(paths)
    windows, chosen = windows_for(spec, lists, layers, selection), heads_for(spec, lists, layers, None, selection)
    if chosen is not None and heads is not None:
        raise UserError(f"{spec}: heads are chosen by a rule, and given in the settings too")
    weights = stored_weights(paths)
    rankings, costs = {}, {}
    for signal in read_signals(paths, lists):
        if signal.pids != lists[signal.qid]:
            raise UserError(f"{held[signal.qid]}: query {signal.qid}: signal of other candidates; extract it again")
        own = heads if chosen is None else chosen[signal.qid]
        check_strategy(strategy, own, layers=signal.layers, each=signal.heads, stored=True)
        scores = passage_scores(signal, windows[signal.qid], strategy, own)
        order = rank(signal, scores)
        rankings[signal.qid] = Ranking(
            signal.qid, tuple(signal.pids[i] for i in order), tuple(float(scores[i]) for i in order)
        )
        costs[signal.qid] = _cost(signal, windows[signal.qid], weights)
    return [rankings[qid] for qid in lists], [costs[qid] for qid in lists]


def _cost(signal: Signal, window: LayerWindow, weights: str) -> Cost:
    return Cost(
        signal.qid,
        groups=1,
        forward_passes=1,
        prompt_tokens=signal.prompt_tokens,
        layer_tokens=signal.prompt_tokens * (window.end + 1),
        seconds=signal.seconds,
        outcomes={STORED_PASS: 1},
        weights=weights,
    )
