"""A study's configuration: schemas, defaults, catalogues and cross-checks, before anything runs."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from layerrank.attention.scores import STRATEGIES
from layerrank.core.errors import UserError
from layerrank.core.windows import ALL, ORACLE, LayerWindow, fixed_window, rule_of
from layerrank.evaluation import measures
from layerrank.layers.rules import rule_schema
from layerrank.ranking.cells import MECHANISMS, Cell
from layerrank.ranking.frameworks import KINDS, make_sorter
from layerrank.study.config import Entry, Study, chosen_on
from layerrank.study.systems import systems

SNAKEMAKE_KEYS = ("pathvars",)


def load_study(config: Mapping[str, Any], base: Path) -> Study:
    """Check a study's configuration and gather the catalogue entries that it names.

    `base` is the folder that holds workflow/schemas; catalogue files are sought in the working directory,
    then in `base`.
    Raises `UserError` in one line that names the key, the value and what is allowed.
    """
    schemas = base / "workflow" / "schemas"
    own = {key: copy.deepcopy(value) for key, value in config.items() if key not in SNAKEMAKE_KEYS}
    checked = validated(own, config_schema(base), "config")
    entries = {}
    for kind in ("collections", "models"):
        catalogue: Entry = {}
        for name in checked["catalogues"][kind]:
            catalogue |= _read_yaml(_found(name, base, f"config key catalogues.{kind}"))
        catalogue |= checked["define"][kind]
        schema = _read_yaml(schemas / f"{kind}.schema.yaml")
        for name in checked[kind]:
            _known(name, catalogue, f"config key {kind}")
        entries[kind] = {name: validated(catalogue[name], schema, f"{kind} entry {name}") for name in checked[kind]}
    study = Study(checked, entries["collections"], entries["models"])
    _cross_check(study)
    return study


def config_schema(base: Path) -> Entry:
    """The schema of a study: workflow/schemas/config.schema.yaml, and in its `$defs` what the library's tables hold."""
    schema = _read_yaml(base / "workflow" / "schemas" / "config.schema.yaml")
    return schema | {"$defs": {"rule": rule_schema(), "strategy": {"enum": list(STRATEGIES)}}}


def validated(value: Any, schema: Entry, what: str) -> Any:
    """`value` with the schema's defaults filled in, at any depth; `UserError` names the first key that is wrong."""
    validator = jsonschema.Draft202012Validator(schema)
    filled = _with_defaults(value, schema)
    errors = sorted(validator.iter_errors(filled), key=lambda error: [str(part) for part in error.absolute_path])
    if errors:
        raise UserError(_one_line(jsonschema.exceptions.best_match(errors), what))
    return filled


def _with_defaults(value: Any, schema: Any) -> Any:
    if not isinstance(schema, Mapping) or not isinstance(value, Mapping):
        return value
    filled = dict(value)
    properties = schema.get("properties", {})
    for key, inner in properties.items():
        if key not in filled and isinstance(inner, Mapping) and "default" in inner:
            filled[key] = copy.deepcopy(inner["default"])
        if key in filled:
            filled[key] = _with_defaults(filled[key], inner)
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        for key in filled.keys() - properties.keys():
            filled[key] = _with_defaults(filled[key], extra)
    return filled


def _one_line(error: jsonschema.ValidationError, what: str) -> str:
    """What is wrong, as `config key first_stage.depht: …`."""
    path = ".".join(str(part) for part in error.absolute_path)
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        allowed = sorted(schema.get("properties", {}))
        unknown = sorted(str(key) for key in error.instance.keys() - set(allowed))[0]
        full = f"{path}.{unknown}" if path else unknown
        return f"{what} key {full}: no such key{_nearest(unknown, allowed)}; known: {', '.join(allowed)}"
    where = f"{what} key {path}" if path else what
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{where}: {missing[0]!r} is missing"
    return f"{where}: {' '.join(error.message.split())}"


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}" if close else ""


def _known(name: str, known: Mapping[str, Any] | Iterable[str], where: str) -> None:
    names = sorted(known)
    if name not in names:
        raise UserError(f"{where}: unknown name {name!r}{_nearest(name, names)}; known: {', '.join(names)}")


def _read_yaml(path: Path) -> Entry:
    try:
        with path.open(encoding="utf-8") as stream:
            content = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of names to entries")
    return content


