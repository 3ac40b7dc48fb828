"""What the rules ask of models: folders, checks, and what a job that runs one asks for (rules/models.smk)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.io import expand

from layerrank.core.errors import UserError
from layerrank.core.windows import ALL, fixed_window, rule_of
from layerrank.models.identity import folder_name, pinned
from layerrank.study import config as settings
from layerrank.study import memory
from layerrank.study.config import Study
from layerrank.study.paths.places import PROMPTS, TRIAL, Input, Wildcards, model_of
from layerrank.study.paths.words import as_json, flags, named, one_of


@dataclass(frozen=True)
class Models:
    """Models at hand, served and trained to rank; `cache` is the folder that they are fetched into."""

    study: Study
    cache: Path

    @cached_property
    def entries(self) -> Mapping[str, Any]:
        """The catalogue entries of all models, those that were trained to rank among them."""
        return {**self.study.models, **self.study.trained}

    @cached_property
    def folders(self) -> Mapping[str, str]:
        """The folder of each of these in the cache, which its name ties to what it is made from.

        Raises:
            UserError: a folder that a model is to come from is absent, or is not what its entry says.
        """
        return {
            name: f"<resources>/models/{folder_name(name, settings.model_source(entry), self.cache)}"
            for name, entry in self.entries.items()
        }

    def folder(self, wildcards: Wildcards) -> str:
        """The folder of the job's model."""
        return self.folders[model_of(wildcards)]

    def of_models(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `models`."""
        return named(self.folders, input.models)

    def source(self, wildcards: Wildcards) -> str:
        """What fetching a model depends on: where it comes from and what lies there, not how it is prompted.

        Raises:
            UserError: a folder in the cache that is of another source.
        """
        name = wildcards.model
        if self.folders[name] != f"<resources>/models/{name}-{wildcards.identity}":
            raise UserError(
                f"model {name!r}: its folder is {self.folders[name]}, not one that ends in {wildcards.identity}"
            )
        return as_json(pinned(name, settings.model_source(self.entries[name]), self.cache))

    def where(self, *, served: bool) -> str:
        """A pattern of the models that are served, or that are at hand."""
        return one_of(name for name in self.study.models if (name in self.study.served) == served)

    # What must hold before a model ranks.

    @cached_property
    def asked(self) -> str:
        """Windows and heads that the configuration spells out, by their keys: what a model has to have."""
        config = self.study.config
        named = {
            "systems.cached_windows": config["systems"]["cached_windows"],
            "systems.windows": config["systems"]["windows"],
            "latency.windows": config["latency"]["windows"],
        }
        windows = {key: [name for name in names if fixed_window(name)] for key, names in named.items()}
        for name, rule in config["layers"]["selection"].items():
            if "window" in rule:
                windows[f"layers.selection.{name}.window"] = [rule["window"]]
        said = {f"mechanisms.{name}": entry for name, entry in config["systems"]["mechanisms"].items()}
        cells = {name: entry for name, entry in config["systems"]["cells"].items() if entry}
        said |= {f"cells.{name}.mechanism": entry.get("mechanism", {}) for name, entry in cells.items()}
        heads = {
            f"systems.{key}.heads": entry["heads"] for key, entry in said.items() if entry.get("heads") is not None
        }
        top = {}
        for name, rule in config["heads"]["selection"].items():
            window = rule.get("window", ALL)
            if rule_of(window) is None:
                windows[f"heads.selection.{name}.window"] = [window]
            top[f"heads.selection.{name}.top"] = rule["top"], ALL if rule_of(window) else window
        return as_json({"windows": windows, "heads": heads} | ({"top": top} if top else {}))

    def check(self, wildcards: Wildcards) -> str:
        """What must hold before a model ranks: its prompts fit, or its server honours what it is asked for."""
        return TRIAL if wildcards.model in self.study.served else PROMPTS

    def trial_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `check` of a model that is served."""
        return flags({"trial": input.check}) if wildcards.model in self.study.served else []

    @cached_property
    def trials(self) -> list[str]:
        """The trials of all models that are served."""
        return expand(TRIAL, model=self.study.served)

    def of_trials(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `trials`."""
        return named(self.study.served, input.trials)

    def served_flags(self, results: Path) -> list[str]:
        """Where models are served, what may be spent, and the file that counts it: no job's parameters.

        None of it changes a result.
        """
        study = self.study
        if not study.served:
            return []
        own = {name: study.models[name] for name in study.served}
        told = {name: {key: entry[key] for key in settings.WHERE if key in entry} for name, entry in own.items()}
        limits = {key: value for key, value in study.config["served"].items() if value is not None}
        return flags(
            {"servers": as_json(told), **({"spent": results / "models" / "spent.json"} if limits else {}), **limits}
        )

    # What a job that runs the model asks for.

    def gpus(self, wildcards: Wildcards) -> int:
        """GPUs of the job."""
        return int(self.entries[model_of(wildcards)]["gpus"])

    def threads(self, wildcards: Wildcards) -> int:
        """Its processor threads."""
        return int(self.study.models[wildcards.model]["threads"])

    def memory(self, wildcards: Wildcards, attempt: int) -> int:
        """Its main memory, in MB, where the model is served: what its entry states."""
        return memory.stated(self.entries[model_of(wildcards)]) * attempt

    def runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Its time, in minutes."""
        return int(self.entries[model_of(wildcards)]["runtime"]) * attempt
