"""Where a study's results lie, and what its rules ask for: input functions, settings and words of command lines.

Rules take the methods of `Paths` as they are: each is given a job's wildcards, and its input where it asks for it.
Paths begin with `<results>` or `<resources>`, which Snakemake replaces. A list is to be quoted word by word where a
shell reads it (`{params.runs:q}`).
"""

from __future__ import annotations

import gc
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.common import get_report_id
from snakemake.io import expand, local, multiext, report

from layerrank.collections import prepared
from layerrank.core.errors import UserError
from layerrank.core.systems import ALL_LAYERS, parse_system, whole_list_heads, whole_list_windows
from layerrank.core.windows import ALL, fixed_window, head_rule_of, rule_of, selected_by
from layerrank.evaluation import measures
from layerrank.layers.head_rules import HeadRule, head_strategy, parse_head_rule, scoring
from layerrank.layers.rules import parse_rule
from layerrank.models.identity import folder_name, pinned
from layerrank.study import config as settings
from layerrank.study.config import Study
from layerrank.study.systems import PlannedRun, systems, systems_of, trained, windows_together

Wildcards = Any
"""A job's wildcards: attributes collection, model, identity, variant, system, cell, selection, heads, shard, shards,
kind, fixed."""

Input = Any
"""A job's input files, by name."""

PAIR = "<results>/{collection}/{model}"
PROMPTS = f"{PAIR}/prompts/{{variant}}.json"
NOTHING = "(?!)"
"""A pattern that nothing is like."""


def as_json(value: Any) -> str:
    """A setting as one word, with sorted keys, so that equal settings are equal parameters."""
    return json.dumps(value, sort_keys=True)


