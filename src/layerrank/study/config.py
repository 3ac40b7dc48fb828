"""A study's configuration as read: its parts, and what follows from them."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any

from layerrank.models.identity import SERVED

Entry = dict[str, Any]

BASE = "base"
ORDER = "order-"
"""How the variants of `orders` are named."""
OVER_ORDERS = "orders"
"""The variant of what is measured over all orders, in tables of values."""


@dataclass(frozen=True, eq=False)
class Study:
    """A checked study: `config` with all defaults filled in, and the catalogue entries that it uses, by name.

    `trained` are those of models that were trained to rank, which `systems.trained` names.
    """

    config: Entry
    collections: dict[str, Entry]
    models: dict[str, Entry]
    trained: dict[str, Entry] = field(default_factory=dict)

    @functools.cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(collection, model) of everything that is run: all of them but those of `leave_out`, collections first."""
        left_out = {
            pair
            for entry in self.config["leave_out"]
            for pair in itertools.product(entry["collections"], entry["models"])
        }
        both = itertools.product(self.config["collections"], self.config["models"])
        return tuple(pair for pair in both if pair not in left_out)

    @functools.cached_property
    def served(self) -> tuple[str, ...]:
        """The models that are served: they write and say how likely labels are; nothing of their layers can be read."""
        return tuple(name for name, entry in self.models.items() if entry.get("source") == SERVED)

    @functools.cached_property
    def read_pairs(self) -> tuple[tuple[str, str], ...]:
        """Those of `pairs` whose model is at hand: what signals, layers and windows exist for."""
        return tuple(pair for pair in self.pairs if pair[1] not in self.served)

    @functools.cached_property
    def orders(self) -> dict[str, Entry]:
        """The input orders beside the base's, by the name of their variant: what each changes."""
        asked = self.config["orders"]
        if asked is None:
            return {}
        sample = {} if asked["queries"] is None else {"queries": asked["queries"]}
        seeds = range(asked["seed"], asked["seed"] + asked["shuffles"])
        backwards = {f"{ORDER}reversed": {"order": "reversed", **sample}} if asked["reversed"] else {}
        return backwards | {f"{ORDER}shuffled-{seed}": {"order": "shuffled", "seed": seed, **sample} for seed in seeds}

    @functools.cached_property
    def shuffles(self) -> tuple[str, ...]:
        """Those of `orders` that are seeded shuffles."""
        return tuple(name for name, own in self.orders.items() if own["order"] == "shuffled")

    @functools.cached_property
    def grid_orders(self) -> dict[str, Entry]:
        """The orders that the grid runs in as well: variants that change the grid's, by name."""
        grid = self.config["systems"]["variant"]
        chosen = list(self.orders.items())[: self.config["systems"]["orders"]]
        if grid == BASE or not chosen:
            return dict(chosen)
        own = self.config["variants"][grid]
        orders = {name: {key: changed[key] for key in changed if key != "queries"} for name, changed in chosen}
        return {f"{grid}-{name}": {**self.orders[name], **own, **order} for name, order in orders.items()}

    @functools.cached_property
    def variants(self) -> dict[str, Entry]:
        """Every variant but the base, with what it changes: those of the configuration, then orders."""
        return self.config["variants"] | self.orders | self.grid_orders

    def collections_of(self, model: str) -> list[str]:
        """Collections that a model runs on, in the order of the configuration."""
        return [collection for collection, other in self.pairs if other == model]


def passage_words(study: Study, collection: str, variant: str) -> int:
    """Words of a passage that are kept: those of the variant, or fewer where the collection is to be cut shorter."""
    words = int(variant_settings(study, variant)["words"])
    return min(words, study.config["passages"]["shorter"].get(collection, words))


def query_limit(study: Study, collection: str) -> int | None:
    """Judged queries of a collection that the study runs at most: `queries.limit`, or fewer; None for all."""
    queries = study.config["queries"]
    limits = [limit for limit in (queries["limit"], queries["fewer"].get(collection)) if limit is not None]
    return min(limits, default=None)


