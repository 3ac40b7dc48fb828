# Names, paths and settings that the stages share. No rules; the logic behind it is layerrank.study and layerrank.code.

import json
import os
import shlex
import sys
from pathlib import Path

BASE = Path(workflow.current_basedir).parent
sys.path.insert(0, str(BASE / "src"))
os.environ.update(LAYERRANK_BASE=str(BASE))

from layerrank.study import config as study_config, load as studies, slurm, systems
from layerrank.core import files
from layerrank.study.code import code_digest
from layerrank.collections import prepared
from layerrank.core.errors import UserError
from snakemake.exceptions import WorkflowError

slurm.steady()

try:
    STUDY = studies.load_study(config, BASE)
except UserError as error:
    raise WorkflowError(str(error)) from None

CONFIG = STUDY.config
COLLECTIONS = CONFIG["collections"]
MODELS = CONFIG["models"]
VARIANTS = ["base", *CONFIG["variants"]]
SYSTEMS = {variant: systems.systems(STUDY, variant) for variant in VARIANTS}
SELECTIONS = list(CONFIG["layers"]["selection"])
GRID = CONFIG["systems"]["variant"]
SHOWN = list(
    dict.fromkeys(["base", GRID])
)  # the variants whose systems the report shows one by one
SENSITIVITY = {
    variant: CONFIG["variants"][variant] for variant in VARIANTS if variant not in SHOWN
}
LEAD_MEASURE = CONFIG["evaluation"]["measures"][0]


pathvars:
    results=CONFIG["results"],
    resources=CONFIG["cache"],
    logs=str(Path(CONFIG["results"], "logs")),


wildcard_constraints:
    collection="[A-Za-z0-9][A-Za-z0-9._-]*",
    model="[A-Za-z0-9][A-Za-z0-9._-]*",
    variant="[a-z0-9][a-z0-9_-]*",
    selection="[a-z0-9][a-z0-9-]*",
    system="[a-zA-Z0-9-]+",
    shard=r"\d+",
    shards=r"\d+",
    kind="collection|model",
    fixed="[A-Za-z0-9][A-Za-z0-9._-]*",


# Every rule's shell line is a subcommand that can be run by hand: `python -m layerrank …` with src/ on the path. Its python
# is that of the rule's environment, or else the one that runs Snakemake, activated or not.
SOFTWARE = workflow.deployment_settings.deployment_method
OWN_PYTHON = f"{shlex.quote(str(Path(sys.executable).parent))}:" if not SOFTWARE else ""
shell.prefix(
    "set -euo pipefail; "
    f"export PATH={OWN_PYTHON}$PATH; "
    f"export PYTHONPATH={shlex.quote(str(BASE / 'src'))}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    f"export LAYERRANK_BASE={shlex.quote(str(BASE))} LAYERRANK_CACHE={shlex.quote(CONFIG['cache'])}; "
)


def as_json(value):
    """A setting as one shell word, with sorted keys, so that equal settings are equal parameters."""
    return json.dumps(value, sort_keys=True)


def collection_entry(wildcards):
    """All of a collection's entry but what only plans read."""
    entry = STUDY.collections[wildcards.collection]
    return as_json(
        {key: value for key, value in entry.items() if key != "passage_words"}
    )


def collection_identity(wildcards):
    """What a collection is made from: not how it is judged, split into jobs or named."""
    return as_json(
        prepared.identity(wildcards.collection, STUDY.collections[wildcards.collection])
    )


def collection_sources(wildcards):
    """Files of a collection that lie in a folder: a change of theirs is a change of the study."""
    return prepared.inputs(
        wildcards.collection, STUDY.collections[wildcards.collection]
    )


def instruction_of(wildcards):
    return STUDY.collections[wildcards.collection]["instruction"]


def titles_of(wildcards):
    return as_json(STUDY.collections[wildcards.collection].get("titles", True))


def model_entry(wildcards):
    """What fetching a model depends on: where it comes from, not how it is prompted."""
    return as_json(study_config.model_source(STUDY.models[wildcards.model]))


def variant_setting(key):
    def get(wildcards):
        return study_config.variant_settings(STUDY, wildcards.variant)[key]

    return get


def passage_words(wildcards):
    return study_config.passage_words(STUDY, wildcards.collection, wildcards.variant)


def query_limit():
    limit = CONFIG["queries"]["limit"]
    return "" if limit is None else f"--query-limit {limit}"


def variant_query_limit(wildcards):
    limit = study_config.variant_settings(STUDY, wildcards.variant)["queries"]
    return (
        ""
        if limit is None
        else f"--query-limit {limit} --query-seed {CONFIG['queries']['seed']}"
    )


def prompt_flags(collection, model, variant):
    """Flags of everything that shapes a prompt and the forward pass."""
    settings = study_config.prompt_settings(STUDY, collection, model, variant)
    return " ".join(
        f"--{key.replace('_', '-')} {shlex.quote(str(value))}"
        for key, value in sorted(settings.items())
    )


def prompt_settings(wildcards):
    return prompt_flags(wildcards.collection, wildcards.model, wildcards.variant)


def base_prompt_settings(wildcards):
    return prompt_flags(wildcards.collection, wildcards.model, "base")


def shards_of(collection):
    return STUDY.collections[collection].get("shards", 1)


def signal_of(collection, model, variant):
    """The files of a variant's stored signal, by shard; variants that differ in scoring alone share one."""
    n, stored = shards_of(collection), study_config.signal_variant(STUDY, variant)
    return [
        f"<results>/{collection}/{model}/attention/{stored}.shard-{i}-of-{n}.arrow"
        for i in range(n)
    ]


def gpus_of(wildcards):
    return STUDY.models[wildcards.model].get("gpus", 0)


def model_memory(wildcards, attempt):
    return STUDY.models[wildcards.model].get("mem_mb", 8000) * attempt


def model_runtime(wildcards, attempt):
    return STUDY.models[wildcards.model].get("runtime", 120) * attempt


def every(pattern, variants=("base",), **others):
    """The pattern for each pair of a collection and a model of the study, and each variant."""
    return [
        path
        for collection, model in STUDY.pairs
        for path in expand(
            pattern, collection=collection, model=model, variant=variants, **others
        )
    ]


def every_signal():
    """The files of every stored signal of the study."""
    return [
        path
        for collection, model in STUDY.pairs
        for variant in VARIANTS
        for path in signal_of(collection, model, variant)
    ]


def measures_of(wildcards):
    """The study's measures, in the order of the configuration."""
    return " ".join(
        shlex.quote(measure) for measure in CONFIG["evaluation"]["measures"]
    )


def relevance_level_of(wildcards):
    return STUDY.collections[wildcards.collection].get("relevance_level", 1)


def table_marks(wildcards):
    """What marks significance in tables."""
    tests = CONFIG["evaluation"]
    return f"--baseline {tests['baseline']} --test {tests['test']} --alpha {tests['alpha']}"


def study_downloads():
    """What a study needs from elsewhere, for machines without a network: models, collections, indexes."""
    return [
        *expand("<resources>/models/{model}", model=MODELS),
        *expand("<results>/{collection}/index", collection=COLLECTIONS),
    ]
