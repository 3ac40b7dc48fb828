"""What the rules of collections and of the first stage ask for (rules/collections.smk, rules/first_stage.smk)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from snakemake.io import local

from layerrank.collections import prepared
from layerrank.core.errors import UserError
from layerrank.layers.head_rules import parse_head_rule
from layerrank.layers.rules import parse_rule
from layerrank.study import config as settings
from layerrank.study.config import Study
from layerrank.study.paths.places import Input, Wildcards
from layerrank.study.paths.words import as_json, flags, named


@dataclass(frozen=True)
class Collections:
    """Topics, judgements and texts, the first stage's figures, and candidates."""

    study: Study

    @cached_property
    def sources(self) -> Mapping[str, list[str]]:
        """Files of each collection that lie in a folder of the user's.

        Raises `UserError` that names the entry and what is missing.
        """
        found = {}
        for name, entry in self.study.collections.items():
            try:
                found[name] = prepared.inputs(name, entry)
            except UserError as error:
                raise UserError(f"collections entry {name}: {error}") from None
        return found

    def sources_of(self, wildcards: Wildcards) -> list[str]:
        """Those of a collection: a change of theirs is a change of the study."""
        return [local(path) for path in self.sources[wildcards.collection]]

    def digests(self, wildcards: Wildcards) -> str:
        """Digests of those files: one that was replaced under an older time stamp is a change all the same."""
        entry = self.study.collections[wildcards.collection]
        return as_json(prepared.input_digests(wildcards.collection, entry, Path(self.study.config["cache"])))

    def identity(self, wildcards: Wildcards) -> str:
        """What a collection is made from: not how it is judged, split into jobs or named."""
        return as_json(prepared.identity(wildcards.collection, self.study.collections[wildcards.collection]))

    def queries(self, wildcards: Wildcards) -> list[str]:
        """How many of a collection's judged queries the study runs, and the seed that draws them."""
        limit = settings.query_limit(self.study, wildcards.collection)
        return flags({"query_limit": limit, "seed": self.study.config["queries"]["seed"]})

    @cached_property
    def asked(self) -> str:
        """Folds and queries that the configuration spells out, by their keys: what a collection has to have."""
        config = self.study.config
        windows, heads = config["layers"]["selection"], config["heads"]["selection"]
        said = {f"layers.selection.{name}": parse_rule(rule).settings for name, rule in windows.items()}
        said |= {f"heads.selection.{name}": parse_head_rule(rule).settings for name, rule in heads.items()}
        by_folds = {key: own for key, own in said.items() if own.get("chosen_on") == "folds"}
        folds = {f"{key}.folds": max(2, own.get("folds", 2)) for key, own in by_folds.items()}
        chosen = config["explorer"]["chosen"] if config["explorer"]["queries"] else []
        return as_json({"folds": folds, "queries": {"explorer.chosen": [] if isinstance(chosen, str) else chosen}})

    def expected(self, wildcards: Wildcards) -> str:
        """What a first stage is held against: the figures that the catalogue expects, and from which grade on."""
        entry = self.study.collections[wildcards.collection]
        return as_json({key: entry[key] for key in ("expected", "relevance_level") if key in entry})

    def candidates(self, wildcards: Wildcards) -> list[str]:
        """What a variant's candidates are: how many, how long, in which order, of which queries."""
        own = settings.variant_settings(self.study, wildcards.variant)
        seed = self.study.config["queries"]["seed"] if own["queries"] is not None else None
        return flags(
            {
                "depth": own["depth"],
                "order": own["order"],
                "seed": own["seed"],
                "words": settings.passage_words(self.study, wildcards.collection, wildcards.variant),
                "titles": as_json(self.study.collections[wildcards.collection]["titles"]),
                "query_limit": own["queries"],
                "query_seed": seed,
            }
        )

    def relevance_level(self, wildcards: Wildcards) -> int:
        """The lowest grade that binary measures count as relevant."""
        return int(self.study.collections[wildcards.collection]["relevance_level"])

    def of_collections(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `collections`."""
        return named(self.study.collections, input.collections)

    def of_first_stages(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `first_stages`."""
        return named(self.study.collections, input.first_stages)
