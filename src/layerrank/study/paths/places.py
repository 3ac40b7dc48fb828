"""Where results lie that several stages read, and what a job's wildcards are of.

Paths begin with `<results>` or `<resources>`, which Snakemake replaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from snakemake.io import expand

from layerrank.core.windows import head_rule_of, rule_of
from layerrank.study import config as settings
from layerrank.study.config import Study
from layerrank.study.systems import systems_of

Wildcards = Any
"""A job's wildcards: attributes collection, model, ranker, identity, variant, system, cell, selection, heads, shard,
shards, kind, fixed."""

Input = Any
"""A job's input files, by name."""

PAIR = "<results>/{collection}/{model}"
PROMPTS = f"{PAIR}/prompts/{{variant}}.json"
TRIAL = "<results>/models/{model}.json"


def every(study: Study, pattern: str, variants: Sequence[str] = (settings.BASE,), **others: Sequence[str]) -> list[str]:
    """The pattern for each pair whose layers can be read, and each variant; `others` are further names in it."""
    return [
        path
        for collection, model in study.read_pairs
        for path in expand(pattern, collection=collection, model=model, variant=variants, **others)
    ]


def ranked(study: Study, pattern: str, variants: Sequence[str] = (settings.BASE,)) -> list[str]:
    """The pattern for each pair of the study, and each variant in which its model runs any system."""
    return [
        path
        for collection, model in study.pairs
        for path in expand(
            pattern,
            collection=collection,
            model=model,
            variant=[variant for variant in variants if systems_of(study, model, variant)],
        )
    ]


def model_of(wildcards: Wildcards) -> str:
    """The model of a job, one that was trained to rank where its path names that."""
    return str(getattr(wildcards, "ranker", None) or wildcards.model)


def variant_of(wildcards: Wildcards) -> str:
    """The variant of a path, the base where it has none."""
    return str(getattr(wildcards, "variant", settings.BASE))


def shards(study: Study, collection: str) -> int:
    """Parts that a collection's signal is computed in."""
    return int(study.collections[collection]["shards"])


def signal(study: Study, collection: str, model: str, variant: str) -> list[str]:
    """The files of a variant's stored signal, by shard; variants that differ in scoring alone share one."""
    n, stored = shards(study, collection), settings.signal_variant(study, variant)
    folder = f"<results>/{collection}/{model}/attention"
    return [f"{folder}/{stored}.shard-{i}-of-{n}.arrow" for i in range(n)]


def sweep(collection: str, model: str) -> str:
    """The measure of every window."""
    return f"<results>/{collection}/{model}/layers/sweep.arrow"


def order_sweep(collection: str, model: str) -> str:
    """The same over the input orders."""
    return f"<results>/{collection}/{model}/orders/sweep.arrow"


def selection(collection: str, model: str, rule: str) -> str:
    """The windows that a rule chooses."""
    return f"<results>/{collection}/{model}/windows/{rule}.json"


def heads(collection: str, model: str, rules: Iterable[str], of: str = "", variant: str = settings.BASE) -> list[str]:
    """The heads that each rule chooses; with `of` `.ranked`, all that it allows, best first."""
    return [f"{_head_folder(collection, model, variant)}/{rule}{of}.json" for rule in rules]


def head_scores(collection: str, model: str, rule: str, variant: str) -> str:
    """The scores of heads that a rule computes."""
    return f"{_head_folder(collection, model, variant)}/{rule}.scores.arrow"


def _head_folder(collection: str, model: str, variant: str) -> str:
    return f"<results>/{collection}/{model}/heads" + (f"/{variant}" if variant != settings.BASE else "")


def chosen(collection: str, model: str, window: str) -> list[str]:
    """The file of a window, or of the heads in its place, that a rule chooses; none where no rule does."""
    if (rule := rule_of(window)) is not None:
        return [selection(collection, model, rule)]
    rule = head_rule_of(window)
    return [] if rule is None else heads(collection, model, [rule])
