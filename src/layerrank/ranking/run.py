"""One cell over many queries, in one window or several, from files to files: what the rerank command does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from layerrank.core import files, sampling, versions
from layerrank.core.errors import UserError
from layerrank.core.lists import write_lists
from layerrank.core.progress import progress
from layerrank.core.records import Candidates, Cost, Ranking
from layerrank.models.identity import Identity, identify, is_served
from layerrank.ranking.cells import Cell, not_served
from layerrank.ranking.engine import Engine, check_failures, failure_rate
from layerrank.ranking.journal import Journal
from layerrank.ranking.mechanism import Sharing

if TYPE_CHECKING:
    from layerrank.models.classifier import Classifier
    from layerrank.models.client import Budget, Server
    from layerrank.models.decoder import Decoder
    from layerrank.models.served import Served, Trial

_log = logging.getLogger(__name__)

FORMATS: Mapping[str, Callable[[Path, Sequence[Candidates], Sequence[Ranking], str], None]] = {
    "trec": lambda path, rows, rankings, tag: files.write_run(path, rankings, tag),
    "rank_llm": lambda path, rows, rankings, tag: write_lists(path, rows, rankings),
}
"""How a run is written: (file, candidates, rankings, name of the system)."""

KEPT = ".kept"
"""How the names end of finished queries that stay beside their run for good."""


@dataclass(frozen=True)
class System:
    """A cell under its name, and where its run and costs are written."""

    cell: Cell
    tag: str
    output: Path
    costs: Path


def rerank(
    rows: Sequence[Candidates], cell: Cell, model: Path, *, output: Path, costs: Path, tag: str, **options: Any
) -> None:
    """Rank every query of `rows` with one cell: `rerank_together` of one system."""
    rerank_together(rows, [System(cell, tag, output, costs)], model, **options)


def rerank_together(
    rows: Sequence[Candidates],
    systems: Sequence[System],
    model: Path,
    *,
    dtype: str = "float32",
    device: str | None = None,
    batch_tokens: int = 8192,
    queries_at_once: int = 64,
    code: str = "",
    keep: bool = False,
    keep_for_good: bool = False,
    form: str = "trec",
    server: Server | None = None,
    budget: Budget | None = None,
    trial: Trial | None = None,
) -> None:
    """Rank every query of `rows` and write a run (`FORMATS`) and its costs of each system, all in the order of `rows`.

    Several systems are attention cells that differ in their window alone: what is read for one answers for the others
    (`Engine`), and each has the run that it has by itself. The model is loaded once, as deep as the systems go of which
    a query is left, and only if one is.

    Finished queries are kept beside each output until its files are written; a run that was ended goes on from them,
    unless settings, candidates, model or `code` have changed. With `keep` they are kept afterwards too, under another
    name, until `files.forget_kept`; with `keep_for_good` beyond that, so that a system that joins later, or one that
    changes, is all there is to rank. One process at a time ranks for an output.

    A model that is served is asked at `server`, within `budget`, and must be what `trial` found, where there was one;
    `batch_tokens` then count for each of the requests that are under way at once.

    Raises:
        UserError: A query or an output comes twice, systems differ in more than their window, another process is at
            work on an output, a prompt is longer than the model's context, or more answers failed than allowed; of a
            model that is served, whatever `load_served` refuses.
    """
    qids = [row.query.qid for row in rows]
    if len(set(qids)) != len(qids):
        raise UserError(f"a query comes twice among the candidates: {max(qids, key=qids.count)!r}")
    _check_together(systems)
    identity = identify(model)
    served = is_served(model)
    for system in systems:
        if served and system.cell.mechanism not in ("generation", "likelihood"):
            raise not_served(system.cell.mechanism, model)
    if served and server is None:
        raise UserError(f"--servers: it does not say where the model {identity.name!r} is served")
    with contextlib.ExitStack() as running:
        decoder: Decoder | Classifier | Served | None = None
        if served and trial is None:
            decoder = running.enter_context(_served(model, server, budget))
            trial = decoder.trial
        if served and trial is not None:
            identity = dataclasses.replace(identity, weights=trial.weights(identity.weights))
        journals = []
        for system in systems:
            digest = _digest(rows, system.cell, identity, dtype, code)
            journals.append(running.enter_context(Journal(_partial(system.output), digest)))
        each = list(zip(systems, journals, strict=True))
        left = [(system, journal) for system, journal in each if len(journal.finished) < len(rows)]
        for system, journal in each:
            if journal.finished:
                _log.info("%s: %d of %d queries are finished already", system.tag, len(journal.finished), len(rows))
        if left and decoder is None:
            if served:
                decoder = running.enter_context(_served(model, server, budget, trial))
            else:
                deepest = max((system.cell for system, _ in left), key=lambda cell: cell.layers or 0)
                decoder = deepest.load(model, dtype=dtype, device=device)
        if left and decoder is not None:
            _rank(rows, left, decoder, batch_tokens, queries_at_once)
        for system, journal in each:
            done = [journal.finished[qid] for qid in qids]
            spent = [dataclasses.replace(cost, weights=identity.weights) for _, cost in done]
            _report(system.tag, spent)
            check_failures(system.tag, spent, system.cell.mechanism_settings.get("max_failure_rate", 1.0))
            files.write_costs(system.costs, spent)
            FORMATS[form](system.output, rows, [ranking for ranking, _ in done], system.tag)
        for system, journal in each:
            if keep or keep_for_good:
                journal.path.replace(_beside(system.output, KEPT if keep_for_good else files.WHOLE))
            else:
                journal.path.unlink()


def _beside(output: Path, ending: str) -> Path:
    return output.with_name(f".{output.name}.jsonl{ending}")


def _partial(output: Path) -> Path:
    """The journal of a run at work: one that was kept becomes it again."""
    partial = output.with_name(f".{output.name}.partial.jsonl")
    for ending in (files.WHOLE, KEPT):
        if (kept := _beside(output, ending)).exists() and not partial.exists():
            kept.replace(partial)
    return partial


def _check_together(systems: Sequence[System]) -> None:
    """Raise `UserError` where systems are more than windows of one attention cell, or write to the same file."""
    paths = [path for system in systems for path in (system.output, system.costs)]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise UserError(f"{twice[0]}: more than one run or its costs are to be written there")
    if len(systems) > 1 and any(system.cell.mechanism != "attention" for system in systems):
        raise UserError(f"mechanism: {systems[0].cell.mechanism!r}: attention alone ranks in several windows")
    alike = {json.dumps(_shown(system.cell, windows=False), sort_keys=True) for system in systems}
    if len(alike) > 1:
        raise UserError(f"{', '.join(system.tag for system in systems)}: they differ in more than their window")


def join_shards(
    runs: Sequence[Path], spent: Sequence[Path], *, output: Path, costs: Path, tag: str, max_failure_rate: float = 1.0
) -> None:
    """Put the parts of one system's run, and their costs, together: what `rerank` writes for all queries at once.

    Args:
        runs, spent: TREC runs and costs of all parts, in the order of their numbers.
        max_failure_rate: share of answers that may be other than well-formed, over all parts.

    Raises:
        UserError: parts that are not of the same queries, or more failures than allowed.
    """
    rankings = sampling.joined([files.read_run(path) for path in runs])
    whole = sampling.joined(list(files.costs_of_one_model(spent).values()))
    if not rankings:
        raise UserError(f"{output.name}: none of its {len(runs)} parts ranks a query")
    if [ranking.qid for ranking in rankings] != [cost.qid for cost in whole]:
        raise UserError(f"{output.name}: its parts rank other queries than their costs are of")
    _report(tag, whole)
    check_failures(tag, whole, max_failure_rate)
    files.write_costs(costs, whole)
    files.write_run(output, rankings, tag)


def _served(
    model: Path, server: Server | None, budget: Budget | None, trial: Trial | None = None
) -> contextlib.AbstractContextManager[Served]:
    from layerrank.models.trial import serving

    assert server is not None
    return serving(model, server, budget=budget, tried=trial)


def _rank(
    rows: Sequence[Candidates],
    left: Sequence[tuple[System, Journal]],
    decoder: Decoder | Classifier | Served,
    batch_tokens: int,
    queries_at_once: int,
) -> None:
    """Rank what is left of each of the systems, into their journals."""
    from layerrank.models.served import Served

    if isinstance(decoder, Served):
        batch_tokens *= decoder.client.server.at_once
        about = [f"{decoder.client.server.address} ({decoder.trial.shown})", f"model {decoder.name}"]
    else:
        revision = decoder.revision or "(no revision)"
        about = [f"device {decoder.device}, dtype {decoder.dtype}", f"model {decoder.name} at revision {revision}"]
        about += [f"{decoder.loaded_layers} of {decoder.layers} layers"]
    _log.info("%s, %s", versions.shown(), ", ".join(about))
    cells, journals = [system.cell for system, _ in left], [journal for _, journal in left]
    name = " + ".join(cell.name for cell in cells)
    mechanisms = [cell.build(decoder, batch_tokens=batch_tokens) for cell in cells]
    before = [frozenset(journal.finished) for journal in journals]
    waiting = [row for row in rows if any(row.query.qid not in finished for finished in before)]
    engine = Engine(
        cells[0].sorter,
        mechanisms[0] if len(mechanisms) == 1 else cast(Sequence[Sharing], mechanisms),
        name=name,
        batch_tokens=batch_tokens,
        queries_at_once=queries_at_once,
        cut=cells[0].cut(decoder),
        wanted=lambda qid: [system for system, finished in enumerate(before) if qid not in finished],
    )
    engine.check(waiting)
    total = len(rows) * len(left)
    with progress(total, name, done=sum(map(len, before))) as shown:
        engine.after_batch = lambda: shown.update(0, f"{engine.batches:,} batches")
        for ranked in engine.rank(waiting):
            journals[ranked.system].add(ranked.ranking, ranked.cost)
            shown.update()
    _log.info("%s: %d batches", name, engine.batches)


def _shown(cell: Cell, *, windows: bool = True) -> dict[str, Any]:
    """What a cell's results depend on; without its windows, what several have in common."""
    settings = {key: value for key, value in cell.mechanism_settings.items() if key != "max_failure_rate"}
    shown: dict[str, Any] = {
        "framework": [cell.framework, dict(cell.framework_settings)],
        "mechanism": [cell.mechanism, settings],
        "prompt": [cell.family, cell.instruction, cell.query_span],
    }
    if windows:
        own = cell.windows
        shown["windows"] = sorted(map(str, own.items())) if isinstance(own, Mapping) else str(own)
        shown["heads"] = None if cell.heads is None else sorted(map(str, cell.heads.items()))
    return shown


def _digest(rows: Sequence[Candidates], cell: Cell, model: Identity, dtype: str, code: str) -> str:
    shown = _shown(cell) | {
        "model": [model.name, model.revision, model.weights],
        "run": [dtype, code, versions.LAYERRANK],
    }
    texts = (
        part
        for row in rows
        for part in (
            row.query.qid,
            row.query.text,
            *(field for each in row.passages for field in (each.pid, each.content)),
        )
    )
    return files.text_digest([json.dumps(shown, sort_keys=True), *texts])


def _report(tag: str, costs: Sequence[Cost]) -> None:
    """Log what a run cost; bad answers as a warning."""
    _log.info(
        "%s: %d queries, %d groups (%d known already), %d forward passes, %d prompt and %d generated tokens, %.1f s",
        *(tag, len(costs), sum(cost.groups for cost in costs), sum(cost.memo_hits for cost in costs)),
        *(sum(cost.forward_passes for cost in costs), sum(cost.prompt_tokens for cost in costs)),
        *(sum(cost.generated_tokens for cost in costs), sum(cost.seconds for cost in costs)),
    )
    if rate := failure_rate(costs):
        _log.warning("%s: %.1f %% of its answers are not well-formed", tag, 100 * rate)
