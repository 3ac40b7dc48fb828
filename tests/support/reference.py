"""The signal by definition (semantics.md §2): two plain passes with eager attention, every matrix of weights, loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from layerrank.attention.signal import Signal
from layerrank.prompts.icr import IcrPrompt


def eager_pass(model: Any, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Attention float64[L, H, n, n] and final hidden states float64[n, D] of one sequence by the model's own code."""
    former = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        row = torch.tensor([ids], device=model.get_input_embeddings().weight.device)
        output = model(input_ids=row, output_attentions=True, use_cache=False)
    model.set_attn_implementation(former)
    weights = np.stack([layer[0].double().cpu().numpy() for layer in output.attentions])
    return weights, output.last_hidden_state[0].double().cpu().numpy()


def eager_signal(model: Any, prompt: IcrPrompt, layers: int | None = None) -> Signal:
    """The signal of a prompt, query and `N/A` in passes of their own."""
    means, lasts = [], []
    for branch, (begin, end) in zip(prompt.tree.branches, prompt.rows, strict=True):
        weights, _ = eager_pass(model, [*prompt.tree.prefix, *branch])
        weights = weights[:layers]
        start = len(prompt.tree.prefix)
        means.append(weights[:, :, start + begin : start + end].mean(axis=2))  # [L, H, n]
        lasts.append(weights[:, :, start + end - 1])
    tokens = np.concatenate([np.arange(begin, end) for begin, end in prompt.spans] or [np.zeros(0, dtype=int)])
    sums = {}
    for name, values in zip(("query", "na", "query_last", "na_last"), (*means, *lasts), strict=True):
        parts = [values[:, :, begin:end].sum(axis=2) for begin, end in prompt.spans]
        empty = np.zeros((*values.shape[:2], 0))
        sums[name] = (np.stack(parts, axis=2) if parts else empty).astype(np.float32)
    masked = np.zeros((*means[0].shape[:2], len(prompt.spans)), dtype=np.float32)
    for layer in range(masked.shape[0]):
        for head in range(masked.shape[1]):
            for passage, (begin, end) in enumerate(prompt.spans):
                c = means[0][layer, head, begin:end] - means[1][layer, head, begin:end]
                kept = c > c.mean() - 2 * c.std(ddof=1) if len(c) > 1 else np.ones(len(c), dtype=bool)
                masked[layer, head, passage] = c[kept].sum()
    query, na = (values.sum(axis=1)[:, tokens] for values in means)
    return Signal(
        qid=prompt.qid,
        pids=prompt.pids,
        lengths=(prompt.spans[:, 1] - prompt.spans[:, 0]).astype(np.int32),
        signal=(query - na).astype(np.float32),
        sums=sums,
        prompt_tokens=prompt.prompt_tokens,
        seconds=0.0,
        masked=masked,
        na=na.astype(np.float32),
    )