def variant_settings(study: Study, variant: str) -> Entry:
    """Settings of one variant: depth, words, order, seed, queries, and where given dtype, query_span and family."""
    config = study.config
    settings: Entry = {
        "depth": config["first_stage"]["depth"],
        "words": config["passages"]["words"],
        "order": config["passages"]["order"],
        "seed": config["passages"]["seed"],
        "queries": None,
        "strategy": config["layers"]["strategy"],
    }
    return settings | (study.variants[variant] if variant != BASE else {})


def signal_variant(study: Study, variant: str) -> str:
    """The first variant whose signal is this one's: they differ in how a signal is scored, if in anything."""
    wanted = variant_settings(study, variant) | {"strategy": None}
    names = (BASE, *study.variants)
    return next(name for name in names if variant_settings(study, name) | {"strategy": None} == wanted)


def prompt_settings(study: Study, collection: str, model: str, variant: str) -> Entry:
    """What shapes a prompt and its forward pass: family, query_span (where one is set), instruction and dtype."""
    entry = study.models[model]
    own = variant_settings(study, variant)
    settings = {
        "family": own.get("family", entry.get("family")),
        "query_span": own.get("query_span", entry.get("query_span")),
        "instruction": study.collections[collection]["instruction"],
        "dtype": own.get("dtype", entry["dtype"]),
    }
    return {key: value for key, value in settings.items() if value is not None}


WHERE = ("address", "engine", "key", "at_once", "timeout", "retries")
"""Keys of a model entry that say where a model is served, and how it is asked: not what it is."""

# What a model entry says of prompting, scheduling and display: none of it changes the fetched folder.
NOT_SOURCE = (
    *WHERE,
    "family",
    "ranker",
    "query_span",
    "dtype",
    "gpus",
    "threads",
    "mem_mb",
    "runtime",
    "label",
    "released",
    "lineage",
    "gpu_memory_gb",
    "size",
    "description",
)


def model_source(entry: Entry) -> Entry:
    """The part of a model entry that its fetched folder depends on."""
    return {key: value for key, value in entry.items() if key not in NOT_SOURCE}


def chosen_on(study: Study, part: str, selection: str, collection: str, model: str) -> list[str]:
    """The other collections on which a rule chooses for this one, with this model; none where it asks for none.

    `part` of the configuration has the rule: `layers` or `heads`.
    """
    on = study.config[part]["selection"][selection].get("chosen_on", "folds")
    names = study.collections_of(model)
    if isinstance(on, list):
        names = [name for name in on if name in names]
    return [name for name in names if name != collection] if on != "folds" else []


def caveats(study: Study) -> list[str]:
    """What to know of judgements and models before their figures are believed (semantics.md §10), a line each.

    A model may have seen answers that were published before it came out; one may favour what a model of its lineage
    judged. What the catalogues do not say is not guessed. Models that are served lack what others have.
    """
    seen: dict[str, list[str]] = {}
    kin = []
    for collection, model in study.pairs:
        judged, ranks = study.collections[collection], study.models[model]
        dated, released = judged.get("dated", ""), ranks.get("released", "")
        digits = min(len(dated), len(released))
        if digits and dated[:digits] < released[:digits]:
            seen.setdefault(f"{model} ({released})", []).append(f"{collection} ({dated})")
        judge, lineage = judged.get("judged_by", ""), ranks.get("lineage")
        if lineage and judge.lower().startswith(lineage.lower()):
            kin.append(
                f"{collection} was judged by {judge}, which {model} is kin to: it may favour what its kind prefers."
            )
    unseen = [
        f"{model} is served ({study.models[model]['interface']}): it has no attention cells, windows or layers"
        + (
            ", and its prompts are what the server's template makes."
            if study.models[model]["interface"] == "chat"
            else "."
        )
        for model in study.served
    ]
    return (
        unseen
        + kin
        + [
            f"{model} came out after queries and judgements of {', '.join(names)}: it may have seen the answers."
            for model, names in seen.items()
        ]
    )
