"""Floating-point operations that a method needs, by formula: multiplications and additions of its matrix products.

Norms, rotary positions, activations, softmax and the sums over passages are left out; they are below one in a hundred.
A matrix product of [n, i] with [i, o] counts 2·n·i·o. Attention counts 4·H·d for each pair of a query and a key that it
sees: 2·H·d for the logit, 2·H·d for the weighted value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from layerrank.prompts.tree import Tree


@dataclass(frozen=True)
class Sizes:
    """What the operations of a decoder follow from.

    Attributes:
        hidden: width of the residual stream, D.
        heads, kv_heads: query heads H and key-value heads of each layer.
        head: width of a head, d.
        inner: width between the two products of an MLP, I.
        weights: of each layer, the weights that every token is multiplied with (of experts, the chosen ones).
        windows: of each layer, how many tokens back it sees, the token itself included; None for all.
        vocabulary: rows of the language-model head, V.
    """

    hidden: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    weights: tuple[int, ...]
    windows: tuple[int | None, ...]
    vocabulary: int

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return len(self.weights)


def sizes_of(model: Any, config: Any) -> Sizes:
    """Sizes of a loaded base transformer of `num_hidden_layers` layers, one module list.

    Every matrix in a layer counts, of stacked experts the share that a token is sent to.
    """
    layers = next(
        module
        for module in model.modules()
        if type(module).__name__ == "ModuleList" and len(module) == config.num_hidden_layers
    )
    chosen = getattr(config, "num_experts_per_tok", None) or 1
    weights = tuple(
        sum(
            parameter.numel() if parameter.ndim == 2 else parameter.numel() * chosen // parameter.shape[0]
            for parameter in layer.parameters()
            if parameter.ndim in (2, 3)
        )
        for layer in layers
    )
    heads = int(config.num_attention_heads)
    return Sizes(
        hidden=int(config.hidden_size),
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        inner=int(getattr(config, "intermediate_size", None) or 4 * config.hidden_size),
        weights=weights,
        windows=_windows(config, len(layers)),
        vocabulary=int(config.vocab_size),
    )


def forward(sizes: Sizes, tree: Tree, *, logits: int = 0) -> int:
    """Operations of all layers over a tree, and of the head for `logits` of its tokens."""
    products = sum(2 * weights * tree.tokens for weights in sizes.weights)
    pairs = sum(_prefix_pairs(tree, window) + _row_pairs(tree, window) for window in sizes.windows)
    return products + 4 * sizes.heads * sizes.head * pairs + 2 * sizes.hidden * sizes.vocabulary * logits


def products(sizes: Sizes, tree: Tree) -> int:
    """The part of `forward` that is matrix products with weights; the rest is attention."""
    return sum(2 * weights * tree.tokens for weights in sizes.weights)


def reading(sizes: Sizes, tree: Tree, last_layer: int | None = None) -> int:
    """Operations that reading the attention of layers 0 to `last_layer` needs (semantics.md §2).

    Layers below the last are computed whole. Of the last one only the keys of all tokens, the queries of the branches
    and their logits are needed.
    """
    last = sizes.layers - 1 if last_layer is None else last_layer
    rows = sum(len(branch) for branch in tree.branches)
    below = replace(sizes, weights=sizes.weights[:last], windows=sizes.windows[:last])
    projections = 2 * sizes.hidden * sizes.head * (sizes.kv_heads * tree.tokens + sizes.heads * rows)
    return forward(below, tree) + projections + 2 * sizes.heads * sizes.head * _row_pairs(tree, sizes.windows[last])


def writing(sizes: Sizes, prompt: int, tokens: int) -> int:
    """Operations of writing `tokens` tokens one by one after a prompt whose keys and values are held."""
    total = 0
    for written in range(tokens):
        seen = sum(min(prompt + written + 1, window or prompt + written + 1) for window in sizes.windows)
        total += 2 * sum(sizes.weights) + 4 * sizes.heads * sizes.head * seen + 2 * sizes.hidden * sizes.vocabulary
    return total


def _windows(config: Any, layers: int) -> tuple[int | None, ...]:
    window = getattr(config, "sliding_window", None)
    types: Sequence[str] | None = getattr(config, "layer_types", None)
    if window is None or getattr(config, "use_sliding_window", True) is False:
        return (None,) * layers
    if types is None:
        return (int(window),) * layers
    return tuple(int(window) if kind == "sliding_attention" else None for kind in types[:layers])


def _prefix_pairs(tree: Tree, window: int | None) -> int:
    return _causal(len(tree.prefix), window)


def _row_pairs(tree: Tree, window: int | None) -> int:
    """Pairs of a branch token and what it sees: the prefix, and its own branch up to itself."""
    length = len(tree.prefix)
    return sum(_causal(length + len(branch), window) - _causal(length, window) for branch in tree.branches)


def _causal(length: int, window: int | None) -> int:
    """Pairs of a token and itself or one before it, at most `window` tokens back."""
    if window is None or window >= length:
        return length * (length + 1) // 2
    return window * (window + 1) // 2 + (length - window) * window
