"""What no schema can say of a study, since it is about several keys at once: each check names the key that is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from layerrank.attention.scores import check_strategy
from layerrank.core.errors import UserError
from layerrank.core.systems import ALL_LAYERS, FIRST_STAGE
from layerrank.core.windows import ALL, ORACLE, LayerWindow, fixed_window, head_rule_of, is_upper_bound, rule_of
from layerrank.evaluation import measures
from layerrank.layers.head_rules import needs_masked, parse_head_rule
from layerrank.layers.rules import parse_rule
from layerrank.ranking.cells import MECHANISMS, Cell
from layerrank.ranking.frameworks import KINDS
from layerrank.study.config import BASE, OVER_ORDERS, Entry, Study, chosen_on
from layerrank.study.schema import check_known, shown
from layerrank.study.systems import cell_settings, systems, systems_of, trained

RESERVED = {
    "collections": {"answers", "explorer", "figures", "logs", "tables"},
    "models": {"candidates", "collection", "first_stage", "index", "trained"},
}
"""Names of folders of results, beside those of collections, and beside those of models within one."""


def check(study: Study) -> None:
    """Raise `UserError` for the first key that cannot be."""
    for each in CHECKS:
        each(study)


@contextlib.contextmanager
def _at(where: str) -> Iterator[None]:
    """Put the key before an error's message."""
    try:
        yield
    except UserError as error:
        raise UserError(f"config key {where}: {error}") from None


def _folders(study: Study) -> None:
    if study.config["results"] == study.config["cache"]:
        raise UserError(f"config key cache: {study.config['cache']!r} is the folder of results: name another")
    for key, names in RESERVED.items():
        for name in study.config[key]:
            if name in names:
                raise UserError(f"config key {key}: {name!r} is the name of a folder of results: name it otherwise")


def _pairs(study: Study) -> None:
    for number, entry in enumerate(study.config["leave_out"]):
        for key in ("collections", "models"):
            for name in entry[key]:
                check_known(name, study.config[key], f"config key leave_out.{number}.{key}")
    for key, place in (("collections", 0), ("models", 1)):
        for name in study.config[key]:
            if not any(pair[place] == name for pair in study.pairs):
                raise UserError(f"config key leave_out: it leaves nothing of {name!r}: take it out of {key}")


def _served(study: Study) -> None:
    """A model that is served has cells to run, beside one whose layers the study is about."""
    if study.served and not study.read_pairs:
        raise UserError(
            f"config key models: {shown(list(study.served))}: served models alone; layers, windows and figures need "
            "one at hand (hub, folder or wheel); `layerrank rerank` ranks with a served one by itself"
        )
    grid = study.config["systems"]["variant"]
    for name in study.served:
        if not systems_of(study, name, grid):
            raise UserError(
                f"config key models: {name!r} is served, which gives no attention: systems needs a cell of generation "
                "or likelihood for it"
            )
        entry = study.models[name]
        if (entry["interface"] == "chat") != name.endswith("-chat"):
            raise UserError(
                f"models entry {name}: key 'interface': {entry['interface']!r}: names that end in '-chat' are of that "
                "interface, and no others: every table says so"
            )
        runs = systems_of(study, name, grid).values()
        if entry["interface"] == "chat" and any(run.mechanism == "likelihood" for run in runs):
            raise UserError(
                f"models entry {name}: key 'interface': 'chat' gives no log-probabilities of ours: likelihood needs "
                "'completions', or a study without such cells"
            )


def _candidates(study: Study) -> None:
    config = study.config
    for collection in config["passages"]["shorter"]:
        check_known(collection, config["collections"], "config key passages.shorter")
    for collection in config["queries"]["fewer"]:
        check_known(collection, config["collections"], "config key queries.fewer")
    depth = config["first_stage"]["depth"]
    for name, variant in config["variants"].items():
        if variant.get("depth", 0) > depth:
            raise UserError(
                f"config key variants.{name}.depth: {variant['depth']} is more than first_stage.depth, {depth}"
            )


def _measures(study: Study) -> None:
    layers = study.config["layers"]
    for key, names in (
        ("evaluation.measures", study.config["evaluation"]["measures"]),
        ("layers.measure", [layers["measure"]]),
        ("layers.profile", layers["profile"]),
    ):
        with _at(key):
            if names:
                measures.check(names)


def _layers(study: Study) -> tuple[int, str] | None:
    """The layers of the shallowest of the study's models, with its name, as far as the catalogue tells."""
    own = {name: entry for name, entry in study.models.items() if name not in study.served}
    known = [(int(entry["size"]["layers"]), name) for name, entry in own.items() if "size" in entry]
    return min(known, default=None)


