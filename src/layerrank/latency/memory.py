"""Memory that a method needs on the processor, by formula, in bytes: weights, activations, keys and values, readings.

Each term is what lives at once at the fullest moment of a pass. Symbols, as in `flops.Sizes`: n tokens of the pass, b
bytes a number (4 in float32, 2 in bfloat16), D the residual stream, I an MLP's inner width, H heads of width d, K the
width of all key-value heads together, V the vocabulary, L layers. A pass is at its fullest in one of three places:

- in an MLP: n·b·(4·D + 4·I + 2·d). Four states of the residual stream (the embeddings, the layer's input, the sum
  after attention, its norm), gate and up projection, the activation and the product; cosine and sine of the positions.
- in attention: n·b·(3·D + 6·H·d + 4·K + 2·d). Three states; queries, keys and values, as projected (in one piece, in
  some models) and turned by their positions; copies of them, laid out anew or, with a cache, repeated for every head;
  the output, twice. To it come, of one tree at a time, what its branch rows hold (`_rows`) or its prefix (`_kernel`):
  logits and probabilities of R rows after a prefix of P tokens in float32, 2·4·H·R·(P + R), and their four weighted
  sums, 4·4·H·P, three times over while they are gathered by passage; or the buffers of the kernel.
- in a norm: n·(3·b·D + 12·D): three states and three more in float32.

Ids, positions and offsets are below one in a hundred. What the C library keeps beside it (pages of freed tensors, huge
pages that begin or end in the middle, packed matrices of the products) is not in the formula; docs/performance.md has
the ratio. Experts of a mixture are not in it either: an MLP counts as dense.
"""

from __future__ import annotations

from collections.abc import Sequence

from layerrank.attention.limits import BLOCK_ELEMENTS, ROWS
from layerrank.attention.signal import SUMS
from layerrank.latency.flops import Sizes
from layerrank.prompts.tree import Tree

FLOAT = 4
FUSED = 256 * 512
"""Logits that torch's fused kernel holds at a time in each thread."""


def weights(sizes: Sizes, width: int, *, tables: int = 1) -> int:
    """Weights of all layers and of `tables` vocabulary tables (2 where the head is not the embedding); norms left out.

    `width` is b, bytes a number, here and below.
    """
    return width * (sum(sizes.weights) + tables * sizes.vocabulary * sizes.hidden)


def forward(sizes: Sizes, trees: Sequence[Tree], width: int, *, threads: int = 1) -> int:
    """One pass of the probe over trees side by side, above the weights."""
    own = max(max(_rows(sizes, tree, width), _kernel(sizes, tree, width, threads)) for tree in trees)
    return _states(sizes, sum(tree.tokens for tree in trees), width, own)


def reading(
    sizes: Sizes, trees: Sequence[Tree], width: int, *, passages: int, last_layer: int | None = None, threads: int = 1
) -> int:
    """Reading the attention of layers 0 to `last_layer` over `passages` passages in all: a pass and what is kept of it.

    Kept are, in float32, one number a layer and prefix token, and four sums a layer, head and passage.
    """
    layers = sizes.layers if last_layer is None else last_layer + 1
    prefixes = sum(len(tree.prefix) for tree in trees)
    kept = FLOAT * layers * (prefixes + len(SUMS) * sizes.heads * passages)
    return forward(sizes, trees, width, threads=threads) + kept


def likelihood(sizes: Sizes, trees: Sequence[Tree], width: int, *, threads: int = 1) -> int:
    """Log-probabilities of the trees' branches: a pass, or final states and 256 rows of logits, twice, in float32."""
    rows = sum(1 + len(branch) for tree in trees for branch in tree.branches)
    states = width * sizes.hidden * (sum(tree.tokens for tree in trees) + 2 * rows)
    logits = 2 * FLOAT * min(rows, ROWS) * sizes.vocabulary
    return max(forward(sizes, trees, width, threads=threads), states + logits)


def writing(
    sizes: Sizes, prompts: Sequence[int], tokens: int, width: int, *, threads: int = 1, together: bool = True
) -> int:
    """Writing `tokens` tokens after prompts of so many tokens: keys and values, and a pass.

    Several prompts are read in one pass, as if they had nothing in common, which leaves the keys and values of all
    layers behind; beside them stand those of the prompts that are written side by side, padded to the longest, and one
    layer's once more while a token is added. Logits are those of one token a prompt, once more in float32.

    One prompt, or several that are not read `together`, are read in a padded pass. Where there is padding, or a window
    is shorter than the prompts, a mask takes a byte a pair of tokens for each kind of layer, and a number a pair in the
    layer at work.
    """
    batch, longest = len(prompts), max(prompts)
    pair = 2 * width * sizes.kv_heads * sizes.head  # bytes of a token's key and value in a layer
    held = pair * batch * (longest + tokens) * (sizes.layers + 1)
    logits = batch * sizes.vocabulary * (width + FLOAT)
    if together and batch > 1:
        read = forward(sizes, [Tree(range(length)) for length in prompts], width, threads=threads)
        return pair * sum(prompts) * sizes.layers + max(read, held + logits)
    n = batch * longest
    padded = min(prompts) < longest
    masks = sum(padded or (window or longest) < longest for window in set(sizes.windows))
    own = threads * _fused(sizes, width) + (n * longest * width if masks else 0)
    return held + n * longest * masks + _states(sizes, n, width, own) + logits


def _states(sizes: Sizes, n: int, width: int, attention: int) -> int:
    """The fullest moment of n tokens in a layer, with what attention holds of its own."""
    d, queries, keys = sizes.head, sizes.heads * sizes.head, sizes.kv_heads * sizes.head
    mlp = n * width * (4 * sizes.hidden + 4 * sizes.inner + 2 * d)
    norm = n * sizes.hidden * (3 * width + 3 * FLOAT)
    return max(mlp, n * width * (3 * sizes.hidden + 6 * queries + 4 * keys + 2 * d) + attention, norm)


def _rows(sizes: Sizes, tree: Tree, width: int) -> int:
    """Explicit attention of a tree's branch rows, and their sums; keys and values once more in float32 where halved."""
    rows, prefix = sum(len(branch) for branch in tree.branches), len(tree.prefix)
    if not rows:
        return 0
    logits = 2 * FLOAT * sizes.heads * rows * (prefix + rows)
    sums = 3 * FLOAT * len(SUMS) * sizes.heads * prefix
    copies = 0 if width == FLOAT else FLOAT * 2 * sizes.kv_heads * sizes.head * tree.tokens
    return logits + sums + copies


def _kernel(sizes: Sizes, tree: Tree, width: int, threads: int) -> int:
    """Buffers of attention over a prefix: of the fused kernel, or of blocks of rows, logits and probabilities.

    In half precision and of windows of the latter, which hold more, though the former serves wherever it is faster.
    """
    length = len(tree.prefix)
    most = 0
    for window in set(sizes.windows):
        if width == FLOAT and (window is None or length <= window):
            most = max(most, threads * _fused(sizes, width))
            continue
        reach = length if window is None else min(length, window)
        rows = max(16, min(128, BLOCK_ELEMENTS // (sizes.heads * reach)))
        heads = sizes.heads if width == FLOAT else sizes.heads // sizes.kv_heads
        most = max(most, 2 * width * heads * rows * (reach + rows))
    return most


def _fused(sizes: Sizes, width: int) -> int:
    """One thread's buffers in the fused kernel: logits (rounded as well, where halved), outputs, two numbers a row."""
    return (FLOAT + (width if width < FLOAT else 0)) * FUSED + FLOAT * 256 * (2 + sizes.head)
