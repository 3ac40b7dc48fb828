"""What the rules ask of systems and their runs (rules/ranking.smk, rules/windows.smk, rules/shards.smk)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from layerrank.study import memory
from layerrank.study.config import BASE, Study
from layerrank.study.paths import places
from layerrank.study.paths.models import Models
from layerrank.study.paths.places import PAIR, Input, Wildcards, variant_of
from layerrank.study.paths.words import as_json, flags, in_variants, one_of
from layerrank.study.systems import PlannedRun, systems, trained, windows_together


@dataclass(frozen=True)
class Ranking:
    """Every system of the study: which rule runs it, and with which flags."""

    study: Study
    models: Models

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """`base`, then the study's variants, those of other orders among them that systems run in."""
        own = self.study.config["variants"] | self.study.grid_orders
        return (BASE, *own)

    @cached_property
    def systems(self) -> Mapping[str, Mapping[str, PlannedRun]]:
        """What each variant runs, by name."""
        return {variant: systems(self.study, variant) for variant in self.variants}

    @cached_property
    def together(self) -> Mapping[str, Mapping[str, tuple[PlannedRun, ...]]]:
        """The cells of each variant whose windows one job reads, by the name that their systems share."""
        return {variant: windows_together(runs, self._windows) for variant, runs in self.systems.items()}

    @cached_property
    def trained(self) -> Mapping[str, PlannedRun]:
        """How each model that was trained to rank runs, by the model's name."""
        return trained(self.study)

    # Which rule runs what.

    def systems_where(self, *, cached: bool, alone: bool = False) -> str:
        """A pattern of the systems that the stored signal answers, or that need the model, each in its own variants.

        It is for the wildcard `system` of a path `…/{variant}/{system}…`, whose variant it looks back at. `alone`
        leaves those out whose windows one job reads.
        """
        found = {}
        for variant, runs in self.systems.items():
            left_out = {run.name for own in self.together[variant].values() for run in own} if alone else set()
            found[variant] = [run.name for run in runs.values() if run.cached == cached and run.name not in left_out]
        return in_variants(found)

    @cached_property
    def cells(self) -> str:
        """A pattern of the cells whose windows one job reads: the wildcard `cell` of a path `…/{variant}/{cell}-…`."""
        return in_variants(self.together)

    def collections_where(self, *, sharded: bool) -> str:
        """A pattern of the collections whose online cells run as several jobs, or as one."""
        split = self.study.config["systems"]["sharded"]
        found = [name for name in self.study.collections if (split and places.shards(self.study, name) > 1) == sharded]
        return one_of(found)

    # One system.

    def system(self, wildcards: Wildcards) -> PlannedRun:
        """What the system of a path is in its variant; of a cell in several windows, in the first."""
        if (cell := getattr(wildcards, "cell", None)) is not None:
            return self.together[wildcards.variant][cell][0]
        return self.systems[wildcards.variant][wildcards.system]

    def framework(self, wildcards: Wildcards) -> list[str]:
        """Flags of a system's framework."""
        run = self.system(wildcards)
        return flags({"framework": run.framework, "framework_settings": as_json(run.framework_settings)})

    def mechanism(self, wildcards: Wildcards) -> list[str]:
        """Flags of a system's mechanism."""
        run = self.system(wildcards)
        return flags({"mechanism": run.mechanism, "mechanism_settings": as_json(run.mechanism_settings)})

    def mechanism_settings(self, wildcards: Wildcards) -> str:
        """The settings of a system's mechanism alone."""
        return as_json(self.system(wildcards).mechanism_settings)

    def selection(self, wildcards: Wildcards) -> list[str]:
        """The file of the window or heads that a system uses, where a rule chooses them."""
        return places.chosen(wildcards.collection, wildcards.model, self.system(wildcards).window or "")

    def window(self, wildcards: Wildcards, input: Input) -> list[str]:
        """A system's window, and the input `selection` where it has one."""
        window = self.system(wildcards).window
        return flags({"window": window, "selection": next(iter(input.selection), None)})

    def memory(self, wildcards: Wildcards, threads: int, attempt: int) -> int:
        """Main memory of a job that ranks by it, in MB; it grows with each attempt."""
        names = wildcards.collection, wildcards.model, wildcards.variant
        return memory.of_ranking(self.study, self.system(wildcards), *names, threads) * attempt

    def failures_allowed(self, wildcards: Wildcards) -> float:
        """Share of answers that may fail: of a whole run, which parts are not judged by."""
        return 1.0 if hasattr(wildcards, "shard") else float(self.study.config["systems"]["max_failure_rate"])

    def trained_flags(self, wildcards: Wildcards) -> list[str]:
        """Flags of a model that was trained to rank: its mechanism, what it computes in, its name in the tables."""
        run = self.trained[wildcards.ranker]
        return flags(
            {
                "framework": run.framework,
                "mechanism": run.mechanism,
                "mechanism_settings": as_json(run.mechanism_settings),
                "dtype": self.models.entries[wildcards.ranker]["dtype"],
                "tag": run.name,
            }
        )

    def trained_memory(self, wildcards: Wildcards, threads: int, attempt: int) -> int:
        """Main memory of a job that runs such a model, in MB; it grows with each attempt."""
        run, names = self.trained[wildcards.ranker], (wildcards.collection, wildcards.ranker, variant_of(wildcards))
        return memory.of_ranking(self.study, run, *names, threads) * attempt

    # A cell in every window of the grid.

    @cached_property
    def _windows(self) -> tuple[str, ...]:
        """The windows of the grid's attention cells."""
        return tuple(self.study.config["systems"]["windows"])

    def window_runs(self, ending: str, part: str = "") -> list[str]:
        """The runs of a cell in every window of the grid, or their costs; `part` names the shard."""
        return [f"{PAIR}/runs/{{variant}}/{{cell}}-{window}{part}.{ending}" for window in self._windows]

    def window_selections(self, wildcards: Wildcards) -> list[str]:
        """The files of those of these windows that a rule chooses."""
        pair = wildcards.collection, wildcards.model
        return [path for window in self._windows for path in places.chosen(*pair, window)]

    def windows(self, wildcards: Wildcards, input: Input) -> list[str]:
        """These windows, the input `selections`, and the name of the system of each window."""
        chosen = ["--selection", *input.selections] if input.selections else []
        tags = [f"{wildcards.cell}-{window}" for window in self._windows]
        return ["--window", *self._windows, *chosen, "--tag", *tags]

    def windows_runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Minutes of a job that ranks in all these windows: those of one, for each."""
        return self.models.runtime(wildcards, attempt) * len(self._windows)

    # Runs in parts.

    def shard(self, wildcards: Wildcards) -> list[str]:
        """Which part of the queries a job ranks."""
        return flags({key: getattr(wildcards, key, None) for key in ("shard", "shards")})

    def parts(self, ending: str) -> Callable[[Wildcards], list[str]]:
        """A function that returns the parts of a run, or of its costs."""

        def get(wildcards: Wildcards) -> list[str]:
            n = places.shards(self.study, wildcards.collection)
            return [f"{PAIR}/runs/{{variant}}/{{system}}.shard-{i}-of-{n}.{ending}" for i in range(n)]

        return get
