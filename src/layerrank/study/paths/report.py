"""What the rules of the report ask for, and what it holds (rules/report/)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.io import expand, multiext, report

from layerrank.study import config as settings
from layerrank.study.config import Study
from layerrank.study.paths import places
from layerrank.study.paths.evaluation import Evaluation
from layerrank.study.paths.heads import HeadSets
from layerrank.study.paths.layers import Layers, Transfer
from layerrank.study.paths.places import Wildcards
from layerrank.study.paths.words import as_json, flags, without


@dataclass(frozen=True)
class Items:
    """Outputs that stand in the report; `base` is the folder of the checkout, which has their captions."""

    study: Study
    base: Path

    def figure(self, path: str, caption: str, category: str, label: str) -> list[str]:
        """Outputs `svg` and `pdf` of a figure's rule: the SVG stands in the report, the PDF beside it."""
        svg, pdf = multiext(f"<results>/figures/{path}", svg=".svg", pdf=".pdf")
        return [report(svg, **self._shown(path, caption, category, label)), pdf]

    def table(self, path: str, caption: str, category: str, label: str) -> list[str]:
        """Outputs `tsv`, `html`, `tex` and `md` of a table's rule: it goes into the report as data and as a page."""
        endings = {"tsv": ".tsv", "html": ".html", "tex": ".tex", "md": ".md"}
        data, page, *others = multiext(f"<results>/tables/{path}", **endings)
        data = report(data, **self._shown(path, caption, category, f"{label}: data"))
        return [data, report(page, **self._shown(path, caption, category, f"{label}: table")), *others]

    def answer(self, name: str, category: str) -> str:
        """Output of a rule that answers one of the study's questions on a page."""
        path = f"<results>/answers/{name}.html"
        return report(path, **self._shown("", f"answer_{name}", category, "★ the answer"))

    def page(self, path: str, caption: str, category: str, label: str) -> str:
        """Output of a rule that writes one HTML page."""
        return report(f"<results>/{path}.html", **self._shown(path, caption, category, label))

    def title(self, wildcards: Wildcards) -> str:
        """The title of a figure or page of one model on one collection, by their labels where they have some."""
        model = self.study.models[wildcards.model].get("label", wildcards.model)
        return f"{model} on {self.study.collections[wildcards.collection].get('label', wildcards.collection)}"

    def _shown(self, path: str, caption: str, category: str, label: str) -> dict[str, Any]:
        """What the report says of an item: its caption and category, what it is, and the wildcards of its path."""
        told = {  # what is the same all over a study takes the room of what is shown
            "collection": len(self.study.config["collections"]) > 1,
            "model": len(self.study.config["models"]) > 1,
            "variant": True,
        }
        labels = {name: f"{{{name}}}" for name, several in told.items() if several and f"{{{name}}}" in path}
        within = {"within": "{kind} {fixed}"} if "{fixed}" in path else {}
        return {
            "caption": str(self.base / "workflow/report" / f"{caption}.rst"),
            "category": category,
            "labels": {"item": label, **labels, **within},
        }


@dataclass(frozen=True)
class Report:
    """Every answer, figure and table of the study, and what they say of tests."""

    study: Study
    layers: Layers
    transfer: Transfer
    head_sets: HeadSets
    evaluation: Evaluation

    @cached_property
    def tests(self) -> list[str]:
        """What an answer calls significant."""
        tests = self.study.config["evaluation"]
        return flags({key: tests[key] for key in ("test", "alpha")})

    @cached_property
    def marks(self) -> list[str]:
        """What marks significance in tables."""
        tests = self.study.config["evaluation"]
        return flags({key: tests[key] for key in ("baseline", "test", "alpha")})

    @cached_property
    def caveats(self) -> list[str]:
        """What to know of the judgements and models, below the table of means."""
        found = settings.caveats(self.study)
        return ["--caveats", *found] if found else []

    @cached_property
    def settings(self) -> str:
        """The configuration with its defaults, and the catalogue entries that it names, for the manifest.

        Of models that are served without where: what answered there is in their trials.
        """
        study = self.study
        entries = {**study.models, **study.trained}
        models = {name: without(entry, settings.WHERE) for name, entry in entries.items()}
        defined = {name: without(entry, settings.WHERE) for name, entry in study.config["define"]["models"].items()}
        config = study.config | {"define": study.config["define"] | {"models": defined}}
        return as_json({"config": config, "collections": study.collections, "models": models})

    # What the report holds.

    @cached_property
    def answers(self) -> list[str]:
        """The page of each question, where the study has what it needs."""
        names = ["where", "windows", *["choice"] * bool(self.layers.selections)]
        names += ["mechanisms"] * self._has_grid
        names += ["place"] * self._has_orders
        names.append("caveats")
        return expand("<results>/answers/{name}.html", name=names)

    @cached_property
    def figures(self) -> list[str]:
        """Every figure of the report."""
        study, shown = self.study, self.evaluation.shown
        own = ["profile", "sweep", "neighbours", "diagnostics"]
        own += ["latency"] * bool(study.config["latency"]["windows"])
        own += ["shares", "stability", "slopes"] * self._has_orders
        own += ["heads", "head_counts"] * self._has_heads
        return [
            *places.every(study, "<results>/figures/{collection}/{model}/{figure}.svg", figure=own),
            *places.ranked(study, "<results>/figures/{collection}/{model}/pareto.{variant}.svg", shown),
            *expand("<results>/figures/effectiveness.{variant}.svg", variant=shown),
            *expand("<results>/figures/transfer/{name}.svg", name=self.transfer.names),
            "<results>/figures/depth.svg",
        ]

    @cached_property
    def tables(self) -> list[str]:
        """Every table of the report."""
        names = [
            *expand("{table}.{variant}", table=["effectiveness", "comparison"], variant=self.evaluation.shown),
            *["shape", "costs", "outcomes", "diagnostics", "audit"],
            *["selection"] * bool(self.layers.selections),
            *["published"] * self.has_published,
            *["grid"] * self._has_grid,
            *["sensitivity"] * bool(self.evaluation.sensitivity),
            *["orders"] * self._has_orders,
            *["heads", "head_agreement"] * self._has_heads,
            *["head_transfer"] * bool(self.head_sets.transferred),
            *expand("transfer/{name}", name=self.transfer.names),
        ]
        return expand("<results>/tables/{name}.html", name=names)

    @cached_property
    def has_published(self) -> bool:
        """Whether a figure is published of what the study measures."""
        from layerrank.report.tables.published import published_figures

        config = self.study.config
        names = {*config["evaluation"]["measures"], *self.layers.measures}
        return any(
            figure.measure in names
            and any(
                collection == figure.collection and figure.model in ("", model)
                for collection, model in self.study.pairs
            )
            for figure in published_figures()
        )

    @cached_property
    def _has_grid(self) -> bool:
        return bool(self.study.config["systems"]["frameworks"])

    @cached_property
    def _has_heads(self) -> bool:
        return bool(self.head_sets.heads.rules)

    @cached_property
    def _has_orders(self) -> bool:
        return bool(self.study.orders)
