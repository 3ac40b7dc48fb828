"""The subcommands of `layerrank`: a module a stage, two functions a subcommand.

`add_NAME(parser)` says what `layerrank NAME` takes and `run_NAME(options)` does it, in the module that the table names.
Both are found by their names, so that a stage is imported only when it is used and `layerrank --help` imports none.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Subcommand:
    """The module of this package that holds a subcommand, and its line of help."""

    stage: str
    help: str


GROUPS: Mapping[str, Mapping[str, Subcommand]] = {
    "for people": {
        "rerank": Subcommand("ranking", "rank candidates, or any TREC run, with a model at hand"),
        "explain": Subcommand("explorer", "rank passages of your own and see why, on one page"),
        "export": Subcommand("study", "make a folder of a study's runs and figures to publish"),
        "verify": Subcommand("study", "check such a folder, or a fresh run against it"),
        "plan": Subcommand("study", "print a study's jobs and estimated GPU hours, without running anything"),
    },
    "steps of a study, which its rules run: collections": {
        "prepare-collection": Subcommand("collections", "read and check a collection, write its topics and judgements"),
        "check-queries": Subcommand("collections", "refuse folds and queries that a collection does not have"),
    },
    "the first stage": {
        "build-index": Subcommand("first_stage", "build or fetch the index of a collection"),
        "retrieve": Subcommand("first_stage", "retrieve candidates with BM25"),
        "check-first-stage": Subcommand("first_stage", "hold the first stage against the figures expected of it"),
        "make-candidates": Subcommand("first_stage", "cut the first stage to the one list that all systems re-rank"),
    },
    "models": {
        "fetch-model": Subcommand("models", "obtain a model as one folder in safetensors"),
        "try-server": Subcommand("models", "try the server of a model, and keep what it honours"),
    },
    "attention": {
        "check-prompts": Subcommand("attention", "refuse prompts that a model's context cannot hold"),
        "check-layers": Subcommand("attention", "refuse windows and heads that a model does not have"),
        "extract-attention": Subcommand("attention", "read and store the attention of every layer, once per query"),
    },
    "layers": {
        "layer-profile": Subcommand("layers", "measure each layer by itself"),
        "sweep-windows": Subcommand("layers", "measure every window of layers"),
        "sweep-orders": Subcommand("orders", "measure every window under several input orders"),
        "evaluate-orders": Subcommand("orders", "measure a study's windows over input orders, and two remedies"),
        "select-window": Subcommand(
            "layers", "choose windows by a rule, without the judgements that they are measured on"
        ),
        "score-heads": Subcommand("heads", "score every attention head"),
        "choose-heads": Subcommand("heads", "choose heads by a rule, without the judgements that they are measured on"),
        "map-heads": Subcommand("heads", "measure each attention head by itself"),
        "count-heads": Subcommand("heads", "measure how many heads it takes"),
        "agree-heads": Subcommand("heads", "tell how far sets of heads agree"),
        "transfer-heads": Subcommand("heads", "measure what heads rank that were chosen elsewhere"),
        "layer-shape": Subcommand("layers", "tell the shape of a layer profile"),
        "transfer": Subcommand("layers", "measure what windows lose that were chosen elsewhere"),
    },
    "ranking": {
        "rerank-cached": Subcommand("ranking", "rank candidates from the stored attention, without a model"),
        "join-shards": Subcommand("ranking", "put the parts of a run together"),
    },
    "evaluation": {
        "evaluate": Subcommand("evaluation", "measure runs, query by query"),
        "aggregate": Subcommand("evaluation", "means over queries, with intervals"),
        "compare": Subcommand("evaluation", "test systems against baselines"),
        "summarise-costs": Subcommand("evaluation", "sum up the costs of runs"),
        "sensitivity": Subcommand("evaluation", "hold variants against their base"),
        "diagnose": Subcommand("evaluation", "hold scores against place and length of passages"),
    },
    "latency": {
        "measure-latency": Subcommand("latency", "time re-ranking stage by stage"),
        "measure-trained": Subcommand("latency", "time a model that was trained to rank likewise"),
    },
    "tables": {
        "effectiveness-table": Subcommand("tables", "systems by collections"),
        "comparison-table": Subcommand("tables", "paired comparisons with a baseline"),
        "grid-table": Subcommand("tables", "frameworks by mechanisms"),
        "cost-table": Subcommand("tables", "what each system costs"),
        "outcome-table": Subcommand("tables", "what became of written answers"),
        "diagnostics-table": Subcommand("tables", "bias by place and by length"),
        "sensitivity-table": Subcommand("tables", "what variants change"),
        "audit-table": Subcommand("tables", "what means may owe to ties and to unjudged passages"),
        "published-table": Subcommand("tables", "published figures against measured ones"),
        "orders-table": Subcommand("tables", "windows over input orders"),
        "heads-table": Subcommand("tables", "windows, heads, and heads within a window"),
        "head-agreement-table": Subcommand("tables", "how far sets of heads agree"),
        "head-transfer-table": Subcommand("tables", "what heads rank that were chosen elsewhere"),
        "selection-table": Subcommand("tables", "the windows chosen"),
        "shape-table": Subcommand("tables", "the shapes of layer profiles"),
        "transfer-table": Subcommand("tables", "what windows lose that were chosen elsewhere"),
    },
    "figures": {
        "plot-profile": Subcommand("figures", "the measure by layer"),
        "plot-sweep": Subcommand("figures", "the measure of every window"),
        "plot-pareto": Subcommand("figures", "quality against cost"),
        "plot-depth": Subcommand("figures", "layer profiles on relative depth"),
        "plot-effectiveness": Subcommand("figures", "every system's mean and interval"),
        "plot-diagnostics": Subcommand("figures", "scores by place and by length"),
        "plot-latency": Subcommand("figures", "where the time of a query goes"),
        "plot-neighbours": Subcommand("figures", "how alike neighbouring layers rank"),
        "plot-shares": Subcommand("figures", "what scores owe to passage and to place, by layer"),
        "plot-stability": Subcommand("figures", "how stable windows are over input orders"),
        "plot-slopes": Subcommand("figures", "windows from order to order"),
        "plot-heads": Subcommand("figures", "the measure of every head, and its stability"),
        "plot-head-counts": Subcommand("figures", "how many heads it takes"),
        "plot-transfer": Subcommand("figures", "what windows lose that were chosen elsewhere"),
    },
    "answers": {
        "answer-mechanisms": Subcommand("answers", "how attention compares with generation and likelihood"),
        "answer-where": Subcommand("answers", "where in the layers relevance emerges"),
        "answer-choice": Subcommand("answers", "which way of choosing a window holds up"),
        "answer-windows": Subcommand("answers", "what a window saves and costs"),
        "answer-caveats": Subcommand("answers", "what else could explain the figures: place, length, ties, judgements"),
        "answer-place": Subcommand("answers", "whether rankings follow relevance or the place in the prompt"),
    },
    "the explorer": {
        "explore": Subcommand("explorer", "drag a window over the layers and watch a query's ranking, on one page"),
    },
    "study": {
        "manifest": Subcommand("study", "what a study ran on and what came out"),
    },
}

SUBCOMMANDS: Mapping[str, Subcommand] = MappingProxyType(
    {name: subcommand for group in GROUPS.values() for name, subcommand in group.items()}
)
"""All subcommands, in the order of `layerrank --help`."""


def functions(name: str) -> tuple[str, str]:
    """Names of the two functions of a subcommand: the one that adds its arguments, and the one that runs it."""
    stem = name.replace("-", "_")
    return f"add_{stem}", f"run_{stem}"


def load(name: str) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], None]]:
    """The two functions of a subcommand; imports its stage's module."""
    module = importlib.import_module(f"layerrank.commands.{SUBCOMMANDS[name].stage}")
    add, run = functions(name)
    return getattr(module, add), getattr(module, run)


def overview() -> str:
    """All subcommands, grouped, with a line of help each."""
    width = max(map(len, SUBCOMMANDS)) + 2
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:{width}}{subcommand.help}" for name, subcommand in group.items())])
        for title, group in GROUPS.items()
    )
