"""What the rules ask of input orders (rules/orders.smk, rules/report/place.smk)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from layerrank.core.systems import ALL_LAYERS, parse_system, whole_list_heads, whole_list_windows
from layerrank.core.windows import head_rule_of, rule_of
from layerrank.study.config import BASE, Study
from layerrank.study.paths import places
from layerrank.study.paths.places import PAIR, Input, Wildcards
from layerrank.study.paths.words import named
from layerrank.study.systems import systems


@dataclass(frozen=True)
class Orders:
    """The base and further orders of the same candidates, where the study asks for any."""

    study: Study

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The base and the other input orders; none where the study asks for none."""
        return (BASE, *self.study.orders) if self.study.orders else ()

    def signals(self, wildcards: Wildcards) -> list[str]:
        """The files of the signal of every order."""
        names = wildcards.collection, wildcards.model
        return [path for order in self.names for path in places.signal(self.study, *names, order)]

    def by_order(self, collection: str, signals: list[str]) -> list[str]:
        """`order=path` of these files."""
        n = places.shards(self.study, collection)
        return named((order for order in self.names for _ in range(n)), signals)

    def of_signals(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`order=path` of the input `signals`."""
        return self.by_order(wildcards.collection, input.signals)

    @cached_property
    def shuffled(self) -> list[str]:
        """Which of the orders are seeded shuffles."""
        return ["--shuffled", *self.study.shuffles] if self.study.shuffles else []

    def qrels(self, wildcards: Wildcards) -> str:
        """The judgements of the queries that run in every order."""
        order = next(iter(self.study.orders), BASE)
        return f"<results>/{wildcards.collection}/candidates/{order}.qrels.txt"

    @cached_property
    def windows(self) -> list[str]:
        """The windows that whole-list attention is ranked with."""
        own = whole_list_windows(systems(self.study, BASE))
        return [parse_system(name).window for name in (ALL_LAYERS, *own)]

    def selections(self, wildcards: Wildcards) -> list[str]:
        """Files of those of them that a rule chooses."""
        rules = [rule for window in self.windows if (rule := rule_of(window))]
        return [places.selection(wildcards.collection, wildcards.model, rule) for rule in rules]

    def heads(self, wildcards: Wildcards) -> list[str]:
        """Files of the heads for which the stored signal answers; none under the masked strategy."""
        runs = systems(self.study, BASE)
        rules = [head_rule_of(str(runs[name].window)) for name in whole_list_heads(runs) if runs[name].cached]
        return places.heads(wildcards.collection, wildcards.model, [rule for rule in rules if rule])

    @cached_property
    def tables(self) -> list[str]:
        """Windows over orders, of every pair; none where the study has no further orders."""
        return places.every(self.study, f"{PAIR}/orders/windows.tsv") if self.names else []
