"""What the explorer's rule asks for, and the links between its pages and the answers (rules/report/explorer.smk)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snakemake.common import get_report_id

from layerrank.core.windows import ALL, selected_by
from layerrank.study import config as settings
from layerrank.study.config import BASE, Study
from layerrank.study.paths import places
from layerrank.study.paths.attention import Attention
from layerrank.study.paths.places import PAIR, Input, Wildcards
from layerrank.study.paths.ranking import Ranking
from layerrank.study.paths.report import Report
from layerrank.study.paths.words import named


@dataclass(frozen=True)
class Explorer:
    """A page for each collection and model, on which a query's signal is shown."""

    study: Study
    attention: Attention
    ranking: Ranking
    report: Report

    @cached_property
    def pages(self) -> list[str]:
        """The pages, where the study shows any query."""
        return (
            places.every(self.study, "<results>/explorer/{collection}/{model}.html") if self.attention.explored else []
        )

    @cached_property
    def orders(self) -> Mapping[str, str]:
        """The variants that show the base's candidates in another order, by what a page calls them; the base first."""
        base = settings.variant_settings(self.study, BASE)
        free = ("order", "seed", "queries", "strategy")
        same = [
            variant
            for variant in self.attention.variants
            if {k: v for k, v in settings.variant_settings(self.study, variant).items() if k not in free}
            == {k: v for k, v in base.items() if k not in free}
            and settings.signal_variant(self.study, variant) == variant
        ]
        return {variant: variant.removeprefix("order-") if variant != BASE else base["order"] for variant in same}

    def signals(self, wildcards: Wildcards) -> list[str]:
        """The signals of every order that a page shows."""
        names = wildcards.collection, wildcards.model
        return [path for variant in self.orders for path in places.signal(self.study, *names, variant)]

    def of_signals(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`order=path` of the input `signals`."""
        each = places.shards(self.study, wildcards.collection)
        return named((label for label in self.orders.values() for _ in range(each)), input.signals)

    @cached_property
    def shares(self) -> list[str]:
        """The table whose shares of passage and place stand behind the slider, where the study has orders."""
        return [f"{PAIR}/orders/sweep.tsv"] if self.study.orders else []

    def runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of every system that the report shows."""
        folder = f"<results>/{wildcards.collection}/{wildcards.model}/runs"
        return [f"{folder}/{variant}/{name}.txt" for variant, name in self._systems]

    def of_runs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `runs`; those of a variant are named by it."""
        labels = (name if variant == BASE else f"{variant}: {name}" for variant, name in self._systems)
        return named(labels, input.runs)

    @cached_property
    def _systems(self) -> list[tuple[str, str]]:
        """Variant and system of the runs that a page can stand beside a window."""
        return [(variant, name) for variant in self.report.evaluation.shown for name in self.ranking.systems[variant]]

    @cached_property
    def windows(self) -> list[str]:
        """Windows that a page offers: those of selection rules, the first of which it opens with, then the others."""
        cached = self.study.config["systems"]["cached_windows"]
        return list(dict.fromkeys([*map(selected_by, self.report.layers.selections), ALL, *cached]))

    @cached_property
    def links(self) -> list[str]:
        """The answers that a page leads to."""
        return [self._link(Path(page).stem, page, "../..") for page in self.report.answers]

    @cached_property
    def answer_links(self) -> list[str]:
        """The pages that each answer leads to."""
        found = []
        for page in self.pages:
            collection, model = Path(page).parts[-2], Path(page).stem
            found.append(self._link(f"{model} on {collection}", page, ".."))
        return found

    def _link(self, label: str, page: str, up: str) -> str:
        """`label=address|address in a zipped report` of a page, seen from one that lies `up` from the results."""
        path = page.replace("<results>", str(self.study.config["results"]))
        reported = f"../{get_report_id(path)[:16]}/{Path(page).name}"
        return f"{label}={up}/{page.removeprefix('<results>/')}|{reported}"