def _found(name: str, base: Path, where: str) -> Path:
    for path in (Path(name), base / name):
        if path.is_file():
            return path
    raise UserError(f"{where}: no file {name!r} in the working directory or in the checkout")


def _cross_check(study: Study) -> None:
    config = study.config
    systems_config = config["systems"]
    _check_pairs(study)
    for collection in config["passages"]["shorter"]:
        _known(collection, config["collections"], "config key passages.shorter")
    selection = config["layers"]["selection"]
    for key, names in (
        ("evaluation.measures", config["evaluation"]["measures"]),
        ("layers.measure", [config["layers"]["measure"]]),
        ("layers.profile", config["layers"]["profile"]),
    ):
        try:
            measures.check(names) if names else None
        except UserError as error:
            raise UserError(f"config key {key}: {error}") from None
    for key in ("cached_windows", "windows"):
        for window in systems_config[key]:
            _check_window(window, selection, f"config key systems.{key}")
    for window in config["latency"]["windows"]:
        _check_window(window, selection, "config key latency.windows")
    _known(systems_config["variant"], ["base", *config["variants"]], "config key systems.variant")
    for name, variant in config["variants"].items():
        depth = config["first_stage"]["depth"]
        if variant.get("depth", 0) > depth:
            raise UserError(
                f"config key variants.{name}.depth: {variant['depth']} is more than first_stage.depth, {depth}"
            )
    for name, rule in selection.items():
        where = f"config key layers.selection.{name}"
        if (rule["rule"] == ORACLE) != name.startswith(ORACLE):
            raise UserError(f"{where}: names that begin with 'oracle' are for the rule 'oracle' alone, an upper bound")
        on = rule.get("chosen_on")
        if on == "others" and len(config["collections"]) < 2:
            raise UserError(f"{where}.chosen_on: 'others' needs a study of at least two collections")
        for collection in on if isinstance(on, list) else []:
            _known(collection, config["collections"], f"{where}.chosen_on")
        for collection, model in study.pairs if on not in (None, "folds") else ():
            if not chosen_on(study, name, collection, model):
                raise UserError(f"{where}.chosen_on: no other collection is left of it for {model!r} on {collection!r}")
    cells = [f"{a}-{b}" for a in systems_config["frameworks"] for b in systems_config["mechanisms"]]
    for cell in systems_config["cells"]:
        _known(cell, cells or [cell], "config key systems.cells")
    for name, framework in systems_config["frameworks"].items():
        where = f"config key systems.frameworks.{name}"
        kind = framework.get("framework", name)
        _known(kind, KINDS, where)
        try:
            make_sorter(kind, {key: value for key, value in framework.items() if key != "framework"})
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    for name, mechanism in systems_config["mechanisms"].items():
        _known(mechanism.get("mechanism", name), MECHANISMS, f"config key systems.mechanisms.{name}")
    for name, mechanism in systems_config["mechanisms"].items():
        settings = {key: value for key, value in mechanism.items() if key != "mechanism"}
        _check_mechanism(mechanism.get("mechanism", name), settings, f"config key systems.mechanisms.{name}")
    every = {"bm25", *(name for variant in ("base", *config["variants"]) for name in systems(study, variant))}
    _known(config["evaluation"]["baseline"], every, "config key evaluation.baseline")


def _check_pairs(study: Study) -> None:
    for number, entry in enumerate(study.config["leave_out"]):
        for key in ("collections", "models"):
            for name in entry[key]:
                _known(name, study.config[key], f"config key leave_out.{number}.{key}")
    for key, place in (("collections", 0), ("models", 1)):
        for name in study.config[key]:
            if not any(pair[place] == name for pair in study.pairs):
                raise UserError(f"config key leave_out: it leaves nothing of {name!r}: take it out of {key}")


def _check_mechanism(kind: str, settings: Entry, where: str) -> None:
    """Check a mechanism's settings with the framework that has the most prompts for it."""
    try:
        Cell("listwise", kind, mechanism_settings=settings, family="chatml", windows=LayerWindow(0, 0), name=where)
    except UserError as error:
        raise UserError(str(error)) from None


def _check_window(window: str, selection: Mapping[str, Any], where: str) -> None:
    rule = rule_of(window)
    if rule is not None:
        _known(rule, selection, where)
    elif window != ALL and fixed_window(window) is None:
        raise UserError(f"{where}: window {window!r}: expected 'all', 'L<start>-<end>' or 'selected-<name>'")