def without(entry: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The entry but for these keys."""
    return {key: value for key, value in entry.items() if key not in keys}


def named(names: Iterable[str], paths: Iterable[str]) -> list[str]:
    """`name=path` of each."""
    return [f"{name}={path}" for name, path in zip(names, paths, strict=True)]


def one_of(names: Iterable[str]) -> str:
    """A pattern of these names, for a wildcard."""
    found = "|".join(re.escape(name) for name in names)
    return f"(?:{found})" if found else NOTHING


def flags(values: Mapping[str, Any]) -> list[str]:
    """`--query-span VALUE` of each; a value None says nothing."""
    return [
        word
        for key, value in sorted(values.items())
        if value is not None
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]


@dataclass(frozen=True)
class Paths:
    """Paths, settings and flags of a study; `base` is the folder of the checkout, `cache` that of models."""

    study: Study
    base: Path
    cache: Path

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """`base`, then the study's variants, those of other orders among them that systems run in."""
        own = self.study.config["variants"] | self.study.grid_orders
        return (settings.BASE, *own)

    @cached_property
    def every_variant(self) -> tuple[str, ...]:
        """All of these, and the orders that have a signal alone."""
        return (settings.BASE, *self.study.variants)

    @cached_property
    def systems(self) -> Mapping[str, Mapping[str, PlannedRun]]:
        """What each variant runs, by name."""
        return {variant: systems(self.study, variant) for variant in self.variants}

    @cached_property
    def trained(self) -> Mapping[str, PlannedRun]:
        """How each model that was trained to rank runs, by the model's name."""
        return trained(self.study)

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """The variants whose systems the report shows one by one."""
        return tuple(dict.fromkeys(["base", self.study.config["systems"]["variant"]]))

    @cached_property
    def sensitivity(self) -> Mapping[str, Any]:
        """The other variants with what they change; those in other orders with the order alone."""
        own = self.study.config["variants"] | {
            name: {key: changed[key] for key in ("order", "seed") if key in changed}
            for name, changed in self.study.grid_orders.items()
        }
        over = {settings.OVER_ORDERS: {"order": f"mean over {len(self.orders)}"}} if self.orders else {}
        return {name: changed for name, changed in (own | over).items() if name not in self.shown}

    @cached_property
    def held_against(self) -> list[str]:
        """`variant=other` of variants that are held against another one than the base."""
        grid = self.study.config["systems"]["variant"]
        return [f"{name}={grid}" for name in self.study.grid_orders if grid != settings.BASE]

    # What exists once for each pair of a collection and a model, or for the whole study.

    def every(self, pattern: str, variants: Sequence[str] = ("base",), **others: Sequence[str]) -> list[str]:
        """The pattern for each pair whose layers can be read, and each variant; `others` are further names in it."""
        return [
            path
            for collection, model in self.study.read_pairs
            for path in expand(pattern, collection=collection, model=model, variant=variants, **others)
        ]

    def ranked(self, pattern: str, variants: Sequence[str] = ("base",)) -> list[str]:
        """The pattern for each pair of the study, and each variant in which its model runs any system."""
        return [
            path
            for collection, model in self.study.pairs
            for path in expand(
                pattern,
                collection=collection,
                model=model,
                variant=[variant for variant in variants if systems_of(self.study, model, variant)],
            )
        ]

    def of_collections(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `collections`."""
        return named(self.study.collections, input.collections)

    def of_first_stages(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `first_stages`."""
        return named(self.study.collections, input.first_stages)

    def of_models(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `models`."""
        return named(self.models, input.models)

    @cached_property
    def signals(self) -> list[str]:
        """The files of every stored signal of the study."""
        return [
            path
            for collection, model in self.study.read_pairs
            for variant in self.every_variant
            for path in self.signal_of(collection, model, variant)
        ]

    @cached_property
    def downloads(self) -> list[str]:
        """What a study needs from elsewhere, for machines without a network: models, collections, indexes."""
        return [*self.models.values(), *expand("<results>/{collection}/index", collection=self.study.collections)]

    @cached_property
    def settings(self) -> str:
        """The configuration with its defaults, and the catalogue entries that it names.

        Of models that are served without where: what answered there is in their trials.
        """
        study = self.study
        models = {name: without(entry, settings.WHERE) for name, entry in self._entries.items()}
        defined = {name: without(entry, settings.WHERE) for name, entry in study.config["define"]["models"].items()}
        config = study.config | {"define": study.config["define"] | {"models": defined}}
        return as_json({"config": config, "collections": study.collections, "models": models})

    # Collections and candidates.

    def expected_figures(self, wildcards: Wildcards) -> str:
        """What a first stage is held against: the figures that the catalogue expects, and from which grade on."""
        entry = self.study.collections[wildcards.collection]
        return as_json({key: entry[key] for key in ("expected", "relevance_level") if key in entry})

    def collection_identity(self, wildcards: Wildcards) -> str:
        """What a collection is made from: not how it is judged, split into jobs or named."""
        return as_json(prepared.identity(wildcards.collection, self.study.collections[wildcards.collection]))

    def query_flags(self, wildcards: Wildcards) -> list[str]:
        """How many of a collection's judged queries the study runs, and the seed that draws them."""
        limit = settings.query_limit(self.study, wildcards.collection)
        return flags({"query_limit": limit, "seed": self.study.config["queries"]["seed"]})

    def collection_sources(self, wildcards: Wildcards) -> list[str]:
        """Files of a collection that lie in a folder of the user's: a change of theirs is a change of the study."""
        return [local(path) for path in self.sources[wildcards.collection]]

    @cached_property
    def sources(self) -> Mapping[str, list[str]]:
        """Those files, of each collection. Raises `UserError` that names the entry and what is missing."""
        found = {}
        for name, entry in self.study.collections.items():
            try:
                found[name] = prepared.inputs(name, entry)
            except UserError as error:
                raise UserError(f"collections entry {name}: {error}") from None
        return found

    def collection_digests(self, wildcards: Wildcards) -> str:
        """Digests of those files: one that was replaced under an older time stamp is a change all the same."""
        entry = self.study.collections[wildcards.collection]
        return as_json(prepared.input_digests(wildcards.collection, entry, Path(self.study.config["cache"])))

    def candidate_flags(self, wildcards: Wildcards) -> list[str]:
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

    # Models, prompts and the stored signal.

    @cached_property
    def _entries(self) -> Mapping[str, Any]:
        """The catalogue entries of all models, those that were trained to rank among them."""
        return {**self.study.models, **self.study.trained}

    @cached_property
    def models(self) -> Mapping[str, str]:
        """The folder of each of these in the cache, which its name ties to what it is made from.

        Raises:
            UserError: a folder that a model is to come from is absent, or is not what its entry says.
        """
        return {
            name: f"<resources>/models/{folder_name(name, settings.model_source(entry), self.cache)}"
            for name, entry in self._entries.items()
        }

    def model(self, wildcards: Wildcards) -> str:
        """The folder of the model."""
        return self.models[_model(wildcards)]

    def models_where(self, *, served: bool) -> str:
        """A pattern of the models that are served, or that are at hand."""
        return one_of(name for name in self.study.models if (name in self.study.served) == served)

    def check(self, wildcards: Wildcards) -> str:
        """What must hold before a model ranks: its prompts fit, or its server honours what it is asked for."""
        return "<results>/models/{model}.json" if wildcards.model in self.study.served else PROMPTS

    def trial_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `check` of a model that is served."""
        return flags({"trial": input.check}) if wildcards.model in self.study.served else []

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

    @cached_property
    def trials(self) -> list[str]:
        """The trials of all models that are served."""
        return expand("<results>/models/{model}.json", model=self.study.served)

    def of_trials(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `trials`."""
        return named(self.study.served, input.trials)

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

    @cached_property
    def asked_queries(self) -> str:
        """Folds and queries that the configuration spells out, by their keys: what a collection has to have."""
        config = self.study.config
        rules = {f"layers.selection.{name}": parse_rule(rule) for name, rule in config["layers"]["selection"].items()}
        said = {key: rule.settings for key, rule in rules.items()}
        said |= {f"heads.selection.{name}": rule.settings for name, rule in self.head_rules.items()}
        by_folds = {key: own for key, own in said.items() if own.get("chosen_on") == "folds"}
        folds = {f"{key}.folds": max(2, own.get("folds", 2)) for key, own in by_folds.items()}
        chosen = config["explorer"]["chosen"] if config["explorer"]["queries"] else []
        return as_json({"folds": folds, "queries": {"explorer.chosen": [] if isinstance(chosen, str) else chosen}})

    @cached_property
    def checks(self) -> list[str]:
        """What shows that collections and models have what the configuration names."""
        return [
            *expand("<results>/{collection}/collection/asked.json", collection=self.study.collections),
            *expand("<results>/models/{model}.json", model=self.study.models),
        ]

    def model_source(self, wildcards: Wildcards) -> str:
        """What fetching a model depends on: where it comes from and what lies there, not how it is prompted.

        Raises:
            UserError: a folder in the cache that is of another source.
        """
        name = wildcards.model
        if self.models[name] != f"<resources>/models/{name}-{wildcards.identity}":
            raise UserError(
                f"model {name!r}: its folder is {self.models[name]}, not one that ends in {wildcards.identity}"
            )
        return as_json(pinned(name, settings.model_source(self._entries[name]), self.cache))

    def gpus(self, wildcards: Wildcards) -> int:
        """GPUs of a job that runs the model."""
        return int(self._entries[_model(wildcards)]["gpus"])

    def threads(self, wildcards: Wildcards) -> int:
        """Processor threads of such a job."""
        return int(self.study.models[wildcards.model]["threads"])

    def memory(self, wildcards: Wildcards, attempt: int) -> int:
        """Main memory of such a job, in MB."""
        return int(self._entries[_model(wildcards)]["mem_mb"]) * attempt

    def runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Its time, in minutes."""
        return int(self._entries[_model(wildcards)]["runtime"]) * attempt

    def prompt_flags(self, wildcards: Wildcards) -> list[str]:
        """Flags of everything that shapes a prompt and the forward pass."""
        names = wildcards.collection, wildcards.model, _variant(wildcards)
        return flags(settings.prompt_settings(self.study, *names))

    def checked_prompt(self, wildcards: Wildcards) -> str:
        """What shapes the prompts of a variant, whatever they are computed in."""
        found = settings.prompt_settings(self.study, wildcards.collection, wildcards.model, wildcards.variant)
        return as_json({key: value for key, value in found.items() if key != "dtype"})

    def shards(self, collection: str) -> int:
        """Parts that a collection's signal is computed in."""
        return int(self.study.collections[collection]["shards"])

    def signal_of(self, collection: str, model: str, variant: str) -> list[str]:
        """The files of a variant's stored signal, by shard; variants that differ in scoring alone share one."""
        n, stored = self.shards(collection), settings.signal_variant(self.study, variant)
        folder = f"<results>/{collection}/{model}/attention"
        return [f"{folder}/{stored}.shard-{i}-of-{n}.arrow" for i in range(n)]

    def signal(self, wildcards: Wildcards) -> list[str]:
        """The files of the signal of the variant, or of the base where there is none in the path."""
        return self.signal_of(wildcards.collection, wildcards.model, _variant(wildcards))

    # Layers and windows.

    @cached_property
    def profile_measures(self) -> list[str]:
        """The measure that windows are chosen by, then those that are profiled beside it."""
        layers = self.study.config["layers"]
        lead = measures.parse(layers["measure"])
        return [layers["measure"], *(name for name in layers["profile"] if measures.parse(name) != lead)]

    @cached_property
    def selections(self) -> tuple[str, ...]:
        """The names of the rules that choose a window."""
        return tuple(self.study.config["layers"]["selection"])

    def selections_of(self, wildcards: Wildcards) -> list[str]:
        """Files of every selection rule, for one collection and model."""
        return [_selection(wildcards.collection, wildcards.model, name) for name in self.selections]

    def selection_rule(self, wildcards: Wildcards) -> str:
        """The settings of a selection rule."""
        return as_json(self.study.config["layers"]["selection"][wildcards.selection])

    def others(self, wildcards: Wildcards) -> list[str]:
        """The other collections of the study on which the window is chosen."""
        return settings.chosen_on(self.study, "layers", wildcards.selection, wildcards.collection, wildcards.model)

    def other_sweeps(self, wildcards: Wildcards) -> list[str]:
        """Their sweeps, over orders where the rule asks for these."""
        path = _order_sweep if self._over_orders(wildcards) else _sweep
        return [path(name, wildcards.model) for name in self.others(wildcards)]

    def _over_orders(self, wildcards: Wildcards) -> bool:
        return self.study.config["layers"]["selection"][wildcards.selection].get("orders") == "all"

    def over_orders(self, wildcards: Wildcards) -> list[str]:
        """The sweep over orders that a rule chooses by, where it asks for it."""
        return [_order_sweep(wildcards.collection, wildcards.model)] if self._over_orders(wildcards) else []

    def over_orders_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `over_orders`, where there is one."""
        return ["--over-orders", *input.over_orders] if input.over_orders else []

    def of_others(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `others`."""
        return named(self.others(wildcards), input.others)

    @cached_property
    def transferred(self) -> list[str]:
        """`model.NAME` or `collection.NAME` of what has several of the other, between which windows can be carried."""
        return [
            f"{kind}.{name}"
            for place, kind in enumerate(("collection", "model"))
            for name in dict.fromkeys(pair[place] for pair in self.study.read_pairs)
            if sum(pair[place] == name for pair in self.study.read_pairs) > 1
        ]

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

    def transfer_sweeps(self, wildcards: Wildcards) -> list[str]:
        """The sweeps between which windows are carried."""
        return [_sweep(collection, model) for collection, model, _ in self._carried(wildcards)]

    def of_transfer_sweeps(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `sweeps` by the name of what differs."""
        return named((name for _, _, name in self._carried(wildcards)), input.sweeps)

    def transfer_selections(self, wildcards: Wildcards) -> list[str]:
        """Windows chosen without judgements, which stand in the same matrix."""
        pairs = self._carried(wildcards)
        return [_selection(collection, model, rule) for collection, model, _ in pairs for rule in self._label_free]

    def of_transfer_selections(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `selections` by the name of what differs."""
        names = (name for _, _, name in self._carried(wildcards) for _ in self._label_free)
        return named(names, input.selections)

    def transfer_flags(self, wildcards: Wildcards) -> list[str]:
        """Whether the queries are those of one collection."""
        return ["--same-collection"] if wildcards.kind == "collection" else []

    # Heads.

    @cached_property
    def head_rules(self) -> Mapping[str, HeadRule]:
        """The rules that choose heads, by name."""
        rules = self.study.config["heads"]["selection"]
        return {name: parse_head_rule(rule) for name, rule in rules.items()}

    @cached_property
    def head_scorings(self) -> tuple[str, ...]:
        """The names of the rules whose scores others share, each the first that scores heads so."""
        return tuple(dict.fromkeys(map(self._scored_as, self.head_rules)))

    def _scored_as(self, rule: str) -> str:
        rules = self.head_rules
        return next(name for name in rules if scoring(rules[name]) == scoring(rules[rule]))

    def head_scoring(self, wildcards: Wildcards) -> str:
        """What a rule scores heads by, and nothing of how many it chooses."""
        return as_json(scoring(self.head_rules[wildcards.heads]))

    def head_orders(self, wildcards: Wildcards) -> list[str]:
        """The signals of every order, where a rule scores heads over them."""
        return self.order_signals(wildcards) if "orders" in self.head_rules[wildcards.heads].settings else []

    def head_orders_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `orders` by order, where there is any."""
        n = self.shards(wildcards.collection)
        names = (order for order in self.orders for _ in range(n))
        return ["--orders", *named(names, input.orders)] if input.orders else []

    def head_scores(self, wildcards: Wildcards) -> str:
        """The scores that a rule chooses by."""
        return _head_scores(
            wildcards.collection, wildcards.model, self._scored_as(wildcards.heads), _variant(wildcards)
        )

    def other_collections(self, wildcards: Wildcards) -> list[str]:
        """The other collections of the study on which a rule chooses heads."""
        return settings.chosen_on(self.study, "heads", wildcards.heads, wildcards.collection, wildcards.model)

    def other_head_scores(self, wildcards: Wildcards) -> list[str]:
        """Their scores."""
        scored, variant = self._scored_as(wildcards.heads), _variant(wildcards)
        return [_head_scores(name, wildcards.model, scored, variant) for name in self.other_collections(wildcards)]

    def of_other_heads(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `others`."""
        return named(self.other_collections(wildcards), input.others)

    def head_rule(self, wildcards: Wildcards) -> str:
        """The settings of a rule that chooses heads."""
        return as_json(self.study.config["heads"]["selection"][wildcards.heads])

    def head_windows(self, wildcards: Wildcards) -> list[str]:
        """The file of the selected windows that a rule chooses heads within, where it names one."""
        within = rule_of(self.head_rules[wildcards.heads].settings.get("window", ALL))
        return [] if within is None else [_selection(wildcards.collection, wildcards.model, within)]

    def head_windows_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `within`, where there is one."""
        return ["--within", *input.within] if input.within else []

    def heads_of(self, wildcards: Wildcards) -> list[str]:
        """What every rule chose, for one collection and model."""
        return _heads(wildcards.collection, wildcards.model, self.head_rules)

    def ranked_heads_of(self, wildcards: Wildcards) -> list[str]:
        """Every head that a rule allows, best first, of every rule, for one collection and model."""
        return _heads(wildcards.collection, wildcards.model, self.head_rules, ".ranked")

    @cached_property
    def ranked_heads(self) -> list[str]:
        """The same of every pair."""
        return [path for pair in self.study.read_pairs for path in _heads(*pair, self.head_rules, ".ranked")]

    def of_ranked_heads(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input."""
        return named((model for _, model in self.study.read_pairs for _ in self.head_rules), input.ranked)

    @cached_property
    def rules_in_dtypes(self) -> tuple[str, ...]:
        """The rules that choose heads in each dtype of the study: other orders are read in the base's alone."""
        return tuple(name for name, rule in self.head_rules.items() if "orders" not in rule.settings)

    def _dtypes(self, collection: str, model: str) -> dict[str, str]:
        """The base, and the variants that change the dtype alone, by dtype; nothing where there is one dtype."""
        own = self.study.config["variants"].items()
        found: dict[str, str] = {}
        for variant in (settings.BASE, *(name for name, changed in own if changed.keys() == {"dtype"})):
            dtype = settings.prompt_settings(self.study, collection, model, variant)["dtype"]
            found.setdefault(str(dtype), variant)
        return found if len(found) > 1 else {}

    @cached_property
    def _in_dtypes(self) -> list[tuple[str, str]]:
        """`model/dtype` and file of every ranking of heads in a dtype, of pairs that have several."""
        return [
            (f"{model}/{dtype}", path)
            for collection, model in self.study.read_pairs
            for dtype, variant in self._dtypes(collection, model).items()
            for path in _heads(collection, model, self.rules_in_dtypes, ".ranked", variant)
        ]

    @cached_property
    def heads_in_dtypes(self) -> list[str]:
        """Every head that a rule allows, best first, in each dtype of the study; nothing where there is one."""
        return [path for _, path in self._in_dtypes]

    def of_heads_in_dtypes(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `dtypes` by model and dtype, where there is any."""
        names = (name for name, _ in self._in_dtypes)
        return ["--dtypes", *named(names, input.dtypes)] if input.dtypes else []

    @cached_property
    def transferred_heads(self) -> list[str]:
        """What head sets rank on other collections, of each model that has several."""
        several = [name.removeprefix("model.") for name in self.transferred if name.startswith("model.")]
        return expand("<results>/tables/heads/transfer.{model}.tsv", model=several if self.head_rules else [])

    def carried_signals(self, wildcards: Wildcards) -> list[str]:
        """The signals of every collection of a model."""
        names = self.study.collections_of(wildcards.model)
        return [path for name in names for path in self.signal_of(name, wildcards.model, settings.BASE)]

    def of_carried_signals(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `signals`."""
        names = self.study.collections_of(wildcards.model)
        return named((name for name in names for _ in range(self.shards(name))), input.signals)

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
        return [path for name in names for path in _heads(name, wildcards.model, self.head_rules)]

    def of_carried_heads(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`collection=path` of the input `chosen`."""
        names = self.study.collections_of(wildcards.model)
        return named((name for name in names for _ in self.head_rules), input.chosen)

    @cached_property
    def head_variant(self) -> str:
        """The variant in which heads are held against windows."""
        return str(self.study.config["heads"]["variant"])

    @cached_property
    def head_costs(self) -> list[str]:
        """What systems cost there, of every pair."""
        return self.every(f"{PAIR}/evaluation/{self.head_variant}.costs.tsv")

    @cached_property
    def head_orders_tables(self) -> list[str]:
        """Windows and heads over orders, of every pair, where these are what they are held against in."""
        return self.window_orders if self.head_variant == settings.BASE else []

    @cached_property
    def compared_heads(self) -> list[str]:
        """The tests in which heads stand against windows, where the study chooses any."""
        return ["<results>/tables/comparisons.tsv"] if self.head_rules else []

    @cached_property
    def chosen_heads(self) -> list[str]:
        """What every rule chose, of every pair."""
        return [path for pair in self.study.read_pairs for path in _heads(*pair, self.head_rules)]

    def of_chosen_heads(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`model=path` of the input `chosen`."""
        return named((model for _, model in self.study.read_pairs for _ in self.head_rules), input.chosen)

    @cached_property
    def fixed_windows(self) -> list[str]:
        """The windows of whole-list attention that the configuration spells out."""
        return [window for window in self.study.config["systems"]["cached_windows"] if fixed_window(window)]

    @cached_property
    def timed_selections(self) -> list[str]:
        """The windows that are timed and that a rule chooses, or whose heads one does."""
        windows = self.study.config["latency"]["windows"]
        return [window for window in windows if rule_of(window) or head_rule_of(window)]

    def latency_selections(self, wildcards: Wildcards) -> list[str]:
        """Their files."""
        pair = wildcards.collection, wildcards.model
        return [path for window in self.timed_selections for path in _chosen(*pair, window)]

    def latency_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """The input `selections` by rule, those of heads by `heads-<rule>`."""
        files = named((rule_of(window) or window for window in self.timed_selections), input.selections)
        return ["--selections", *files] if files else []

    # Input orders.

    @cached_property
    def orders(self) -> tuple[str, ...]:
        """The base and the other input orders; none where the study asks for none."""
        return (settings.BASE, *self.study.orders) if self.study.orders else ()

    def order_signals(self, wildcards: Wildcards) -> list[str]:
        """The files of the signal of every order."""
        names = wildcards.collection, wildcards.model
        return [path for order in self.orders for path in self.signal_of(*names, order)]

    def of_orders(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`order=path` of the input `signals`."""
        n = self.shards(wildcards.collection)
        return named((order for order in self.orders for _ in range(n)), input.signals)

    @cached_property
    def shuffled_flags(self) -> list[str]:
        """Which of the orders are seeded shuffles."""
        return ["--shuffled", *self.study.shuffles] if self.study.shuffles else []

    def order_qrels(self, wildcards: Wildcards) -> str:
        """The judgements of the queries that run in every order."""
        order = next(iter(self.study.orders), settings.BASE)
        return f"<results>/{wildcards.collection}/candidates/{order}.qrels.txt"

    @cached_property
    def cached_windows(self) -> list[str]:
        """The windows that whole-list attention is ranked with."""
        own = whole_list_windows(self.systems[settings.BASE])
        return [parse_system(name).window for name in (ALL_LAYERS, *own)]

    @cached_property
    def window_orders(self) -> list[str]:
        """Windows over orders, of every pair; none where the study has no further orders."""
        return self.every("<results>/{collection}/{model}/orders/windows.tsv") if self.orders else []

    def cached_selections(self, wildcards: Wildcards) -> list[str]:
        """Files of those of them that a rule chooses."""
        rules = [rule for window in self.cached_windows if (rule := rule_of(window))]
        return [_selection(wildcards.collection, wildcards.model, rule) for rule in rules]

    def stored_heads(self, wildcards: Wildcards) -> list[str]:
        """Files of the heads for which the stored signal answers; none under the masked strategy."""
        runs = self.systems[settings.BASE]
        rules = [head_rule_of(str(runs[name].window)) for name in whole_list_heads(runs) if runs[name].cached]
        return _heads(wildcards.collection, wildcards.model, [rule for rule in rules if rule])

    @cached_property
    def evaluations(self) -> list[str]:
        """Per-query values of every variant, and over the orders."""
        pattern = "<results>/{collection}/{model}/evaluation/{variant}.tsv"
        over_orders = self.every(pattern, [settings.OVER_ORDERS]) if self.orders else []
        return [*self.ranked(pattern, self.variants), *over_orders]

    # Systems and their runs.

    def system(self, wildcards: Wildcards) -> PlannedRun:
        """What the system of a path is in its variant; of a cell in several windows, in the first."""
        if (cell := getattr(wildcards, "cell", None)) is not None:
            return self.together[wildcards.variant][cell][0]
        return self.systems[wildcards.variant][wildcards.system]

    @cached_property
    def together(self) -> Mapping[str, Mapping[str, tuple[PlannedRun, ...]]]:
        """The cells of each variant whose windows one job reads, by the name that their systems share."""
        windows = tuple(self.study.config["systems"]["windows"])
        return {variant: windows_together(runs, windows) for variant, runs in self.systems.items()}

    def systems_where(self, *, cached: bool, alone: bool = False) -> str:
        """A pattern of the systems that the stored signal answers, or that need the model, each in its own variants.

        It is for the wildcard `system` of a path `…/{variant}/{system}…`, whose variant it looks back at. `alone`
        leaves those out whose windows one job reads.
        """
        found = {}
        for variant, runs in self.systems.items():
            left_out = {run.name for own in self.together[variant].values() for run in own} if alone else set()
            found[variant] = [run.name for run in runs.values() if run.cached == cached and run.name not in left_out]
        return _in_variants(found)

    @cached_property
    def cells(self) -> str:
        """A pattern of the cells whose windows one job reads: the wildcard `cell` of a path `…/{variant}/{cell}-…`."""
        return _in_variants(self.together)

    def window_runs(self, ending: str, part: str = "") -> list[str]:
        """The runs of a cell in every window of the grid, or their costs; `part` names the shard."""
        windows = self.study.config["systems"]["windows"]
        return [f"{PAIR}/runs/{{variant}}/{{cell}}-{window}{part}.{ending}" for window in windows]

    def window_selections(self, wildcards: Wildcards) -> list[str]:
        """The files of those of these windows that a rule chooses."""
        windows = self.study.config["systems"]["windows"]
        return [path for window in windows for path in _chosen(wildcards.collection, wildcards.model, window)]

    def windows_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """These windows, the input `selections`, and the name of the system of each window."""
        windows = self.study.config["systems"]["windows"]
        chosen = ["--selection", *input.selections] if input.selections else []
        return ["--window", *windows, *chosen, "--tag", *(f"{wildcards.cell}-{window}" for window in windows)]

    def windows_runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Minutes of a job that ranks in all these windows: those of one, for each."""
        return self.runtime(wildcards, attempt) * len(self.study.config["systems"]["windows"])

    def collections_where(self, *, sharded: bool) -> str:
        """A pattern of the collections whose online cells run as several jobs, or as one."""
        split = self.study.config["systems"]["sharded"]
        found = [name for name in self.study.collections if (split and self.shards(name) > 1) == sharded]
        return one_of(found)

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
        return _chosen(wildcards.collection, wildcards.model, self.system(wildcards).window or "")

    def window_flags(self, wildcards: Wildcards, input: Input) -> list[str]:
        """A system's window, and the input `selection` where it has one."""
        window = self.system(wildcards).window
        return flags({"window": window, "selection": next(iter(input.selection), None)})

    def shard_flags(self, wildcards: Wildcards) -> list[str]:
        """Which part of the queries a job ranks."""
        return flags({key: getattr(wildcards, key, None) for key in ("shard", "shards")})

    def failures_allowed(self, wildcards: Wildcards) -> float:
        """Share of answers that may fail: of a whole run, which parts are not judged by."""
        return 1.0 if hasattr(wildcards, "shard") else float(self.study.config["systems"]["max_failure_rate"])

    def parts(self, ending: str) -> Callable[[Wildcards], list[str]]:
        """A function that returns the parts of a run, or of its costs."""

        def get(wildcards: Wildcards) -> list[str]:
            n = self.shards(wildcards.collection)
            return [f"{PAIR}/runs/{{variant}}/{{system}}.shard-{i}-of-{n}.{ending}" for i in range(n)]

        return get

    def runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of every system of a collection, model and variant."""
        return expand(f"{PAIR}/runs/{{variant}}/{{system}}.txt", **_cell(wildcards), system=self._names(wildcards))

    def trained_flags(self, wildcards: Wildcards) -> list[str]:
        """Flags of a model that was trained to rank: its mechanism, what it computes in, its name in the tables."""
        run = self.trained[wildcards.ranker]
        return flags(
            {
                "framework": run.framework,
                "mechanism": run.mechanism,
                "mechanism_settings": as_json(run.mechanism_settings),
                "dtype": self._entries[wildcards.ranker]["dtype"],
                "tag": run.name,
            }
        )

    def _trained_of(self, wildcards: Wildcards) -> list[str]:
        """The models trained to rank whose runs stand beside those of a variant."""
        return list(self.trained) if wildcards.variant == self.study.config["systems"]["variant"] else []

    def trained_runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of these on the collection."""
        return _trained_files(wildcards.collection, wildcards.variant, self._trained_of(wildcards), "txt")

    def of_trained_runs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `trained`."""
        return named((self.trained[name].name for name in self._trained_of(wildcards)), input.trained)

    def trained_costs(self, wildcards: Wildcards) -> list[str]:
        """Their costs."""
        return _trained_files(wildcards.collection, wildcards.variant, self._trained_of(wildcards), "costs.jsonl")

    def trained_latency(self, wildcards: Wildcards) -> list[str]:
        """Their seconds, beside those of the windows."""
        return [f"<results>/{wildcards.collection}/trained/latency/{name}.tsv" for name in self.trained]

    def costs(self, wildcards: Wildcards) -> list[str]:
        """The costs of every system of a collection, model and variant."""
        pattern = f"{PAIR}/runs/{{variant}}/{{system}}.costs.jsonl"
        return expand(pattern, **_cell(wildcards), system=self._names(wildcards))

    def of_runs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `runs`."""
        return named(self._names(wildcards), input.runs)

    def of_costs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `costs`."""
        return named(self._names(wildcards), input.costs)

    def _names(self, wildcards: Wildcards) -> list[str]:
        return list(systems_of(self.study, wildcards.model, wildcards.variant))

    # The report.

    @cached_property
    def resampling(self) -> list[str]:
        """The seed and number of resamples of intervals and tests."""
        tests = self.study.config["evaluation"]
        return flags({key: tests[key] for key in ("seed", "resamples")})

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
    def answer_tests(self) -> list[str]:
        """What an answer calls significant."""
        tests = self.study.config["evaluation"]
        return flags({key: tests[key] for key in ("test", "alpha")})

    def title(self, wildcards: Wildcards) -> str:
        """The title of a figure or page of one model on one collection, by their labels where they have some."""
        model = self.study.models[wildcards.model].get("label", wildcards.model)
        return f"{model} on {self.study.collections[wildcards.collection].get('label', wildcards.collection)}"

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

    # The explorer's pages.

    @cached_property
    def explorers(self) -> list[str]:
        """The page of each collection and model, where the study shows any query."""
        return self.every("<results>/explorer/{collection}/{model}.html") if self.explored else []

    @cached_property
    def explored(self) -> bool:
        """Whether the study has an explorer."""
        return int(self.study.config["explorer"]["queries"]) > 0

    def signal_parts(self, wildcards: Wildcards) -> list[str]:
        """Flags of what the stored signal holds beside the rest, and what not.

        What N/A alone pays each token is kept of the order whose tokens a page shows; each head's masked sums are left
        out where the study says so.
        """
        shown = wildcards.variant == "base" and self.explored and self.study.config["explorer"]["tokens"] == "all"
        return ["--na-tokens"] * shown + ["--no-masked"] * (not self.study.config["heads"]["masked"])

    @cached_property
    def head_strategy(self) -> str:
        """The strategy that heads are mapped under: the study's, or a linear one where masked sums are left out."""
        own = str(self.study.config["layers"]["strategy"])
        return own if self.study.config["heads"]["masked"] else head_strategy(own, linear=True)

    @cached_property
    def explored_orders(self) -> Mapping[str, str]:
        """The variants that show the base's candidates in another order, by what a page calls them; the base first."""
        base = settings.variant_settings(self.study, "base")
        free = ("order", "seed", "queries", "strategy")
        same = [
            variant
            for variant in self.every_variant
            if {k: v for k, v in settings.variant_settings(self.study, variant).items() if k not in free}
            == {k: v for k, v in base.items() if k not in free}
            and settings.signal_variant(self.study, variant) == variant
        ]
        return {variant: variant.removeprefix("order-") if variant != "base" else base["order"] for variant in same}

    def explored_signals(self, wildcards: Wildcards) -> list[str]:
        """The signals of every order that a page shows."""
        names = wildcards.collection, wildcards.model
        return [path for variant in self.explored_orders for path in self.signal_of(*names, variant)]

    def of_explored_signals(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`order=path` of the input `signals`."""
        each = self.shards(wildcards.collection)
        return named((label for label in self.explored_orders.values() for _ in range(each)), input.signals)

    def _explored_systems(self) -> list[tuple[str, str]]:
        """Variant and system of the runs that a page can stand beside a window."""
        return [(variant, name) for variant in self.shown for name in self.systems[variant]]

    def explored_runs(self, wildcards: Wildcards) -> list[str]:
        """Runs of every system that the report shows."""
        folder = f"<results>/{wildcards.collection}/{wildcards.model}/runs"
        return [f"{folder}/{variant}/{name}.txt" for variant, name in self._explored_systems()]

    def of_explored_runs(self, wildcards: Wildcards, input: Input) -> list[str]:
        """`system=path` of the input `runs`; those of a variant are named by it."""
        labels = (name if variant == "base" else f"{variant}: {name}" for variant, name in self._explored_systems())
        return named(labels, input.runs)

    @cached_property
    def explored_windows(self) -> list[str]:
        """Windows that a page offers: those of selection rules, the first of which it opens with, then the others."""
        cached = self.study.config["systems"]["cached_windows"]
        return list(dict.fromkeys([*map(selected_by, self.selections), ALL, *cached]))

    @cached_property
    def explored_links(self) -> list[str]:
        """The pages that a page leads to."""
        return [self._link(Path(page).stem, page, "../..") for page in self.answers]

    @cached_property
    def answer_links(self) -> list[str]:
        """The explorer's pages, to which each answer leads."""
        found = []
        for page in self.explorers:
            collection, model = Path(page).parts[-2], Path(page).stem
            found.append(self._link(f"{model} on {collection}", page, ".."))
        return found

    def _link(self, label: str, page: str, up: str) -> str:
        """`label=address|address in a zipped report` of a page, seen from one that lies `up` from the results."""
        path = page.replace("<results>", str(self.study.config["results"]))
        reported = f"../{get_report_id(path)[:16]}/{Path(page).name}"
        return f"{label}={up}/{page.removeprefix('<results>/')}|{reported}"

    @cached_property
    def explored_shares(self) -> list[str]:
        """The table whose shares of passage and place stand behind the slider, where the study has orders."""
        return ["<results>/{collection}/{model}/orders/sweep.tsv"] if self.orders else []

    def page(self, path: str, caption: str, category: str, label: str) -> str:
        """Output of a rule that writes one HTML page."""
        return report(f"<results>/{path}.html", **self._shown(path, caption, category, label))

    @cached_property
    def answers(self) -> list[str]:
        """The page of each question, where the study has what it needs."""
        names = ["where", "windows", *["choice"] * bool(self.selections)]
        names += ["mechanisms"] * bool(self.study.config["systems"]["frameworks"])
        names += ["place"] * bool(self.orders)
        names.append("caveats")
        return expand("<results>/answers/{name}.html", name=names)

    @cached_property
    def figures(self) -> list[str]:
        """Every figure of the report."""
        own = ["profile", "sweep", "neighbours", "diagnostics"]
        own += ["latency"] * bool(self.study.config["latency"]["windows"])
        own += ["shares", "stability", "slopes"] * bool(self.orders)
        own += ["heads", "head_counts"] * bool(self.head_rules)
        return [
            *self.every("<results>/figures/{collection}/{model}/{figure}.svg", figure=own),
            *self.ranked("<results>/figures/{collection}/{model}/pareto.{variant}.svg", self.shown),
            *expand("<results>/figures/effectiveness.{variant}.svg", variant=self.shown),
            *expand("<results>/figures/transfer/{name}.svg", name=self.transferred),
            "<results>/figures/depth.svg",
        ]

    @cached_property
    def has_published(self) -> bool:
        """Whether a figure is published of what the study measures."""
        from layerrank.report.tables.published import published_figures

        config = self.study.config
        names = {*config["evaluation"]["measures"], *self.profile_measures}
        return any(
            figure.measure in names
            and any(
                collection == figure.collection and figure.model in ("", model)
                for collection, model in self.study.pairs
            )
            for figure in published_figures()
        )

    @cached_property
    def tables(self) -> list[str]:
        """Every table of the report."""
        names = [
            *expand("{table}.{variant}", table=["effectiveness", "comparison"], variant=self.shown),
            *["shape", "costs", "outcomes", "diagnostics", "audit"],
            *["selection"] * bool(self.selections),
            *["published"] * self.has_published,
            *["grid"] * bool(self.study.config["systems"]["frameworks"]),
            *["sensitivity"] * bool(self.sensitivity),
            *["orders"] * bool(self.orders),
            *["heads", "head_agreement"] * bool(self.head_rules),
            *["head_transfer"] * bool(self.transferred_heads),
            *expand("transfer/{name}", name=self.transferred),
        ]
        return expand("<results>/tables/{name}.html", name=names)


def for_planning(study: Study, base: Path, cache: Path) -> Paths:
    """Paths of a study, in a process that plans, of whose time collecting garbage and Snakemake's questions take less.

    Nearly all that planning makes stays, so circles are looked for rarely. Snakemake asks for a function's signature
    several times a job: it is worked out once.
    """
    gc.set_threshold(100_000, 50, 100)
    for function in filter(inspect.isfunction, tuple(vars(Paths).values())):
        vars(function)["__signature__"] = inspect.signature(function)
    return Paths(study, base, cache)


def _in_variants(names: Mapping[str, Iterable[str]]) -> str:
    """A pattern of names, each after its own variant in a path."""
    each = [f"(?<=/{variant}/){one_of(own)}" for variant, own in names.items() if own]
    return f"(?:{'|'.join(each)})" if each else NOTHING


def _trained_files(collection: str, variant: str, models: Iterable[str], ending: str) -> list[str]:
    return [f"<results>/{collection}/trained/{variant}/{name}.{ending}" for name in models]


def _model(wildcards: Wildcards) -> str:
    """The model of a job, one that was trained to rank where its path names that."""
    return str(getattr(wildcards, "ranker", None) or wildcards.model)


def _variant(wildcards: Wildcards) -> str:
    """The variant of a path, the base where it has none."""
    return str(getattr(wildcards, "variant", settings.BASE))


def _cell(wildcards: Wildcards) -> dict[str, str]:
    return {name: getattr(wildcards, name) for name in ("collection", "model", "variant")}


def _selection(collection: str, model: str, rule: str) -> str:
    return f"<results>/{collection}/{model}/windows/{rule}.json"


def _chosen(collection: str, model: str, window: str) -> list[str]:
    """The file of a window, or of the heads in its place, that a rule chooses; none where no rule does."""
    if (rule := rule_of(window)) is not None:
        return [_selection(collection, model, rule)]
    heads = head_rule_of(window)
    return [] if heads is None else _heads(collection, model, [heads])


def _heads(collection: str, model: str, rules: Iterable[str], of: str = "", variant: str = settings.BASE) -> list[str]:
    return [f"{_head_folder(collection, model, variant)}/{rule}{of}.json" for rule in rules]


def _head_scores(collection: str, model: str, rule: str, variant: str) -> str:
    return f"{_head_folder(collection, model, variant)}/{rule}.scores.arrow"


def _head_folder(collection: str, model: str, variant: str) -> str:
    return f"<results>/{collection}/{model}/heads" + (f"/{variant}" if variant != settings.BASE else "")


def _order_sweep(collection: str, model: str) -> str:
    return f"<results>/{collection}/{model}/orders/sweep.arrow"


def _sweep(collection: str, model: str) -> str:
    return f"<results>/{collection}/{model}/layers/sweep.arrow"
