"""What the rules ask of prompts and the stored signal (rules/attention.smk, and all that read a signal)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from layerrank.study import config as settings
from layerrank.study import memory
from layerrank.study.config import Study
from layerrank.study.paths import places
from layerrank.study.paths.places import Wildcards, variant_of
from layerrank.study.paths.words import as_json, flags


@dataclass(frozen=True)
class Attention:
    """Prompts, and the signal that everything about layers follows from."""

    study: Study

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """`base`, then every variant that has a signal: some orders have nothing else."""
        return (settings.BASE, *self.study.variants)

    def prompt(self, wildcards: Wildcards) -> list[str]:
        """Flags of everything that shapes a prompt and the forward pass."""
        names = wildcards.collection, wildcards.model, variant_of(wildcards)
        return flags(settings.prompt_settings(self.study, *names))

    def checked_prompt(self, wildcards: Wildcards) -> str:
        """What shapes the prompts of a variant, whatever they are computed in."""
        found = settings.prompt_settings(self.study, wildcards.collection, wildcards.model, wildcards.variant)
        return as_json({key: value for key, value in found.items() if key != "dtype"})

    def signal(self, wildcards: Wildcards) -> list[str]:
        """The files of the signal of the variant, or of the base where there is none in the path."""
        return places.signal(self.study, wildcards.collection, wildcards.model, variant_of(wildcards))

    @cached_property
    def signals(self) -> list[str]:
        """The files of every stored signal of the study."""
        return [
            path
            for collection, model in self.study.read_pairs
            for variant in self.variants
            for path in places.signal(self.study, collection, model, variant)
        ]

    def memory(self, wildcards: Wildcards, threads: int, attempt: int) -> int:
        """Main memory of a job that reads the signal, in MB; it grows with each attempt."""
        names = wildcards.collection, wildcards.model, variant_of(wildcards)
        return memory.of_reading(self.study, *names, threads) * attempt

    @cached_property
    def explored(self) -> bool:
        """Whether the study has an explorer, which shows the signal of a query."""
        return int(self.study.config["explorer"]["queries"]) > 0

    def parts(self, wildcards: Wildcards) -> list[str]:
        """Flags of what the stored signal holds beside the rest, and what not.

        What N/A alone pays each token is kept of the order whose tokens a page shows; each head's masked sums are left
        out where the study says so.
        """
        shown = wildcards.variant == "base" and self.explored and self.study.config["explorer"]["tokens"] == "all"
        return ["--na-tokens"] * shown + ["--no-masked"] * (not self.study.config["heads"]["masked"])
