"""Studies drawn from the schemas: every key that they admit, with names that are known, in any combination."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from layerrank.layers.head_rules import KINDS as KINDS_OF_HEADS
from layerrank.layers.rules import RULES
from layerrank.layers.rules.settings import Ruled
from layerrank.ranking.cells import MECHANISMS
from layerrank.ranking.frameworks import FRAMEWORKS, KINDS
from layerrank.study.reading import read_mapping
from layerrank.study.schema import entry_schema, study_schema

BASE = Path(__file__).parents[2]
COLLECTIONS = ("pocket", "dl19", "nfcorpus", "nq", "bright-biology", "bright-biology-qs")
MODELS = ("smollm2-135m-instruct", "qwen3-0.6b", "llama-3.1-8b-instruct", "qwen3-32b")
MEASURES = ("nDCG@10", "RR@10", "AP", "P@5", "R@100", "nDCG@5", "AP(rel=2)", "RBP(p=0.9)")
NAMES = ("a", "peak", "best", "early", "x-1", "0", "grid", "base-2", "no")
PARTS = ("pointwise", "pairwise", "setwise", "listwise", "generation", "likelihood", "attention", "sliding", "x9", "0")
FIXED = ("L0-0", "L3-7", "L10-13", "L0-27", "L5-5")
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)
MOST = 12
"""Beyond the least value of a whole number, so that studies stay small."""

SCHEMA, ENTRY = study_schema(BASE), entry_schema(BASE, "collections")
CATALOGUE = read_mapping(BASE / "config/collections.yaml")

Schema = Mapping[str, Any]


class Drawer:
    """Strategies for the parts of one schema; `own` says what stands at a path, in place of what the schema says."""

    def __init__(self, root: Schema, own: Mapping[str, st.SearchStrategy[Any]]) -> None:
        self.root, self.own = root, own

    def of(self, schema: Schema, path: str = "") -> st.SearchStrategy[Any]:
        """Values of a part of the schema."""
        if path in self.own:
            return self.own[path]
        if "$ref" in schema:
            found: Any = self.root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return self.of(found, path)
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "const" in schema:
            return st.just(schema["const"])
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return st.one_of([self.of(part, path) for part in schema[key]])
        kinds = schema.get("type", "object")
        return st.one_of([self._kind(kind, schema, path) for kind in ([kinds] if isinstance(kinds, str) else kinds)])

    def _kind(self, kind: str, schema: Schema, path: str) -> st.SearchStrategy[Any]:
        if kind == "null":
            return st.none()
        if kind == "boolean":
            return st.booleans()
        if kind == "integer":
            least = schema.get("minimum", 0)
            return st.integers(least, min(schema.get("maximum", least + MOST), least + MOST))
        if kind == "number":
            least, most = schema.get("minimum", 0), schema.get("maximum", schema.get("exclusiveMaximum", 10))
            open_ends = {"exclude_min": "exclusiveMinimum" in schema, "exclude_max": "exclusiveMaximum" in schema}
            return st.floats(schema.get("exclusiveMinimum", least), most, **open_ends)
        if kind == "array":
            items = self.of(schema["items"], f"{path}.*")
            most = schema.get("maxItems", schema.get("minItems", 0) + 3)
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=most, unique=True)
        if kind == "object":
            parts = schema.get("properties", {})
            inner = {key: self.of(part, f"{path}.{key}".lstrip(".")) for key, part in parts.items()}
            needed = {key: inner.pop(key) for key in schema.get("required", ())}
            return st.fixed_dictionaries(needed, optional=inner)
        return TEXTS


def _named(names: tuple[str, ...], entries: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names), entries, max_size=most)


def _rules(drawer: Drawer, collections: list[str]) -> st.SearchStrategy[Any]:
    """A selection rule of any kind with any of its settings."""
    own = {
        "window": st.sampled_from(("3-7", "0-0", "L2-5", "11")),
        "chosen_on": st.sampled_from(["folds", "others", collections]),
    }

    return _any_of(RULES, own, drawer)


def _head_rules(drawer: Drawer, collections: list[str], windows: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """A rule that chooses heads, of any kind with any of its settings."""
    own = {
        "window": st.sampled_from(("3-7", "all", "L2-5", "11", *windows)),
        "chosen_on": st.sampled_from(["folds", "others", collections]),
        "measure": st.sampled_from(MEASURES),
    }
    return _any_of(KINDS_OF_HEADS, own, drawer)


def _any_of(
    kinds: Mapping[str, Ruled], own: Mapping[str, st.SearchStrategy[Any]], drawer: Drawer
) -> st.SearchStrategy[Any]:
    def rule(name: str) -> st.SearchStrategy[Any]:
        kind = kinds[name]
        parts = {key: own[key] if key in own else drawer.of(schema) for key, schema in kind.settings.items()}
        needed = {key: parts.pop(key) for key in kind.required}
        return st.fixed_dictionaries({"rule": st.just(name), **needed}, optional=parts)

    return st.one_of([rule(name) for name in kinds])


def _frameworks() -> st.SearchStrategy[Any]:
    def settings(kind: str, sort: str) -> st.SearchStrategy[Any]:
        parts = {key: st.integers(1, 12) for key in FRAMEWORKS[kind, sort].defaults}
        if "size" in parts:
            parts["size"] = st.one_of(st.integers(1, 12), st.just("whole"))
        sorts = [each for known, each in FRAMEWORKS if known == kind]
        needed = {"sort": st.just(sort)} if len(sorts) > 1 else {}
        return st.fixed_dictionaries({"framework": st.just(kind), **needed}, optional=parts)

    return st.one_of([settings(*key) for key in FRAMEWORKS])


def _mechanisms(drawer: Drawer) -> st.SearchStrategy[Any]:
    parts = drawer.root["$defs"]["mechanism_settings"]["properties"]
    own = {"prompt": st.none(), "template_arguments": st.just({}), "heads": st.none()}

    def settings(way: str) -> st.SearchStrategy[Any]:
        keys = {key: own[key] if key in own else drawer.of(parts[key]) for key in MECHANISMS[way]}
        return st.fixed_dictionaries({"mechanism": st.just(way)}, optional=keys)

    return st.one_of([settings(way) for way in MECHANISMS])


def _of_its_name(named: dict[str, Any], key: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """What has the name of a kind is of that kind, or it is left out."""
    fit = {name: entry for name, entry in named.items() if name not in kinds or entry[key] == name}
    return {name: {k: v for k, v in entry.items() if not (k == key and name == v)} for name, entry in fit.items()}


@st.composite
def drawn_studies(draw: st.DrawFn) -> dict[str, Any]:
    """A study: its schema's keys at random, with names of the catalogues and of its own parts."""
    schema = SCHEMA
    collections = draw(st.lists(st.sampled_from(COLLECTIONS), min_size=1, max_size=3, unique=True))
    models = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=2, unique=True))
    plain = Drawer(schema, {})
    rules = draw(_named(NAMES, _rules(plain, collections)))
    rules = {f"oracle-{name}" if rule["rule"] == "oracle" else name: rule for name, rule in rules.items()}
    selected = tuple(f"selected-{name}" for name in rules)
    windows = ("all", *FIXED, *selected)
    heads = draw(_named(NAMES, _head_rules(plain, collections, selected), 3))
    heads = {f"oracle-{name}" if rule["rule"] == "oracle" else name: rule for name, rule in heads.items()}
    read = (*windows, *(f"heads-{name}" for name in heads))
    frameworks = _of_its_name(draw(_named(PARTS, _frameworks())), "framework", KINDS)
    mechanisms = _of_its_name(draw(_named(PARTS, _mechanisms(plain))), "mechanism", tuple(MECHANISMS))
    least = 2 if "label-free" in {rule["rule"] for rule in (*rules.values(), *heads.values())} else 1
    depth = draw(st.integers(least, 20))
    names = {
        "title": TEXTS,
        "results": st.sampled_from(("results", "r r", "a/b")),
        "cache": st.sampled_from(("resources", "c'c")),
        "collections": st.just(collections),
        "models": st.just(models),
        "catalogues": st.just({}),
        "define": st.just({}),
        "leave_out": st.just([]),
        "first_stage.depth": st.just(depth),
        "passages.shorter": _named(tuple(collections), st.integers(1, 50)),
        "layers.measure": st.sampled_from(MEASURES),
        "layers.profile": st.lists(st.sampled_from(MEASURES), max_size=3, unique=True),
        "layers.selection": st.just(rules),
        "heads.selection": st.just(heads),
        "evaluation.measures": st.lists(st.sampled_from(MEASURES), min_size=1, max_size=3, unique=True),
        "evaluation.resamples": st.integers(100, 200),
        "evaluation.baseline": st.sampled_from(("bm25", "listwise-attention-all")),
        "explorer.chosen": st.sampled_from(("changed", "unstable", "worst", "all", ["1", "2"])),
        "systems.frameworks": st.just(frameworks),
        "systems.mechanisms": st.just(mechanisms),
        "systems.cached_windows.*": st.sampled_from(windows),
        "systems.windows.*": st.sampled_from(read),
        "latency.windows.*": st.sampled_from(read),
    }
    changed = Drawer(schema, {"depth": st.integers(least, depth)}).of(
        schema["properties"]["variants"]["additionalProperties"]
    )
    variants = draw(_named(NAMES, changed.filter(bool)))
    names["variants"] = st.just(variants)
    names["systems.variant"] = names["heads.variant"] = st.sampled_from(("base", *variants))
    cells = [f"{framework}-{mechanism}" for framework in frameworks for mechanism in mechanisms]
    names["systems.cells"] = _named(tuple(cells), st.one_of(st.just(False), st.just({})), 2) if cells else st.just({})
    study = draw(Drawer(schema, names).of({**schema, "required": ["collections", "models", "first_stage", "systems"]}))
    study["first_stage"]["depth"] = depth
    if len(collections) > 1 and len(models) > 1 and draw(st.booleans()):
        study["leave_out"] = [{"collections": collections[:1], "models": models[:1], "because": "drawn"}]
    if draw(st.booleans()):
        study["define"] = {"collections": {collections[0]: draw(_changed_entries(collections[0]))}}
    return study


def _changed_entries(name: str) -> st.SearchStrategy[Any]:
    """A collection's entry with other settings of those that any source takes."""
    schema, known = ENTRY, CATALOGUE[name]
    common = ("titles", "instruction", "relevance_level", "same_ids", "first_stage", "shards", "label", "passage_words")
    parts = {key: Drawer(schema, {}).of(schema["properties"][key]) for key in common}
    return st.fixed_dictionaries({}, optional=parts).map(lambda own: known | own)
