"""What the rules ask of runs once ranked: values, costs and tests (rules/evaluation.smk), and seconds (latency.smk)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from snakemake.io import expand

from layerrank.core.windows import head_rule_of, rule_of
from layerrank.study.config import BASE, OVER_ORDERS, Study
from layerrank.study.paths import places
from layerrank.study.paths.orders import Orders
from layerrank.study.paths.places import PAIR, Input, Wildcards
from layerrank.study.paths.ranking import Ranking
from layerrank.study.paths.words import flags, named
from layerrank.study.systems import systems_of


@dataclass(frozen=True)
class Evaluation:
    """Runs and costs of a variant, and what is told of all variants."""

    study: Study
    ranking: Ranking
    orders: Orders

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """The variants whose systems the report shows one by one."""
        return tuple(dict.fromkeys([BASE, self.study.config["systems"]["variant"]]))

    @cached_property
    def values(self) -> list[str]:
        """Per-query values of every variant, and over the orders."""
        pattern = f"{PAIR}/evaluation/{{variant}}.tsv"
        over_orders = places.every(self.study, pattern, [OVER_ORDERS]) if self.orders.names else []
        return [*places.ranked(self.study, pattern, self.ranking.variants), *over_orders]

    @cached_property
    def resampling(self) -> list[str]:
        """The seed and number of resamples of intervals and tests."""
        tests = self.study.config["evaluation"]
        return flags({key: tests[key] for key in ("seed", "resamples")})

    @cached_property
    def sensitivity(self) -> Mapping[str, Any]:
        """The variants that are not shown with what they change; those in other orders with the order alone."""
        own = self.study.config["variants"] | {
            name: {key: changed[key] for key in ("order", "seed") if key in changed}
            for name, changed in self.study.grid_orders.items()
        }
        orders = self.orders.names
        over = {OVER_ORDERS: {"order": f"mean over {len(orders)}"}} if orders else {}
        return {name: changed for name, changed in (own | over).items() if name not in self.shown}

    @cached_property
    def held_against(self) -> list[str]:
        """`variant=other` of variants that are held against another one than the base."""
        grid = self.study.config["systems"]["variant"]
        return [f"{name}={grid}" for name in self.study.grid_orders if grid != BASE]

    # The runs of a collection, model and variant.

    def runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of every system."""
        return self._of_systems(wildcards, "txt")

    def of_runs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `runs`."""
        return named(self._names(wildcards), input.runs)

    def costs(self, wildcards: Wildcards) -> list[str]:
        """Their costs."""
        return self._of_systems(wildcards, "costs.jsonl")

    def of_costs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `costs`."""
        return named(self._names(wildcards), input.costs)

    def _of_systems(self, wildcards: Wildcards, ending: str) -> list[str]:
        cell = {name: getattr(wildcards, name) for name in ("collection", "model", "variant")}
        return expand(f"{PAIR}/runs/{{variant}}/{{system}}.{ending}", **cell, system=self._names(wildcards))

    def _names(self, wildcards: Wildcards) -> list[str]:
        return list(systems_of(self.study, wildcards.model, wildcards.variant))

    # Models trained to rank, whose runs stand beside those of one variant.

    def trained_runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of these on the collection."""
        return _trained_files(wildcards, self._trained(wildcards), "txt")

    def of_trained(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `trained`."""
        return named((self.ranking.trained[name].name for name in self._trained(wildcards)), input.trained)

    def trained_costs(self, wildcards: Wildcards) -> list[str]:
        """Their costs."""
        return _trained_files(wildcards, self._trained(wildcards), "costs.jsonl")

    def _trained(self, wildcards: Wildcards) -> list[str]:
        return list(self.ranking.trained) if wildcards.variant == self.study.config["systems"]["variant"] else []


@dataclass(frozen=True)
class Latency:
    """Seconds of windows, and of models trained to rank."""

    study: Study

    def selections(self, wildcards: Wildcards) -> list[str]:
        """The files of the windows that are timed and that a rule chooses, or whose heads one does."""
        pair = wildcards.collection, wildcards.model
        return [path for window in self._selected for path in places.chosen(*pair, window)]

    def of_selections(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `selections` by rule, those of heads by `heads-<rule>`."""
        files = named((rule_of(window) or window for window in self._selected), input.selections)
        return ["--selections", *files] if files else []

    @cached_property
    def _selected(self) -> list[str]:
        windows = self.study.config["latency"]["windows"]
        return [window for window in windows if rule_of(window) or head_rule_of(window)]

    def trained(self, wildcards: Wildcards) -> list[str]:
        """The seconds of models trained to rank, beside those of the windows."""
        return [
            f"<results>/{wildcards.collection}/trained/latency/{name}.tsv"
            for name in self.study.config["systems"]["trained"]
        ]


def _trained_files(wildcards: Wildcards, models: Iterable[str], ending: str) -> list[str]:
    folder = f"<results>/{wildcards.collection}/trained/{wildcards.variant}"
    return [f"{folder}/{name}.{ending}" for name in models]
