"""What the rules ask of layers and windows, and of windows carried elsewhere (rules/layers.smk, rules/transfer.smk)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from layerrank.core.windows import fixed_window
from layerrank.evaluation import measures
from layerrank.study import config as settings
from layerrank.study.config import Study
from layerrank.study.paths import places
from layerrank.study.paths.places import Input, Wildcards
from layerrank.study.paths.words import as_json, named


@dataclass(frozen=True)
class Layers:
    """Measures by layer and by window, and the windows that rules choose."""

    study: Study

    @cached_property
    def measures(self) -> list[str]:
        """The measure that windows are chosen by, then those that are profiled beside it."""
        layers = self.study.config["layers"]
        lead = measures.parse(layers["measure"])
        return [layers["measure"], *(name for name in layers["profile"] if measures.parse(name) != lead)]

    @cached_property
    def fixed_windows(self) -> list[str]:
        """The windows of whole-list attention that the configuration spells out."""
        return [window for window in self.study.config["systems"]["cached_windows"] if fixed_window(window)]

    @cached_property
    def selections(self) -> tuple[str, ...]:
        """The names of the rules that choose a window."""
        return tuple(self.study.config["layers"]["selection"])

    def selections_of(self, wildcards: Wildcards) -> list[str]:
        """Files of every selection rule, for one collection and model."""
        return [places.selection(wildcards.collection, wildcards.model, name) for name in self.selections]

    def rule(self, wildcards: Wildcards) -> str:
        """The settings of a selection rule."""
        return as_json(self.study.config["layers"]["selection"][wildcards.selection])

    def others(self, wildcards: Wildcards) -> list[str]:
        """The other collections of the study on which the window is chosen."""
        return settings.chosen_on(self.study, "layers", wildcards.selection, wildcards.collection, wildcards.model)

    def other_sweeps(self, wildcards: Wildcards) -> list[str]:
        """Their sweeps, over orders where the rule asks for these."""
        path = places.order_sweep if self._over_orders(wildcards) else places.sweep
        return [path(name, wildcards.model) for name in self.others(wildcards)]

    def of_others(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `others`."""
        return named(self.others(wildcards), input.others)

    def over_orders(self, wildcards: Wildcards) -> list[str]:
        """The sweep over orders that a rule chooses by, where it asks for it."""
        return [places.order_sweep(wildcards.collection, wildcards.model)] if self._over_orders(wildcards) else []

    def over_orders_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `over_orders`, where there is one."""
        return ["--over-orders", *input.over_orders] if input.over_orders else []

    def _over_orders(self, wildcards: Wildcards) -> bool:
        return self.study.config["layers"]["selection"][wildcards.selection].get("orders") == "all"


@dataclass(frozen=True)
class Transfer:
    """Windows carried between the collections of a model, and between the models of a collection."""

    study: Study

    @cached_property
    def names(self) -> list[str]:
        """`model.NAME` or `collection.NAME` of what has several of the other, between which windows can be carried."""
        return [
            f"{kind}.{name}"
            for place, kind in enumerate(("collection", "model"))
            for name in dict.fromkeys(pair[place] for pair in self.study.read_pairs)
            if sum(pair[place] == name for pair in self.study.read_pairs) > 1
        ]

    def sweeps(self, wildcards: Wildcards) -> list[str]:
        """The sweeps between which windows are carried."""
        return [places.sweep(collection, model) for collection, model, _ in self._carried(wildcards)]

    def of_sweeps(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `sweeps` by the name of what differs."""
        return named((name for _, _, name in self._carried(wildcards)), input.sweeps)

    def selections(self, wildcards: Wildcards) -> list[str]:
        """Windows chosen without judgements, which stand in the same matrix."""
        pairs = self._carried(wildcards)
        return [
            places.selection(collection, model, rule) for collection, model, _ in pairs for rule in self._label_free
        ]

    def of_selections(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `selections` by the name of what differs."""
        names = (name for _, _, name in self._carried(wildcards) for _ in self._label_free)
        return named(names, input.selections)

    def same(self, wildcards: Wildcards) -> list[str]:
        """Whether the queries are those of one collection."""
        return ["--same-collection"] if wildcards.kind == "collection" else []

    def _carried(self, wildcards: Wildcards) -> list[tuple[str, str, str]]:
        """Pairs of a collection and a model between which windows are carried, with the name of what differs."""
        of_model = wildcards.kind == "model"
        return [
            (collection, model, collection if of_model else model)
            for collection, model in self.study.read_pairs
            if wildcards.fixed == (model if of_model else collection)
        ]

    @cached_property
    def _label_free(self) -> list[str]:
        """Rules that need no judgements."""
        rules = self.study.config["layers"]["selection"]
        return [name for name in rules if rules[name]["rule"] == "label-free"]
