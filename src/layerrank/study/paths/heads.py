"""What the rules ask of heads, chosen and told of (rules/heads.smk, rules/head_sets.smk, rules/report/heads.smk)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from snakemake.io import expand

from layerrank.core.windows import ALL, rule_of
from layerrank.layers.head_rules import HeadRule, head_strategy, parse_head_rule, scoring
from layerrank.study import config as settings
from layerrank.study.config import Study
from layerrank.study.paths import places
from layerrank.study.paths.layers import Transfer
from layerrank.study.paths.orders import Orders
from layerrank.study.paths.places import PAIR, Input, Wildcards, variant_of
from layerrank.study.paths.words import as_json, named


@dataclass(frozen=True)
class Heads:
    """Every head scored from the stored signal, and those that rules choose."""

    study: Study
    orders: Orders

    @cached_property
    def rules(self) -> Mapping[str, HeadRule]:
        """The rules that choose heads, by name."""
        rules = self.study.config["heads"]["selection"]
        return {name: parse_head_rule(rule) for name, rule in rules.items()}

    @cached_property
    def rules_in_dtypes(self) -> tuple[str, ...]:
        """The rules that choose heads in each dtype of the study: other orders are read in the base's alone."""
        return tuple(name for name, rule in self.rules.items() if "orders" not in rule.settings)

    def rule(self, wildcards: Wildcards) -> str:
        """The settings of a rule that chooses heads."""
        return as_json(self.study.config["heads"]["selection"][wildcards.heads])

    def scoring(self, wildcards: Wildcards) -> str:
        """What a rule scores heads by, and nothing of how many it chooses."""
        return as_json(scoring(self.rules[wildcards.heads]))

    def order_signals(self, wildcards: Wildcards) -> list[str]:
        """The signals of every order, where a rule scores heads over them."""
        return self.orders.signals(wildcards) if "orders" in self.rules[wildcards.heads].settings else []

    def of_orders(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `orders` by order, where there is any."""
        return ["--orders", *self.orders.by_order(wildcards.collection, input.orders)] if input.orders else []

    def scores(self, wildcards: Wildcards) -> str:
        """The scores that a rule chooses by."""
        scored, variant = self._scored_as(wildcards.heads), variant_of(wildcards)
        return places.head_scores(wildcards.collection, wildcards.model, scored, variant)

    def others(self, wildcards: Wildcards) -> list[str]:
        """The other collections of the study on which a rule chooses heads."""
        return settings.chosen_on(self.study, "heads", wildcards.heads, wildcards.collection, wildcards.model)

    def other_scores(self, wildcards: Wildcards) -> list[str]:
        """Their scores."""
        scored, variant = self._scored_as(wildcards.heads), variant_of(wildcards)
        return [places.head_scores(name, wildcards.model, scored, variant) for name in self.others(wildcards)]

    def of_others(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `others`."""
        return named(self.others(wildcards), input.others)

    def within(self, wildcards: Wildcards) -> list[str]:
        """The file of the selected windows that a rule chooses heads within, where it names one."""
        within = rule_of(self.rules[wildcards.heads].settings.get("window", ALL))
        return [] if within is None else [places.selection(wildcards.collection, wildcards.model, within)]

    def within_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `within`, where there is one."""
        return ["--within", *input.within] if input.within else []

    def chosen(self, wildcards: Wildcards) -> list[str]:
        """What every rule chose, for one collection and model."""
        return places.heads(wildcards.collection, wildcards.model, self.rules)

    def ranked(self, wildcards: Wildcards) -> list[str]:
        """Every head that a rule allows, best first, of every rule, for one collection and model."""
        return places.heads(wildcards.collection, wildcards.model, self.rules, ".ranked")

    def _scored_as(self, rule: str) -> str:
        """The first rule that scores heads as this one does: rules alike share its scores."""
        rules = self.rules
        return next(name for name in rules if scoring(rules[name]) == scoring(rules[rule]))


@dataclass(frozen=True)
class HeadSets:
    """What is told of heads all over the study: how far sets agree, carry over, and stand against windows."""

    study: Study
    heads: Heads
    transfer: Transfer

    @cached_property
    def strategy(self) -> str:
        """The strategy that heads are mapped under: the study's, or a linear one where masked sums are left out."""
        own = str(self.study.config["layers"]["strategy"])
        return own if self.study.config["heads"]["masked"] else head_strategy(own, linear=True)

    @cached_property
    def ranked(self) -> list[str]:
        """Every head that a rule allows, best first, of every rule and pair."""
        return self._of_pairs(".ranked")

    def of_ranked(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `ranked`."""
        return named(self._models, input.ranked)

    @cached_property
    def in_dtypes(self) -> list[str]:
        """Every head that a rule allows, best first, in each dtype of the study; nothing where there is one."""
        return [path for _, path in self._in_dtypes]

    def of_dtypes(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `dtypes` by model and dtype, where there is any."""
        names = (name for name, _ in self._in_dtypes)
        return ["--dtypes", *named(names, input.dtypes)] if input.dtypes else []

    @cached_property
    def _in_dtypes(self) -> list[tuple[str, str]]:
        """`model/dtype` and file of every ranking of heads in a dtype, of pairs that have several."""
        return [
            (f"{model}/{dtype}", path)
            for collection, model in self.study.read_pairs
            for dtype, variant in self._dtypes(collection, model).items()
            for path in places.heads(collection, model, self.heads.rules_in_dtypes, ".ranked", variant)
        ]

    def _dtypes(self, collection: str, model: str) -> dict[str, str]:
        """The base, and the variants that change the dtype alone, by dtype; nothing where there is one dtype."""
        own = self.study.config["variants"].items()
        found: dict[str, str] = {}
        for variant in (settings.BASE, *(name for name, changed in own if changed.keys() == {"dtype"})):
            dtype = settings.prompt_settings(self.study, collection, model, variant)["dtype"]
            found.setdefault(str(dtype), variant)
        return found if len(found) > 1 else {}

    # Carried between the collections of a model.

    @cached_property
    def transferred(self) -> list[str]:
        """What head sets rank on other collections, of each model that has several."""
        several = [name.removeprefix("model.") for name in self.transfer.names if name.startswith("model.")]
        return expand("<results>/tables/heads/transfer.{model}.tsv", model=several if self.heads.rules else [])

    def carried_signals(self, wildcards: Wildcards) -> list[str]:
        """The signals of every collection of a model."""
        names, model = self.study.collections_of(wildcards.model), wildcards.model
        return [path for name in names for path in places.signal(self.study, name, model, settings.BASE)]

    def of_carried_signals(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `signals`."""
        names = self.study.collections_of(wildcards.model)
        return named((name for name in names for _ in range(places.shards(self.study, name))), input.signals)

    def carried_qrels(self, wildcards: Wildcards) -> list[str]:
        """Their judgements."""
        names = self.study.collections_of(wildcards.model)
        return expand("<results>/{collection}/candidates/base.qrels.txt", collection=names)

    def of_carried_qrels(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `qrels`."""
        return named(self.study.collections_of(wildcards.model), input.qrels)

    def carried_heads(self, wildcards: Wildcards) -> list[str]:
        """The heads that rules chose on them."""
        names = self.study.collections_of(wildcards.model)
        return [path for name in names for path in places.heads(name, wildcards.model, self.heads.rules)]

    def of_carried_heads(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `chosen`."""
        names = self.study.collections_of(wildcards.model)
        return named((name for name in names for _ in self.heads.rules), input.chosen)

    # Beside windows, in the report.

    @cached_property
    def variant(self) -> str:
        """The variant in which heads are held against windows."""
        return str(self.study.config["heads"]["variant"])

    @cached_property
    def costs(self) -> list[str]:
        """What systems cost there, of every pair."""
        return places.every(self.study, f"{PAIR}/evaluation/{self.variant}.costs.tsv")

    @cached_property
    def over_orders(self) -> list[str]:
        """Windows and heads over orders, of every pair, where these are what they are held against in."""
        return self.heads.orders.tables if self.variant == settings.BASE else []

    @cached_property
    def compared(self) -> list[str]:
        """The tests in which heads stand against windows, where the study chooses any."""
        return ["<results>/tables/comparisons.tsv"] if self.heads.rules else []

    @cached_property
    def chosen(self) -> list[str]:
        """What every rule chose, of every pair."""
        return self._of_pairs()

    def of_chosen(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `chosen`."""
        return named(self._models, input.chosen)

    def _of_pairs(self, of: str = "") -> list[str]:
        return [path for pair in self.study.read_pairs for path in places.heads(*pair, self.heads.rules, of)]

    @cached_property
    def _models(self) -> list[str]:
        """The model of each of these files."""
        return [model for _, model in self.study.read_pairs for _ in self.heads.rules]
