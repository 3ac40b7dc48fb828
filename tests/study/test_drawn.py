"""Studies drawn from the schemas: each is refused in one line by key, or all that its rules ask for is there."""

import functools
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

from hypothesis import HealthCheck, given, settings
from support.drawn import drawn_studies

from layerrank.core.errors import UserError
from layerrank.core.systems import ALL_LAYERS, whole_list_heads
from layerrank.core.windows import head_rule_of, rule_of
from layerrank.study import load, plan
from layerrank.study.load import load_study
from layerrank.study.paths import paths_of
from layerrank.study.paths.words import one_of
from layerrank.study.plan import Job

BASE = Path(__file__).parents[2]
KEY = re.compile(r"^(config key|collections entry|models entry) \S")


def wildcards(paths):
    """Wildcards of every kind of job, one of each, by what its paths are of."""
    for collection, model in paths.study.pairs:
        pair = {"collection": collection, "model": model}
        yield pair
        for selection in paths.layers.selections:
            yield pair | {"selection": selection}
        for heads in paths.heads.rules:
            yield pair | {"heads": heads}
        for variant in paths.ranking.variants:
            yield pair | {"variant": variant}
            for system in paths.ranking.systems[variant]:
                yield pair | {"variant": variant, "system": system}
                yield pair | {"variant": variant, "system": system, "shard": "0", "shards": "2"}
    for transferred in paths.transfer.names:
        kind, _, fixed = transferred.partition(".")
        yield {"kind": kind, "fixed": fixed}


NEEDS = {
    "selection": {"layers": ("rule", "others", "other_sweeps", "over_orders")},
    "heads": {"heads": ("rule", "scoring", "order_signals", "scores", "others", "other_scores", "within")},
    "system": {
        "ranking": (
            *("system", "framework", "mechanism", "mechanism_settings", "selection"),
            *("shard", "failures_allowed"),
        )
    },
    "variant": {
        "collections": ("candidates",),
        "evaluation": ("runs", "costs", "trained_runs", "trained_costs"),
        "attention": ("checked_prompt", "parts"),
    },
    "fixed": {"transfer": ("sweeps", "selections", "same")},
    "model": {
        "collections": ("expected", "identity", "relevance_level", "queries"),
        "models": ("folder", "gpus", "threads"),
        "attention": ("prompt", "signal"),
        "layers": ("selections_of",),
        "latency": ("selections", "trained"),
        "heads": ("chosen", "ranked"),
        "head_sets": ("carried_signals", "carried_qrels", "carried_heads"),
        "orders": ("signals", "qrels", "selections", "heads"),
        "items": ("title",),
        "explorer": ("signals", "runs"),
    },
}
"""Functions of rules by the wildcard that they need besides those of a pair, then by stage."""


def check(paths):
    """Everything that rules ask a study for, with what must hold between its parts."""
    for stage in (paths, *(getattr(paths, field.name) for field in fields(paths))):
        for name, value in vars(type(stage)).items():
            if isinstance(value, functools.cached_property):
                getattr(stage, name)
    patterns = {cached: paths.ranking.systems_where(cached=cached) for cached in (True, False)}
    for names in wildcards(paths):
        job = SimpleNamespace(**names)
        needed = [pair for key, asked in NEEDS.items() if key in names for pair in asked.items()]
        for stage, functions in needed:
            for function in functions:
                found = getattr(getattr(paths, stage), function)(job)
                assert found is not None, function
                for path in found if function in {"selections", "selections_of"} else ():
                    chosen = Path(path)
                    assert chosen.stem in (
                        paths.layers.selections if chosen.parent.name == "windows" else paths.heads.rules
                    )
        if "system" in names and "shard" not in names:
            path = f"/{names['variant']}/{names['system']}.txt"
            made = [cached for cached, pattern in patterns.items() if re.search(rf"/{pattern}\.txt$", path)]
            assert made == [paths.ranking.system(job).cached], path
            assert paths.ranking.memory(job, threads=1, attempt=2) > 0
            window = paths.ranking.system(job).window or ""
            assert (rule_of(window) is None) or rule_of(window) in paths.layers.selections
            assert (head_rule_of(window) is None) or head_rule_of(window) in paths.heads.rules
            if not made[0]:
                plan.gpu_seconds(paths.study, Job("rerank_online", names))
                runs = rf"{paths.ranking.cells}-{one_of(paths.study.config['systems']['windows'])}"
                ways = [paths.ranking.systems_where(cached=False, alone=True), runs]
                assert sum(bool(re.search(rf"/{pattern}\.txt$", path)) for pattern in ways) == 1, path
    once = [runs for variant, runs in paths.ranking.systems.items() if variant not in paths.study.grid_orders]
    meanings = Counter(name for runs in once for name, run in runs.items() if not run.cached)
    for name in whole_list_heads(meanings):  # a pass over the list of its variant
        del meanings[name]
    assert set(meanings.values()) <= {1}
    assert all(runs[ALL_LAYERS].cached for runs in paths.ranking.systems.values())


SEEN: Counter[str] = Counter()


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn_studies())
def draw(study):
    try:
        found = load_study(study, BASE)
    except UserError as error:
        SEEN["refused"] += 1
        assert KEY.match(str(error)) and "\n" not in str(error), str(error)
        return
    SEEN["planned"] += 1
    check(paths_of(found, BASE, Path(found.config["cache"])))


def test_a_study_that_the_schema_admits_is_whole_or_refused_by_key(monkeypatch):
    for module, name in ((load, "read_mapping"), (load, "study_schema"), (load, "entry_schema")):
        monkeypatch.setattr(module, name, functools.cache(getattr(module, name)))
    draw()
    assert SEEN["planned"] > SEEN["refused"] > 0, SEEN
