"""Honest seconds of whole-list re-ranking, stage by stage, with the memory and the operations that they come with.

What is timed is what a user waits for when one query's candidates are ranked in one prompt: text to ranking. Every
stage ends when the device is done. Systems take turns, round after round, so that a machine that slows down slows all
of them; each round loads the model anew, cut where its window ends, and warms it up before the first timed query.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from layerrank.attention.probe import Probe
from layerrank.attention.scores import passage_scores, rank
from layerrank.core import versions
from layerrank.core.errors import UserError
from layerrank.core.files import file_digest, read_candidates
from layerrank.core.frames import LATENCY, own_columns
from layerrank.core.heads import Head, head_names
from layerrank.core.progress import progress
from layerrank.core.records import Candidates
from layerrank.core.sampling import sample
from layerrank.core.windows import LayerWindow, heads_for, rule_of, windows_for
from layerrank.latency import flops
from layerrank.latency.machine import MIB, give_back, hardware, peak_memory
from layerrank.models.decoder import Decoder, load_decoder
from layerrank.models.device import synchronise
from layerrank.models.folder import load_config
from layerrank.prompts.icr import PromptSettings
from layerrank.prompts.tree import Tree
from layerrank.ranking.cells import Cell, make_cell
from layerrank.ranking.engine import Engine
from layerrank.ranking.frameworks import WHOLE
from layerrank.ranking.mechanism import Answer, Mechanism, Request, Work

if TYPE_CHECKING:
    import pandas as pd

    from layerrank.models.classifier import Classifier

STAGES = ("load", "tokenise", "prefill", "decode", "score", "total")
MECHANISMS = ("likelihood", "generation")


@dataclass(frozen=True)
class Sample:
    """Which queries are timed, and how often: `warmup` passes before the first timed one of each round."""

    queries: int = 3
    repeats: int = 3
    warmup: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        for name, least in (("queries", 1), ("repeats", 1), ("warmup", 0)):
            if getattr(self, name) < least:
                raise UserError(f"latency.{name}: {getattr(self, name)}: expected a whole number from {least}")


@dataclass
class Stopwatch:
    """Seconds, tokens and operations of one query by stage; a lap ends when the device is done."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    _begun: float = 0.0
    _last: float = 0.0

    def start(self) -> None:
        """Begin the first lap."""
        synchronise(self.device)
        self._begun = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a lap; a stage may have several."""
        synchronise(self.device)
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now

    def stop(self) -> None:
        """End the query: `total` is what the clock says, not the sum of the stages."""
        synchronise(self.device)
        self.seconds["total"] = time.perf_counter() - self._begun


Runner = Callable[[Candidates, Stopwatch], None]


@dataclass(frozen=True)
class Timed:
    """What is timed: `start` makes, of a loaded model, the function that ranks one query's candidates.

    `layers` are those that it loads; all where None. `trained` loads a model that was trained to rank.
    """

    name: str
    layers: int | None
    head: bool
    start: Callable[[Any], Runner]
    settings: Mapping[str, Any]
    trained: Cell | None = None

    def load(self, model: Path, dtype: str, device: str | None) -> Decoder | Classifier:
        """The model, as far as it is needed."""
        if self.trained is not None:
            return self.trained.load(model, dtype=dtype, device=device)
        return load_decoder(model, layers=self.layers, head=self.head, dtype=dtype, device=device)


@dataclass(frozen=True)
class Round:
    """One turn of one system; `weights` and `peak` in MiB, `facts` of the loaded model."""

    load: float
    watches: Sequence[Stopwatch]
    weights: float
    peak: float | None
    facts: Mapping[str, Any]
    loaded_layers: int


def measure(
    candidates: Path,
    model: Path,
    settings: PromptSettings,
    windows: Sequence[str],
    *,
    selections: Mapping[str, Path] | None = None,
    mechanisms: Sequence[str] = (),
    dtype: str = "float32",
    device: str | None = None,
    sampled: Sample | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Time whole-list attention with each window, and further mechanisms on the same lists, each in one prompt.

    Args:
        candidates: what `files.write_candidates` wrote.
        model: model folder.
        settings: of the attention prompts.
        windows: as `windows_for` reads them; the model is loaded up to the last layer that the sample needs.
        selections: rule → selection file, for the windows `selected-<rule>`; that of heads by `heads-<rule>`.
        mechanisms: of `MECHANISMS`, with their default prompts and the whole model.
        dtype: that the model computes in.
        device: as for `load_decoder`.
        sampled: queries, rounds, warm-up.

    Returns:
        The table (the own columns of `frames.LATENCY`), and what it was measured on: hardware, versions, sample, the
        seconds of every round.

    Raises:
        UserError: nothing to time, an unknown window, mechanism or selection, or a prompt beyond the context.
    """
    sampled = sampled or Sample()
    rows = _sampled(candidates, sampled)
    systems = _systems(model, rows, settings, windows, selections or {}, mechanisms)
    if not systems:
        raise UserError("latency.windows: no window and no mechanism is named, so there is nothing to time")
    prompt = {"family": settings.family, "instruction": settings.instruction, "query_span": settings.query_span}
    return _measured(systems, candidates, model, rows, sampled, dtype, device, {"prompt": prompt})


