"""The published algorithm, written plainly (semantics.md §1, §2), without what layerrank does differently.

`cached`: two passes with a key-value cache. The first reads passages and `N/A`, the second the query after the cut-back
cache; both compute the logits of the whole vocabulary for every token. Queries of the span are kept on the way, keys
come from the cache, and attention is rebuilt per layer afterwards, with every key repeated for its group of heads.
Passages are scored one at a time, in Python. `eager` is the same with the model's eager attention and its
`output_attentions`, which holds every matrix of weights of every layer. Memory is handled as the C library does it.

Token ids and spans are layerrank's own, so that both read the very same prompt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from layerrank.core.windows import LayerWindow
from layerrank.models import heap
from layerrank.models.decoder import Decoder
from layerrank.prompts.icr import IcrPrompt

NAME = "published"
_kept: list[Tensor] = []


def _attend(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any) -> Any:
    """Fused attention that keeps its queries, as the published model files do."""
    _kept.append(query)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **options)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


ITS_OWN = {heap.M_MMAP_THRESHOLD: 1 << 25, heap.M_TRIM_THRESHOLD: 1 << 26, heap.M_TOP_PAD: 1 << 17}
"""What glibc's own handling of memory comes to in a process that has freed blocks of 32 MiB."""


@contextlib.contextmanager
def memory_as_it_comes() -> Iterator[None]:
    """Memory handled as the C library does by itself: undoes layerrank's own handling (layerrank/models/heap.py)."""
    heap.tell_glibc(ITS_OWN)
    try:
        yield
    finally:
        heap.keep_freed_memory()


@memory_as_it_comes()
@torch.inference_mode()
def cached(decoder: Decoder, prompt: IcrPrompt, window: LayerWindow) -> list[float]:
    """Score of each passage, input order."""
    prefix = list(prompt.tree.prefix)
    cache = DynamicCache(config=decoder.config)
    signals = {}
    for branch in (1, 0):
        ids = [*prefix, *prompt.tree.branches[1]] if branch else list(prompt.tree.branches[0])
        _kept.clear()
        _pass(decoder, NAME, ids, past_key_values=cache)
        begin, end = (row + (len(prefix) if branch else 0) for row in prompt.rows[branch])
        rows = [query[0, :, begin:end] for query in _kept]
        signals[branch] = [
            _rebuild(query, cache.layers[layer].keys[0], cache.get_seq_length() - len(ids) + begin)
            for layer, query in enumerate(rows)
        ]
        _kept.clear()
        cache.crop(-len(prompt.tree.branches[branch]))
    return _scores(signals[0], signals[1], prompt, window)


@memory_as_it_comes()
@torch.inference_mode()
def eager(decoder: Decoder, prompt: IcrPrompt, window: LayerWindow) -> list[float]:
    """Score of each passage, input order; memory grows with layers × heads × tokens²."""
    prefix = list(prompt.tree.prefix)
    signals = {}
    for branch in (1, 0):
        ids = [*prefix, *prompt.tree.branches[branch]]
        output = _pass(decoder, "eager", ids, output_attentions=True)
        begin, end = (row + len(prefix) for row in prompt.rows[branch])
        signals[branch] = [weights[0, :, begin:end].float().mean(dim=1) for weights in output.attentions]
        del output
    return _scores(signals[0], signals[1], prompt, window)


def eager_mib(decoder: Decoder, prompt: IcrPrompt) -> float:
    """MiB of the weights that `eager` holds at once."""
    tokens = len(prompt.tree.prefix) + max(map(len, prompt.tree.branches))
    return decoder.loaded_layers * decoder.heads * tokens**2 * (4 if decoder.dtype == "float32" else 2) / 2**20


def _pass(decoder: Decoder, attention: str, ids: list[int], **options: Any) -> Any:
    former = decoder.model.config._attn_implementation
    decoder.causal.config._attn_implementation = decoder.model.config._attn_implementation = attention
    try:
        row = torch.tensor([ids], device=decoder.device)
        return decoder.causal(input_ids=row, use_cache="past_key_values" in options, **options)
    finally:
        decoder.causal.config._attn_implementation = decoder.model.config._attn_implementation = former


def _rebuild(query: Tensor, keys: Tensor, position: int) -> Tensor:
    """Attention of the span's rows [H, R, d] over all keys [Hkv, T, d], averaged over rows: float32[H, T]."""
    heads, rows, size = query.shape
    keys = keys.repeat_interleave(heads // keys.shape[0], dim=0)
    logits = torch.matmul(query, keys.transpose(1, 2)) / size**0.5
    places = torch.arange(keys.shape[1], device=query.device)[None]
    own = position + torch.arange(rows, device=query.device)[:, None]
    logits = logits.masked_fill(places > own, torch.finfo(logits.dtype).min)
    return torch.softmax(logits, dim=-1, dtype=torch.float32).mean(dim=1)


def _scores(query: list[Tensor], na: list[Tensor], prompt: IcrPrompt, window: LayerWindow) -> list[float]:
    found = []
    for begin, end in prompt.spans.tolist():
        calibrated = torch.zeros(end - begin, device=query[0].device)
        for layer in range(window.start, window.end + 1):
            calibrated += (query[layer][:, begin:end] - na[layer][:, begin:end]).sum(dim=0)
        if len(calibrated) > 1:
            calibrated = calibrated[calibrated > calibrated.mean() - 2 * calibrated.std()]
        found.append(float(calibrated.sum()))
    return found
