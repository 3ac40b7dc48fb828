"""Candidates + model → the signal on disk, resumable; and the check of every prompt's length before any long work."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from layerrank.attention.probe import Probe
from layerrank.attention.store import SignalWriter
from layerrank.core import versions
from layerrank.core.errors import UserError
from layerrank.core.files import file_digest, read_candidates
from layerrank.core.progress import counted, progress
from layerrank.core.records import Candidates
from layerrank.core.sampling import shard_of
from layerrank.models.decoder import context_length, load_decoder
from layerrank.models.device import OutOfMemory, name_of, place_of, release
from layerrank.models.folder import load_config, load_tokenizer
from layerrank.models.identity import identify
from layerrank.prompts.icr import IcrPrompt, PromptSettings, family_named
from layerrank.prompts.trial import check_icr

SIGNAL = 1
"""Version of how the signal is computed; it goes up when the numbers change."""

BATCH_TOKENS = 16384
"""Tokens of prompts that share a pass on a device; on the processor each prompt has its own."""

_log = logging.getLogger(__name__)


def check_prompts(asked: Sequence[tuple[Path, PromptSettings]], folder: Path, collection: str) -> list[dict[str, Any]]:
    """Tokenise every prompt of candidates files; return {queries, context, tokens: {longest, qid, mean}} of each file.

    Raises:
        UserError: a prompt longer than the model's context: collection, query, tokens, and the settings to lower; a
            tokenizer for which queries or passages make no difference.
    """
    context = context_length(folder, load_config(folder))
    tokenizer = load_tokenizer(folder)
    found = []
    for candidates, settings in asked:
        longest, total, qid = 0, 0, None
        check_icr(tokenizer, settings, folder.resolve().name)
        rows = read_candidates(candidates)
        for row in counted(rows, f"prompts of {candidates.name}", total=len(rows)):
            prompt = settings.build(tokenizer, row)
            _check_length(prompt, context, f"collection {collection!r}, ", len(row))
            total += prompt.prompt_tokens
            if prompt.prompt_tokens > longest:
                longest, qid = prompt.prompt_tokens, prompt.qid
        mean = round(total / len(rows), 1) if rows else 0.0
        found.append(
            {"queries": len(rows), "context": context, "tokens": {"longest": longest, "qid": qid, "mean": mean}}
        )
    return found


def extract(
    candidates: Path,
    folder: Path,
    output: Path,
    settings: PromptSettings,
    *,
    dtype: str = "float32",
    shard: int = 0,
    shards: int = 1,
    device: str | None = None,
    batch_tokens: int | None = None,
    masked: bool = True,
    na_tokens: bool = False,
    code: str = "",
    keep: bool = False,
) -> None:
    """Write the signal of one shard of a candidates file: queries `shard`, `shard + shards`, … in file order.

    Queries that an interrupted run has finished are kept, and nothing of theirs is computed again; the model is not
    even loaded where all are. Batches do not depend on what is already there.

    Args:
        candidates: what `files.write_candidates` wrote.
        folder: the model.
        output: the store.
        settings: of the prompts.
        dtype: that the model computes in.
        shard: 0-based.
        shards: number of shards.
        device: as for `load_decoder`.
        batch_tokens: tokens of prompts that may share a pass; None: `BATCH_TOKENS` on a device, and no sharing on the
            processor.
        masked: keep each head's masked sum by passage, 4 bytes a layer, head and passage.
        na_tokens: keep what `N/A` alone pays each token beside the signal, which doubles the size of that part.
        code: digest of the code that computes it; a finished store of other code is not taken.
        keep: leave the finished store under a second name; one that a former run left is taken.

    Raises:
        UserError: a prompt beyond the context, a model that the probe refuses, a bad shard.
    """
    rows = shard_of(read_candidates(candidates), shard, shards)
    metadata = _metadata(candidates, folder, settings, rows, dtype, shard, shards)
    metadata |= ({} if masked else {"masked": False}) | ({"na_tokens": True} if na_tokens else {})
    place = place_of(device)
    _log.info(
        "%s, device %s, dtype %s, model %s at revision %s",
        versions.shown(),
        name_of(place),
        dtype,
        metadata["model"],
        metadata["revision"],
    )
    metadata |= {"device": name_of(place), "code": code}
    order = [row.query.qid for row in rows]
    with SignalWriter(output, metadata) as store:
        if keep and store.restore(order):
            _log.info("%s was finished already", output)
            return
        waiting = [row for row in rows if row.query.qid not in store.finished]
        if waiting:
            probe = Probe(load_decoder(folder, dtype=dtype, device=device))
            check_icr(probe.decoder.tokenizer, settings, probe.decoder.name)
            alone = probe.decoder.device.type == "cpu" or probe.one_by_one
            budget = (0 if alone else BATCH_TOKENS) if batch_tokens is None else batch_tokens
            with progress(len(rows), "attention", done=len(rows) - len(waiting)) as shown:
                for prompts in _batches(_prompts(rows, probe, settings), budget):
                    new = [prompt.qid for prompt in prompts if prompt.qid not in store.finished]
                    if not new:
                        continue
                    for signal in _read(probe, prompts, masked, na_tokens):
                        if signal.qid in new:
                            store.append(signal)
                            shown.update()
        store.close(order, keep=keep)
    _log.info("%d queries in %s", len(rows), output)


def _prompts(rows: Sequence[Candidates], probe: Probe, settings: PromptSettings) -> Iterator[IcrPrompt]:
    decoder = probe.decoder
    for row in rows:
        prompt = settings.build(decoder.tokenizer, row)
        _check_length(prompt, decoder.context, "", len(row))
        yield prompt


def _batches(prompts: Iterable[IcrPrompt], budget: int) -> Iterator[list[IcrPrompt]]:
    """Neighbours in file order, as many as fit the budget of tokens, at least one."""
    batch: list[IcrPrompt] = []
    for prompt in prompts:
        if batch and sum(member.tree.tokens for member in batch) + prompt.tree.tokens > budget:
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


def _read(probe: Probe, prompts: Sequence[IcrPrompt], masked: bool, na: bool) -> list[Any]:
    """Read a batch, in halves where the device's memory does not hold it."""
    try:
        return list(probe.read(prompts, masked=masked, na=na))
    except OutOfMemory:
        if len(prompts) == 1:
            raise UserError(
                f"query {prompts[0].qid}: a prompt of {prompts[0].prompt_tokens} tokens does not fit the device's "
                "memory; lower first_stage.depth or passages.words, or use a larger device"
            ) from None
    release()
    half = len(prompts) // 2
    _log.warning("out of memory: a batch of %d prompts is halved", len(prompts))
    return [*_read(probe, prompts[:half], masked, na), *_read(probe, prompts[half:], masked, na)]