def measure_trained(
    candidates: Path,
    model: Path,
    cell: Cell,
    *,
    batch_tokens: int = 8192,
    dtype: str = "float32",
    device: str | None = None,
    sampled: Sample | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Time a model that was trained to rank on the same lists, each passage by itself, in the batches of a study.

    Args:
        candidates: as for `measure`: the same sample draws the same queries.
        model: model folder.
        cell: its pointwise cell; its name is the system's.
        batch_tokens: of one batch, padding counted.
        dtype: that the model computes in.
        device: as for `load_decoder`.
        sampled: queries, rounds, warm-up.

    Returns:
        As of `measure`; operations are not reckoned.

    Raises:
        UserError: no candidates, or a pair beyond the context.
    """
    sampled = sampled or Sample()
    rows = _sampled(candidates, sampled)
    system = _each(cell, batch_tokens)
    return _measured([system], candidates, model, rows, sampled, dtype, device, {"batch_tokens": batch_tokens})


def _sampled(candidates: Path, sampled: Sample) -> list[Candidates]:
    known = {row.query.qid: row for row in read_candidates(candidates) if len(row)}
    rows = [known[qid] for qid in sample(known, sampled.queries, sampled.seed)]
    if not rows:
        raise UserError(f"{candidates}: no query has a candidate, so there is nothing to time")
    return rows


def _measured(
    systems: Sequence[Timed],
    candidates: Path,
    model: Path,
    rows: Sequence[Candidates],
    sampled: Sample,
    dtype: str,
    device: str | None,
    further: Mapping[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    load = os.getloadavg()[0]
    rounds: dict[str, list[Round]] = {system.name: [] for system in systems}
    with progress(sampled.repeats * len(systems), "latency", "rounds") as shown:
        for turn in range(sampled.repeats):
            first = turn % len(systems)
            for system in [*systems[first:], *systems[:first]]:
                rounds[system.name].append(_round(system, model, dtype, device, rows, sampled.warmup, turn == 0))
                shown.update()
    about = {
        "candidates": file_digest(candidates),
        **rounds[systems[0].name][0].facts,
        "dtype": dtype,
        **further,
        "sample": {
            **{name: getattr(sampled, name) for name in ("queries", "repeats", "warmup", "seed")},
            "qids": [row.query.qid for row in rows],
            "passages": [len(row) for row in rows],
        },
        "load_average": {"before": load, "after": os.getloadavg()[0]},
        "versions": versions.of_numbers(),
        "systems": {
            system.name: {
                **system.settings,
                "loaded_layers": rounds[system.name][0].loaded_layers,
                "rounds": [
                    {
                        "load": one.load,
                        **{
                            stage: [watch.seconds[stage] for watch in one.watches]
                            for stage in STAGES
                            if stage in one.watches[0].seconds
                        },
                    }
                    for one in rounds[system.name]
                ],
            }
            for system in systems
        },
    }
    return _table(systems, rounds), about


def _systems(
    model: Path,
    rows: Sequence[Candidates],
    settings: PromptSettings,
    windows: Sequence[str],
    selections: Mapping[str, Path],
    mechanisms: Sequence[str],
) -> list[Timed]:
    config = load_config(model)
    layers, each = int(config.num_hidden_layers), int(config.num_attention_heads)
    qids = [row.query.qid for row in rows]
    found = []
    for spec in dict.fromkeys(windows):
        selection = selections.get(rule_of(spec) or spec)
        heads = heads_for(spec, qids, layers, each, selection) or {}
        read = windows_for(spec, qids, layers, selection)
        found.append(_attention(f"listwise-attention-{spec}", settings, read, heads))
    for mechanism in dict.fromkeys(mechanisms):
        if mechanism not in MECHANISMS:
            raise UserError(f"mechanism {mechanism!r}: expected one of {', '.join(MECHANISMS)}; attention has windows")
        cell = make_cell(model, qids, framework="listwise", mechanism=mechanism, framework_settings={"size": WHOLE})
        found.append(_written(f"listwise-{mechanism}", cell, layers))
    return found


def _attention(
    name: str,
    settings: PromptSettings,
    windows: Mapping[str, LayerWindow],
    heads: Mapping[str, tuple[Head, ...]],
) -> Timed:
    """Whole-list attention: tokenise the prompt, read attention up to the window's end, score and order passages.

    Of a query that has `heads` these alone are read.
    """

    def start(decoder: Decoder) -> Runner:
        probe = Probe(decoder)
        sizes = flops.sizes_of(decoder.model, decoder.config)

        def run(row: Candidates, watch: Stopwatch) -> None:
            window = windows[row.query.qid]
            watch.start()
            prompt = settings.build(decoder.tokenizer, row)
            watch.lap("tokenise")
            _check(name, row, prompt.prompt_tokens, decoder)
            [signal] = probe.read([prompt], last_layer=window.end, heads=heads.get(row.query.qid))
            watch.lap("prefill")
            rank(signal, passage_scores(signal, window))
            watch.lap("score")
            watch.stop()
            watch.tokens["prefill"] = prompt.tree.tokens
            watch.operations["prefill"] = flops.reading(sizes, prompt.tree, window.end)

        return run

    read = {"heads": heads.values()} if heads else {"windows": windows.values()}
    shown = {
        key: sorted({",".join(head_names(one)) if isinstance(one, tuple) else str(one) for one in each})
        for key, each in read.items()
    }
    return Timed(name, max(window.end for window in windows.values()) + 1, False, start, shown)


def _written(name: str, cell: Cell, layers: int) -> Timed:
    """Another mechanism on the whole list: the model's first pass is prefill, later ones decode, what follows score."""

    def start(decoder: Decoder) -> Runner:
        mechanism = cell.build(decoder)
        sizes = flops.sizes_of(decoder.model, decoder.config)
        running = decoder.causal if cell.mechanism == "generation" else decoder.model

        def run(row: Candidates, watch: Stopwatch) -> None:
            passes = iter(["prefill"])

            def lap(*_: Any) -> None:
                watch.lap(next(passes, "decode"))

            watch.start()
            work = mechanism.prepare(Request(row.query, row.passages))
            watch.lap("tokenise")
            _check(name, row, work.positions, decoder)
            hook = running.register_forward_hook(lap)
            [answer] = mechanism.score([work])
            hook.remove()
            watch.lap("score")
            watch.stop()
            watch.tokens["prefill"] = answer.prompt_tokens
            if cell.mechanism == "generation":
                watch.tokens["decode"] = answer.generated_tokens
                watch.operations["prefill"] = flops.forward(sizes, Tree(work.prompt), logits=1)
                watch.operations["decode"] = flops.writing(sizes, answer.prompt_tokens, answer.generated_tokens - 1)
            else:
                rows = len({path for _, path, _ in work.prompt.terms()})
                watch.operations["prefill"] = flops.forward(sizes, work.prompt.tree)
                watch.operations["score"] = flops.forward(sizes, work.prompt.tree, logits=rows)
                watch.operations["score"] -= watch.operations["prefill"]

        return run

    return Timed(name, layers, True, start, {})


class _Watched:
    """A mechanism whose tokenising and passes are laps; what the engine does between them counts as score."""

    def __init__(self, mechanism: Mechanism, watch: Stopwatch) -> None:
        self._mechanism = mechanism
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mechanism, name)

    def prepare(self, request: Request) -> Work:
        self._watch.lap("score")
        work = self._mechanism.prepare(request)
        self._watch.lap("tokenise")
        return work

    def score(self, works: Sequence[Work]) -> list[Answer]:
        self._watch.lap("score")
        answers = self._mechanism.score(works)
        self._watch.lap("prefill")
        return answers


