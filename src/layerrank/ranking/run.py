"""One cell over many queries, from files to files: what the rerank command does."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerrank.core import files, sampling, versions
from layerrank.core.errors import UserError
from layerrank.core.lists import write_lists
from layerrank.core.progress import progress
from layerrank.core.records import Candidates, Cost, Ranking
from layerrank.models.identity import Identity, identify, is_served
from layerrank.ranking.cells import Cell, not_served
from layerrank.ranking.engine import Engine, check_failures, failure_rate
from layerrank.ranking.journal import Journal

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


def rerank(
    rows: Sequence[Candidates],
    cell: Cell,
    model: Path,
    *,
    output: Path,
    costs: Path,
    tag: str,
    dtype: str = "float32",
    device: str | None = None,
    batch_tokens: int = 8192,
    queries_at_once: int = 64,
    code: str = "",
    keep: bool = False,
    form: str = "trec",
    server: Server | None = None,
    budget: Budget | None = None,
    trial: Trial | None = None,
) -> None:
    """Rank every query of `rows` with one cell and write a run (`FORMATS`) and its costs, both in the order of `rows`.

    Finished queries are kept beside `output` until both files are written; a run that was ended goes on from them,
    unless settings, candidates, model or `code` have changed. The model is loaded once, and only if a query is left.
    With `keep` they are kept afterwards too, under another name. One process at a time ranks for an `output`.

    A model that is served is asked at `server`, within `budget`, and must be what `trial` found, where there was one;
    `batch_tokens` then count for each of the requests that are under way at once.

    Raises:
        UserError: A query comes twice, another process is at work on `output`, a prompt is longer than the model's
            context, or more answers failed than allowed; of a model that is served, whatever `load_served` refuses.
    """
    qids = [row.query.qid for row in rows]
    if len(set(qids)) != len(qids):
        raise UserError(f"a query comes twice among the candidates: {max(qids, key=qids.count)!r}")
    partial, whole = (output.with_name(f".{output.name}.{name}") for name in ("partial.jsonl", f"jsonl{files.WHOLE}"))
    if whole.exists() and not partial.exists():
        whole.replace(partial)
    identity = identify(model)
    served = is_served(model)
    if served and cell.mechanism not in ("generation", "likelihood"):
        raise not_served(cell.mechanism, model)
    if served and server is None:
        raise UserError(f"--servers: it does not say where the model {identity.name!r} is served")
    with contextlib.ExitStack() as running:
        decoder: Decoder | Classifier | Served | None = None
        if served and trial is None:
            decoder = running.enter_context(_served(model, server, budget))
            trial = decoder.trial
        if served and trial is not None:
            identity = dataclasses.replace(identity, weights=trial.weights(identity.weights))
        journal = running.enter_context(Journal(partial, _digest(rows, cell, identity, dtype, code)))
        left = [row for row in rows if row.query.qid not in journal.finished]
        if len(left) < len(rows):
            _log.info("%s: %d of %d queries are finished already", tag, len(rows) - len(left), len(rows))
        if left and decoder is None:
            if served:
                decoder = running.enter_context(_served(model, server, budget, trial))
            else:
                decoder = cell.load(model, dtype=dtype, device=device)
        if left and decoder is not None:
            _rank(left, len(rows), cell, decoder, journal, batch_tokens, queries_at_once)
        done = [journal.finished[qid] for qid in qids]
        spent = [dataclasses.replace(cost, weights=identity.weights) for _, cost in done]
        _report(tag, spent)
        check_failures(tag, spent, cell.mechanism_settings.get("max_failure_rate", 1.0))
        files.write_costs(costs, spent)
        FORMATS[form](output, rows, [ranking for ranking, _ in done], tag)
        if keep:
            partial.replace(whole)
        else:
            partial.unlink()


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
    queries: int,
    cell: Cell,
    decoder: Decoder | Classifier | Served,
    journal: Journal,
    batch_tokens: int,
    queries_at_once: int,
) -> None:
    from layerrank.models.served import Served

    if isinstance(decoder, Served):
        batch_tokens *= decoder.client.server.at_once
        about = [f"{decoder.client.server.address} ({decoder.trial.shown})", f"model {decoder.name}"]
    else:
        revision = decoder.revision or "(no revision)"
        about = [f"device {decoder.device}, dtype {decoder.dtype}", f"model {decoder.name} at revision {revision}"]
        about += [f"{decoder.loaded_layers} of {decoder.layers} layers"]
    _log.info("%s, %s", versions.shown(), ", ".join(about))
    engine = Engine(
        cell.sorter,
        cell.build(decoder),
        name=cell.name,
        batch_tokens=batch_tokens,
        queries_at_once=queries_at_once,
        cut=cell.cut(decoder),
    )
    engine.check(rows)
    with progress(queries, cell.name, done=queries - len(rows)) as shown:
        engine.after_batch = lambda: shown.update(0, f"{engine.batches:,} batches")
        for ranked in engine.rank(rows):
            journal.add(ranked.ranking, ranked.cost)
            shown.update()
    _log.info("%s: %d batches", cell.name, engine.batches)


def _digest(rows: Sequence[Candidates], cell: Cell, model: Identity, dtype: str, code: str) -> str:
    settings = {key: value for key, value in cell.mechanism_settings.items() if key != "max_failure_rate"}
    shown = {
        "framework": [cell.framework, dict(cell.framework_settings)],
        "mechanism": [cell.mechanism, settings],
        "prompt": [cell.family, cell.instruction, cell.query_span],
        "windows": str(cell.windows)
        if not isinstance(cell.windows, Mapping)
        else sorted(map(str, cell.windows.items())),
        "heads": None if cell.heads is None else sorted(map(str, cell.heads.items())),
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
