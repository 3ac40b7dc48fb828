"""Where a study's results lie, and what its rules ask for: input functions, settings and words of command lines.

A stage each has a class and a module: `PATHS.heads` is what rules/heads.smk uses, in `heads.py`. Rules take
their methods as they are: each is given a job's wildcards, and its input where it asks for it. A list is to be quoted
word by word where a shell reads it (`{params.runs:q}`). What several stages read lies where `places.py` says.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from snakemake.io import expand

from layerrank.core.garbage import collect_seldom
from layerrank.study.config import BASE, Study
from layerrank.study.paths import places
from layerrank.study.paths.attention import Attention
from layerrank.study.paths.collections import Collections
from layerrank.study.paths.evaluation import Evaluation, Latency
from layerrank.study.paths.explorer import Explorer
from layerrank.study.paths.heads import Heads, HeadSets
from layerrank.study.paths.layers import Layers, Transfer
from layerrank.study.paths.models import Models
from layerrank.study.paths.orders import Orders
from layerrank.study.paths.ranking import Ranking
from layerrank.study.paths.report import Items, Report


@dataclass(frozen=True)
class Paths:
    """A study by its stages, each named like the file of rules that asks for it.

    `models` is also what every job that runs a model asks for, and `attention` the signal that others read; `ranking`
    is of rules/windows.smk and rules/shards.smk too, `head_sets` of rules/report/heads.smk; `items` are outputs of
    rules/report/.
    """

    study: Study
    collections: Collections
    models: Models
    attention: Attention
    layers: Layers
    transfer: Transfer
    orders: Orders
    heads: Heads
    head_sets: HeadSets
    ranking: Ranking
    evaluation: Evaluation
    latency: Latency
    items: Items
    report: Report
    explorer: Explorer

    # What exists once for each pair of a collection and a model, or for the whole study.

    def every(self, pattern: str, variants: Sequence[str] = (BASE,), **others: Sequence[str]) -> list[str]:
        """`places.every` of this study."""
        return places.every(self.study, pattern, variants, **others)

    def ranked(self, pattern: str, variants: Sequence[str] = (BASE,)) -> list[str]:
        """`places.ranked` of this study."""
        return places.ranked(self.study, pattern, variants)

    @cached_property
    def checks(self) -> list[str]:
        """What shows that collections and models have what the configuration names."""
        return [
            *expand("<results>/{collection}/collection/asked.json", collection=self.study.collections),
            *expand(places.TRIAL, model=self.study.models),
        ]

    @cached_property
    def downloads(self) -> list[str]:
        """What a study needs from elsewhere, for machines without a network: models, collections, indexes."""
        indexes = expand("<results>/{collection}/index", collection=self.study.collections)
        return [*self.models.folders.values(), *indexes]


def paths_of(study: Study, base: Path, cache: Path) -> Paths:
    """Paths of a study; `base` is the folder of the checkout, `cache` that of models."""
    models, attention, layers = Models(study, cache), Attention(study), Layers(study)
    transfer, orders = Transfer(study), Orders(study)
    heads = Heads(study, orders)
    head_sets = HeadSets(study, heads, transfer)
    ranking = Ranking(study, models)
    evaluation = Evaluation(study, ranking, orders)
    report = Report(study, layers, transfer, head_sets, evaluation)
    return Paths(
        study,
        Collections(study),
        models,
        attention,
        layers,
        transfer,
        orders,
        heads,
        head_sets,
        ranking,
        evaluation,
        Latency(study),
        Items(study, base),
        report,
        Explorer(study, attention, ranking, report),
    )


def for_planning(study: Study, base: Path, cache: Path) -> Paths:
    """The same in a process that plans, of whose time collecting garbage and Snakemake's questions take less.

    Nearly all that planning makes stays, so circles are looked for rarely. Snakemake asks for a function's signature
    several times a job: it is worked out once.
    """
    collect_seldom()
    paths = paths_of(study, base, cache)
    for stage in (getattr(paths, field.name) for field in fields(paths)):
        for function in filter(inspect.isfunction, tuple(vars(type(stage)).values())):
            vars(function)["__signature__"] = inspect.signature(function)
    return paths
