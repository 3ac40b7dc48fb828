"""Attention of a prefix and of branch rows: fused where torch is fast, else in blocks; no matrix of tokens × tokens."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from layerrank.attention.limits import BLOCK_ELEMENTS

STEP = 192
"""Rows of fused attention at a time under a mask of ours: fewer than these, torch's kernel takes in small blocks."""


@dataclass(frozen=True)
class Kernel:
    """softmax(q·kᵀ · scale) with this layer's mask; grouped-query keys are never repeated."""

    scale: float
    window: int | None
    softcap: float | None
    sinks: Tensor | None

    def causal(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Outputs [B, H, n, d] of the last n tokens of prefixes, each seeing what stands before it in its window.

        Keys and values are of the whole prefixes: [B, Hkv, P, d] with P ≥ n.
        """
        length = key.shape[2]
        plain = self.softcap is None and self.sinks is None and query.shape[-1] == value.shape[-1]
        slow = products_are_faster(query.dtype, query.device.type)
        slides = self.window is not None and length > self.window
        if not plain or slow or (slides and query.device.type != "cpu"):
            return self._blocked(query, key, value)
        if slides or query.shape[2] < length:
            return self._stepped(query, key, value)
        return self._fused(query, key, value)

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Torch's fused attention: causal from the first key on, else under a mask to add to the logits."""
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=mask is None,
            scale=self.scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )

    def _stepped(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Fused attention step by step over the keys that a step may see, of a window or of a prefix's last rows.

        Torch's own causal mask begins at the first key, and knows no window.
        """
        length, own = key.shape[2], key.shape[2] - query.shape[2]  # `own`: the first row among the keys
        slides = self.window is not None and self.window < length
        before = self.window - 1 if self.window is not None and slides else -(-length // 1024) * 1024
        stairs = _staircase(before, slides, query.dtype, query.device)
        output = query.new_empty((*query.shape[:3], value.shape[-1]))
        plain = before + 1 if slides and not own else own  # rows that see whatever stands before them
        if plain > own:
            output[:, :, :plain] = self._fused(query[:, :, :plain], key[:, :, :plain], value[:, :, :plain])
        for begin, first, last in _steps(plain, length, STEP, before + 1 if slides else 0):
            start = max(0, begin - before)
            mask = stairs[first - begin : last - begin, before - begin + start : before - begin + last]
            output[:, :, first - own : last - own] = self._fused(
                query[:, :, first - own : last - own], key[:, :, start:last], value[:, :, start:last], mask
            )
        return output

    def _blocked(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The same in blocks of rows over the keys they may see. On the processor, half precision keeps its products.

        Two products and a softmax, which sums in float32 and rounds its result as eager attention does, are the faster
        way where `products_are_faster` says so.
        """
        batch, heads, count, _ = query.shape
        length, before = key.shape[2], key.shape[2] - count
        halved = query.dtype != torch.float32 and query.device.type == "cpu" and self.sinks is None
        output = query.new_empty((batch, heads, count, value.shape[-1]))
        reach = length if self.window is None else min(length, self.window)
        rows = max(16, min(128, BLOCK_ELEMENTS // max(1, batch * heads * reach)))
        halves = _Halves(self, query, key, value, rows, reach) if halved else None
        future = torch.ones(rows, rows, dtype=torch.bool, device=query.device).triu(1)
        for block, at, last in _steps(before, length, rows, 0):
            begin, end = at - before, last - before  # the block's rows among the queries
            if self.window is None:  # columns before the block are open to every row of it
                first, opened, closed = 0, at, future[: end - begin, : end - begin]
            else:
                first, opened = max(0, block - self.window + 1), 0
                positions = torch.arange(first, last, device=query.device)
                back = positions[at - first :, None] - positions[None, :]
                closed = (back < 0) | (back >= self.window)
            if halves is not None:
                halves.write(output, slice(begin, end), slice(first, last), opened, closed)
                continue
            probabilities = self.rows(query[:, :, begin:end], key[:, :, first:last], closed, opened)
            output[:, :, begin:end] = weigh(probabilities, value[:, :, first:last])
        return output

    def rows(self, query: Tensor, key: Tensor, closed: Tensor, opened: int = 0) -> Tensor:
        """Probabilities float32[B, H, R, K] of query rows over keys, softmax in float32.

        None where `closed`, which begins after the first `opened` keys.
        """
        batch, heads, rows, size = query.shape
        groups = key.shape[1]
        folded = query.float().reshape(batch, groups, (heads // groups) * rows, size) * self.scale
        logits = (folded @ key.float().transpose(2, 3)).view(batch, heads, rows, -1)
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        logits[..., opened:].masked_fill_(closed, float("-inf"))
        if self.sinks is None:
            return torch.softmax(logits, dim=-1)
        sinks = self.sinks.float().reshape(1, heads, 1, 1).expand(batch, -1, rows, -1)
        return torch.softmax(torch.cat([logits, sinks], dim=-1), dim=-1)[..., :-1]


class _Halves:
    """Blocks of rows in half precision on the processor: one key-value head at a time, in buffers used again and again.

    A head's keys and values are laid out as one matrix each, so that every product is a plain matrix product.
    """

    def __init__(self, kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, rows: int, reach: int) -> None:
        self._kernel = kernel
        self._groups = query.shape[1] // key.shape[1]
        self._query = (query * kernel.scale).contiguous()
        self._key, self._value = key.contiguous(), value.contiguous()
        elements = self._groups * rows * (reach + rows)
        self._logits, self._probabilities = query.new_empty(elements), query.new_empty(elements)

    def write(self, output: Tensor, own: slice, seen: slice, opened: int, closed: Tensor) -> None:
        """Outputs of the rows `own` over the keys `seen`; `closed` begins after `opened` keys."""
        heads, rows, keys = self._groups, own.stop - own.start, seen.stop - seen.start
        logits = self._logits[: heads * rows * keys].view(heads * rows, keys)
        probabilities = self._probabilities[: heads * rows * keys].view(heads * rows, keys)
        for item in range(self._key.shape[0]):
            for group in range(self._key.shape[1]):
                of_group = slice(group * heads, (group + 1) * heads)
                folded = self._query[item, of_group, own].reshape(heads * rows, -1)
                torch.mm(folded, self._key[item, group, seen].t(), out=logits)
                if self._kernel.softcap is not None:
                    logits.div_(self._kernel.softcap).tanh_().mul_(self._kernel.softcap)
                logits.view(heads, rows, keys)[..., opened:].masked_fill_(closed, float("-inf"))
                torch.softmax(logits, dim=-1, out=probabilities)
                weighed = torch.mm(probabilities, self._value[item, group, seen])
                output[item, of_group, own] = weighed.view(heads, rows, -1)


@functools.cache
def products_are_faster(dtype: torch.dtype, device: str) -> bool:
    """Whether products and a softmax in half precision beat torch's fused kernel.

    They take a third of its time on a processor that has no units for products of half precision (AMX): there the
    kernel computes at float32's speed. With such units it takes two thirds of theirs, and less on short prompts.
    """
    units = {torch.bfloat16: "_is_amx_tile_supported", torch.float16: "_is_amx_fp16_supported"}
    return device == "cpu" and dtype in units and not getattr(torch.cpu, units[dtype], bool)()


def _steps(first: int, last: int, size: int, origin: int) -> Iterator[tuple[int, int, int]]:
    """(where a step would begin, its first row, the one after its last) over the rows from `first` to `last` − 1.

    Steps begin at whole numbers of `size` from `origin`, wherever the first row is: a row's sums run over the same keys
    whether the rows before it are computed here or borrowed.
    """
    for begin in range(first - (first - origin) % size, last, size):
        yield begin, max(begin, first), min(begin + size, last)


@functools.lru_cache(maxsize=4)
def _staircase(before: int, slides: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[STEP, before + STEP] to add to logits; views of it fit any step.

    Row i sees key `before` + i, which is its own, and of those before it all, or where it `slides` the last `before`.
    """
    closed = torch.full((STEP, before + STEP), float("-inf"), dtype=dtype, device=device)
    return closed.triu(before + 1) + closed.tril(-1) if slides else closed.triu_(before + 1)


def weigh(probabilities: Tensor, value: Tensor) -> Tensor:
    """Σ p·v: [B, H, R, K] on [B, Hkv, K, d] → [B, H, R, d] in the values' dtype."""
    batch, heads, rows, keys = probabilities.shape
    groups = value.shape[1]
    folded = probabilities.reshape(batch, groups, (heads // groups) * rows, keys)
    return (folded @ value.float()).view(batch, heads, rows, -1).to(value.dtype)