def _check_length(prompt: IcrPrompt, context: int | None, where: str, passages: int) -> None:
    if context is not None and prompt.prompt_tokens > context:
        raise UserError(
            f"{where}query {prompt.qid}: its prompt has {prompt.prompt_tokens} tokens in {passages} passages, "
            f"the model reads {context}; lower first_stage.depth or passages.words"
        )


def _metadata(
    candidates: Path,
    folder: Path,
    settings: PromptSettings,
    rows: Sequence[Candidates],
    dtype: str,
    shard: int,
    shards: int,
) -> dict[str, Any]:
    """Everything that the numbers of a store depend on."""
    config = load_config(folder)
    identity = identify(folder)
    return {
        "signal": SIGNAL,
        "model": identity.name,
        "revision": identity.revision,
        "weights": identity.weights,
        "layers": int(config.num_hidden_layers),
        "heads": int(config.num_attention_heads),
        "dtype": dtype,
        "family": settings.family,
        "instruction": settings.instruction,
        "query_span": settings.query_span or family_named(settings.family).query_span,
        "order": "reversed",
        "depth": max((len(row) for row in rows), default=0),
        "longest_passage_words": max(
            (len(passage.text.split(" ")) for row in rows for passage in row.passages), default=0
        ),
        "candidates": file_digest(candidates),
        "shard": shard,
        "shards": shards,
        "versions": versions.of_numbers(),
    }
