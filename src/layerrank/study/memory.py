"""Main memory that a job which runs a model asks for, in MB (10⁶ bytes).

Where the catalogue tells a model's shape, the formula says it (`latency.memory`): the process, the weights, and on a
processor what a pass over the longest prompts needs above them, in the dtype of the variant. A pass on a GPU takes none
of it. The longest prompt has passages as long as the study cuts them, and no more tokens than the model reads. To that
comes a margin, for what the formula leaves out. An entry's own `mem_mb` stands in place of all this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from layerrank.latency import memory
from layerrank.latency.flops import Sizes
from layerrank.prompts.tree import Tree
from layerrank.ranking.cells import CROSS_ENCODER
from layerrank.ranking.frameworks import make_sorter
from layerrank.study import config as settings
from layerrank.study.config import Entry, Study
from layerrank.study.plan import PASSAGE_TOKENS, PROMPT_TOKENS, TOKENS_A_WORD, WRITTEN, prompt_tokens
from layerrank.study.systems import PlannedRun

UNKNOWN = 8000
"""MB of a model of which neither `mem_mb` nor the shape is given."""

PROCESS, DEVICE = 800e6, 4e9
"""Bytes of a process that has loaded torch and transformers: on a processor (0.5e9 measured), and with a GPU (an
estimate, not measured)."""

MARGIN = 1.25
"""By how much a job asks for more than the formula says."""

LABEL = 2
"""Tokens of a label whose likelihood is asked for, at most in most vocabularies."""

SHAPE = ("hidden", "heads", "kv_heads", "inner", "vocabulary")
"""Keys of a catalogue entry's `size` that the formula needs beside its layers and width."""


def shape(entry: Entry) -> Sizes | None:
    """Sizes of a catalogue entry's model, a decoder with gated MLPs; None where it does not tell them all.

    Which layers have the window, where some do, makes no difference to memory: here it is the first.
    """
    size: Mapping[str, Any] = entry.get("size", {})
    if any(key not in size for key in SHAPE):
        return None
    hidden, heads, layers = size["hidden"], size["heads"], size["layers"]
    head = size["width"] // heads
    weights = 2 * hidden * head * (heads + size["kv_heads"]) + 3 * hidden * size["inner"]
    return Sizes(
        hidden=hidden,
        heads=heads,
        kv_heads=size["kv_heads"],
        head=head,
        inner=size["inner"],
        weights=(weights,) * layers,
        windows=(size.get("window"), *[None] * (layers - 1)),
        vocabulary=size["vocabulary"],
    )


def of_reading(study: Study, collection: str, model: str, variant: str, threads: int) -> int:
    """Of a job that reads the attention of whole lists, one at a time."""
    entry = study.models[model]
    if (sizes := _reckoned(entry)) is None:
        return stated(entry)
    own = settings.prompt_settings(study, collection, model, variant)
    passages = settings.variant_settings(study, variant)["depth"]
    width = _width(own["dtype"])
    tree = _attended(_longest(study, entry, collection, variant, passages))
    above = 0 if entry["gpus"] else memory.reading(sizes, [tree], width, passages=passages, threads=threads)
    return _in_all(entry, sizes, width, above)


def of_ranking(study: Study, run: PlannedRun, collection: str, model: str, variant: str, threads: int) -> int:
    """Of a job that ranks by one system, or by an attention cell in several windows: full batches of largest groups.

    A model that is served, or was trained to rank otherwise than by likelihood, has no shape to reckon from.
    """
    entry = {**study.models, **study.trained}[model]
    sizes = _reckoned(entry)
    if sizes is None or run.mechanism == CROSS_ENCODER:
        return stated(entry)
    own = settings.prompt_settings(study, collection, model, variant) if model in study.models else entry
    width = _width(own["dtype"])
    above = 0 if entry["gpus"] else _batch(study, run, entry, sizes, collection, variant, width, threads)
    return _in_all(entry, sizes, width, above)


def stated(entry: Entry) -> int:
    """What an entry says itself."""
    return int(entry.get("mem_mb", UNKNOWN))


def _reckoned(entry: Entry) -> Sizes | None:
    return None if "mem_mb" in entry else shape(entry)


def _batch(
    study: Study, run: PlannedRun, entry: Entry, sizes: Sizes, collection: str, variant: str, width: int, threads: int
) -> int:
    """Bytes above the weights that one full batch of a system takes."""
    depth = settings.variant_settings(study, variant)["depth"]
    group = make_sorter(run.framework, run.framework_settings).largest_group(depth)
    longest = _longest(study, entry, collection, variant, group)
    written = 0
    if run.mechanism == "generation":
        written = run.mechanism_settings.get("max_new_tokens") or WRITTEN.get(run.framework, 5 * group)
    batch = max(1, study.config["systems"]["batch_tokens"] // (longest + written))
    if written:
        return memory.writing(sizes, [longest] * batch, written, width, threads=threads)
    if run.mechanism == "likelihood":
        labels = tuple(range(LABEL) for _ in range(max(2, group)))
        return memory.likelihood(sizes, [Tree(range(longest), labels)] * batch, width, threads=threads)
    trees = [_attended(longest)] * batch
    return memory.reading(sizes, trees, width, passages=batch * group, threads=threads)


def _attended(tokens: int) -> Tree:
    """An attention prompt of so many tokens: those of the query and of `N/A` stand after the rest."""
    return Tree(range(max(1, tokens - PROMPT_TOKENS)), (range(PROMPT_TOKENS), range(PROMPT_TOKENS)))


def _longest(study: Study, entry: Entry, collection: str, variant: str, passages: int) -> int:
    """Tokens of the longest prompt of so many passages."""
    words = settings.passage_words(study, collection, variant)
    tokens = math.ceil(prompt_tokens(passages, TOKENS_A_WORD * words + PASSAGE_TOKENS))
    context = entry.get("context") or entry["size"].get("context")
    return tokens if context is None else min(tokens, context)


def _in_all(entry: Entry, sizes: Sizes, width: int, above: int) -> int:
    tables = 1 if entry["size"].get("tied", True) else 2
    process = DEVICE if entry["gpus"] else PROCESS
    return math.ceil(MARGIN * (process + memory.weights(sizes, width, tables=tables) + above) / 1e6)


def _width(dtype: str) -> int:
    return 4 if dtype == "float32" else 2