def _each(cell: Cell, batch_tokens: int) -> Timed:
    """Each passage by itself, in the engine's batches."""

    def start(model: Decoder | Classifier) -> Runner:
        mechanism = cell.build(model, batch_tokens=batch_tokens)

        def run(row: Candidates, watch: Stopwatch) -> None:
            watched = cast(Mechanism, _Watched(mechanism, watch))
            engine = Engine(cell.sorter, watched, name=cell.name, batch_tokens=batch_tokens, cut=cell.cut(model))
            watch.start()
            [ranked] = engine.rank([row])
            watch.lap("score")
            watch.stop()
            watch.tokens["prefill"] = ranked.cost.prompt_tokens

        return run

    return Timed(cell.name, None, cell.head, start, {"settings": dict(cell.mechanism_settings)}, cell)


def _check(name: str, row: Candidates, tokens: int, decoder: Decoder) -> None:
    if decoder.context is not None and tokens > decoder.context:
        raise UserError(
            f"{name}: query {row.query.qid}: {len(row)} passages take {tokens} tokens, the model reads "
            f"{decoder.context}; lower first_stage.depth or passages.words"
        )


def _round(
    system: Timed,
    model: Path,
    dtype: str,
    device: str | None,
    rows: Sequence[Candidates],
    warmup: int,
    memory: bool,
) -> Round:
    """Load, warm up, time every query once; where asked, rank one more query to see its memory, not timed."""
    began = time.perf_counter()
    decoder = system.load(model, dtype, device)
    synchronise(decoder.device)
    loaded = time.perf_counter() - began
    run = system.start(decoder)
    for number in range(warmup):
        run(rows[number % len(rows)], Stopwatch(decoder.device))
    watches = [Stopwatch(decoder.device) for _ in rows]
    for row, watch in zip(rows, watches, strict=True):
        run(row, watch)
    peak = None
    if memory:
        most = max(range(len(rows)), key=lambda index: watches[index].tokens["prefill"])
        with peak_memory(decoder.device) as found:
            run(rows[most], Stopwatch(decoder.device))
        peak = found.mib
    whole = decoder.causal if isinstance(decoder, Decoder) and system.head else decoder.model
    layers = decoder.loaded_layers
    weights = sum(parameter.nbytes for parameter in whole.parameters()) / MIB
    facts = {
        "model": decoder.name,
        "revision": decoder.revision,
        "layers": decoder.layers,
        "hardware": hardware(decoder.device),
    }
    del run, whole, decoder
    give_back()
    return Round(loaded, watches, weights, peak, facts, layers)


def _table(systems: Sequence[Timed], rounds: Mapping[str, Sequence[Round]]) -> pd.DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for system in systems:
        turns = rounds[system.name]
        for stage in STAGES:
            if stage == "load":
                seconds = [one.load for one in turns]
            elif stage in turns[0].watches[0].seconds:
                seconds = [statistics.fmean(watch.seconds[stage] for watch in one.watches) for one in turns]
            else:
                continue
            watches = turns[0].watches
            rows.append(
                {
                    "system": system.name,
                    "stage": stage,
                    "median": statistics.median(seconds),
                    "low": min(seconds),
                    "high": max(seconds),
                    "rounds": len(turns),
                    "queries": len(watches),
                    "layers": turns[0].loaded_layers,
                    "tokens": _mean([watch.tokens.get(stage) for watch in watches]),
                    "gflop": _mean([watch.operations.get(stage) for watch in watches], 1e-9),
                    "mib": {"load": turns[0].weights, "total": turns[0].peak}.get(stage),
                }
            )
    return pd.DataFrame(rows, columns=own_columns(LATENCY))


def _mean(values: Sequence[int | None], factor: float = 1.0) -> float | None:
    known = [value for value in values if value is not None]
    return factor * statistics.fmean(known) if known else None