def _window(window: LayerWindow, study: Study, where: str) -> None:
    layers = _layers(study)
    if layers is not None and window.end >= layers[0]:
        raise UserError(f"{where}: window {window}: {layers[1]} has layers 0 to {layers[0] - 1}")


def _windows(study: Study) -> None:
    config = study.config
    lists = {f"systems.{key}": config["systems"][key] for key in ("cached_windows", "windows")}
    for key, windows in (lists | {"latency.windows": config["latency"]["windows"]}).items():
        for name in windows:
            where, rule, fixed = f"config key {key}", rule_of(name), fixed_window(name)
            heads = head_rule_of(name)
            if rule is not None:
                check_known(rule, config["layers"]["selection"], where)
            elif heads is not None and key != "systems.cached_windows":
                check_known(heads, config["heads"]["selection"], where)
            elif fixed is not None:
                _window(fixed, study, where)
            elif name != ALL:
                also = "" if key == "systems.cached_windows" else " (or 'heads-<name>' in its place)"
                raise UserError(
                    f"{where}: window {shown(name)}: expected 'all', 'L<start>-<end>' or 'selected-<name>'{also}"
                )


def _selection(study: Study) -> None:
    for name, rule in study.config["layers"]["selection"].items():
        key = f"layers.selection.{name}"
        _bounds_alone(name, rule, key)
        with _at(key):
            parsed = parse_rule(rule)
        settings = parsed.settings
        _enough_candidates(study, key, parsed.kind.sees)
        if "window" in settings:
            with _at(f"{key}.window"):
                given = LayerWindow.parse(settings["window"], layers=10_000)
            _window(given, study, f"config key {key}.window")
        _chosen_on(study, "layers", name, settings)


def _heads(study: Study) -> None:
    windows = study.config["layers"]["selection"]
    check_known(study.config["heads"]["variant"], [BASE, *study.config["variants"]], "config key heads.variant")
    for name, rule in study.config["heads"]["selection"].items():
        key = f"heads.selection.{name}"
        where = f"config key {key}"
        _bounds_alone(name, rule, key)
        with _at(key):
            parsed = parse_head_rule(rule)
        settings = parsed.settings
        _enough_candidates(study, key, parsed.kind.sees, study.config["heads"]["variant"])
        if needs_masked(parsed) and not study.config["heads"]["masked"]:
            raise UserError(f"{where}: it scores by masked sums, which heads.masked: false leaves out of the signal")
        window = settings.get("window", ALL)
        within = rule_of(window)
        if within is not None:
            check_known(within, windows, f"{where}.window")
            if is_upper_bound(window) and rule["rule"] != ORACLE:
                raise UserError(f"{where}.window: {window!r} is an upper bound: heads within it would be one")
        elif window != ALL:
            _window(LayerWindow.parse(window, layers=10_000), study, f"{where}.window")
        _chosen_on(study, "heads", name, settings)


def _bounds_alone(name: str, rule: Entry, key: str) -> None:
    if (rule["rule"] == ORACLE) != name.startswith(ORACLE):
        raise UserError(
            f"config key {key}: names that begin with 'oracle' are for the rule 'oracle' alone, an upper bound"
        )


def _enough_candidates(study: Study, rule: str, sees: str, variant: str = BASE) -> None:
    """A rule that compares rankings without judgements asks for something to rank."""
    own = study.config["variants"].get(variant, {})
    where = f"variants.{variant}.depth" if "depth" in own else "first_stage.depth"
    if sees == "signals" and own.get("depth", study.config["first_stage"]["depth"]) < 2:
        raise UserError(f"config key {where}: 1, but the rule {rule} compares rankings of two candidates or more")


def _chosen_on(study: Study, part: str, name: str, settings: Mapping[str, Any]) -> None:
    """What a rule that sees judgements asks of the study: enough queries, other collections, other orders."""
    config, where = study.config, f"config key {part}.selection.{name}"
    on = settings.get("chosen_on")
    limits = {"limit": config["queries"]["limit"]}
    limits |= {f"fewer.{name}": limit for name, limit in config["queries"]["fewer"].items()}
    for key, limit in limits.items():
        if on == "folds" and limit is not None and max(2, settings.get("folds", 2)) > limit:
            raise UserError(
                f"{where}.folds: {settings.get('folds', 2)} or more need as many queries, queries.{key} is {limit}"
            )
    if on == "others" and len(config["collections"]) < 2:
        raise UserError(f"{where}.chosen_on: 'others' needs a study of at least two collections")
    for collection in on if isinstance(on, list) else []:
        check_known(collection, config["collections"], f"{where}.chosen_on")
    for collection, model in study.read_pairs if on not in (None, "folds") else ():
        if not chosen_on(study, part, name, collection, model):
            raise UserError(f"{where}.chosen_on: no other collection is left of it for {model!r} on {collection!r}")
    if settings.get("orders") and not study.orders:
        raise UserError(f"{where}.orders: the study has no `orders` to choose by")


def _orders(study: Study) -> None:
    config = study.config
    for name in config["variants"]:
        if name == OVER_ORDERS:
            raise UserError(f"config key variants.{name}: the name is kept for means over `orders`: choose another")
        if name in study.orders and config["variants"][name] != study.orders[name]:
            raise UserError(f"config key variants.{name}: the name is kept for one of `orders`: choose another")
    number = config["systems"]["orders"]
    if number > len(study.orders):
        raise UserError(f"config key systems.orders: {number}, but the study has {len(study.orders)} further orders")
    if config["orders"] is None:
        return
    if not study.orders:
        raise UserError("config key orders: neither reversed nor shuffles: set it to null for no further order")
    if (first := config["passages"]["order"]) != "first-stage":
        raise UserError(f"config key orders: passages.order is {first!r}; orders stand beside 'first-stage'")


def _names_of_kinds(study: Study) -> None:
    """A framework or mechanism that has the name of a kind is of that kind."""
    for key, word, kinds in (("frameworks", "framework", KINDS), ("mechanisms", "mechanism", tuple(MECHANISMS))):
        for name, settings in study.config["systems"][key].items():
            where = f"config key systems.{key}.{name}"
            kind = settings.get(word, name)
            check_known(kind, kinds, where)
            if name in kinds and kind != name:
                raise UserError(f"{where}.{word}: {name!r} cannot stand for {kind!r}: give it a name of its own")


def _grid(study: Study) -> None:
    config = study.config["systems"]
    check_known(config["variant"], ["base", *study.config["variants"]], "config key systems.variant")
    cells = [f"{a}-{b}" for a in config["frameworks"] for b in config["mechanisms"]]
    for name in config["cells"]:
        check_known(name, cells or [name], "config key systems.cells")
    for framework, settings in config["frameworks"].items():
        kind = settings.get("framework", framework)
        _cell(f"systems.frameworks.{framework}", kind, _but(settings, "framework"), "likelihood", {})
    for mechanism, settings in config["mechanisms"].items():
        way = settings.get("mechanism", mechanism)
        _cell(f"systems.mechanisms.{mechanism}", "listwise", {}, way, _but(settings, "mechanism", "prompt", "heads"))
    for framework in config["frameworks"]:
        for mechanism in config["mechanisms"]:
            made = cell_settings(study, framework, mechanism)
            if made is not None:
                _cell(f"systems.cells.{framework}-{mechanism}", *made)


def _trained(study: Study) -> None:
    """Models that were trained to rank stand under `systems.trained`, and others nowhere near it."""
    for name, entry in study.models.items():
        if "ranker" in entry and "family" not in entry:
            raise UserError(f"config key models: {name!r} was trained to rank: name it under systems.trained")
    for name, run in trained(study).items():
        where = f"systems.trained.{name}"
        if "ranker" not in study.trained[name]:
            raise UserError(f"config key {where}: its catalogue entry has no `ranker`: name it under models")
        if name in study.models:
            raise UserError(f"config key {where}: the study has it under models too: keep one")
        _cell(where, run.framework, run.framework_settings, run.mechanism, run.mechanism_settings)


def _whole_list(study: Study) -> None:
    """Strategy and heads of whole-list attention, in each variant."""
    for variant in ("base", *study.config["variants"]):
        run = systems(study, variant)[ALL_LAYERS]
        where = "systems.mechanisms.attention"
        _cell(where, run.framework, run.framework_settings, "attention", run.mechanism_settings)
        with _at(where):
            check_strategy(run.mechanism_settings["strategy"], run.mechanism_settings.get("heads"), stored=True)


def _but(settings: Entry, *keys: str) -> Entry:
    return {name: value for name, value in settings.items() if name not in keys}


def _cell(where: str, kind: str, settings: Entry, way: str, reading: Entry) -> None:
    """Check the settings of a cell."""
    with _at(where):
        check_known(kind, KINDS, "framework")
        Cell(kind, way, settings, reading, family="chatml", windows=LayerWindow(0, 0), name=way)


def _baseline(study: Study) -> None:
    every = {
        FIRST_STAGE,
        *(name for variant in ("base", *study.config["variants"]) for name in systems(study, variant)),
        *(run.name for run in trained(study).values()),
    }
    check_known(study.config["evaluation"]["baseline"], every, "config key evaluation.baseline")


CHECKS: tuple[Callable[[Study], Any], ...] = (
    _folders,
    _pairs,
    _candidates,
    _measures,
    _windows,
    _selection,
    _heads,
    _orders,
    _names_of_kinds,
    _grid,
    _served,
    _trained,
    _whole_list,
    _baseline,
)
