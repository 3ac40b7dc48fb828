"""What each stage brings along: heavy modules are imported by the stages that design them in, and by no other."""

import argparse
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest
import yaml
from support.studies import CHECKOUT

from layerrank.commands import SUBCOMMANDS, functions, load
from layerrank.study import code

HEAVY = [
    "torch",
    "transformers",
    "matplotlib",
    "snakemake",
    "pyserini",
    "jnius",
    "pandas",
    "pyarrow",
    "scipy",
    "numpy",
    "yaml",
    "jinja2",
    "jsonschema",
    "ir_measures",
]

LOADED = f"""
import json, sys
sys.path[:0] = {[path for path in sys.path if path]!r}
{{statement}}
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def brought(statement):
    """Heavy modules that are loaded after a statement, in a fresh interpreter."""
    code = LOADED.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_overview_and_every_subcommands_arguments_need_the_standard_library_alone():
    statement = (
        "import argparse\n"
        "from layerrank import __main__, commands\n"
        "commands.overview()\n"
        "for name in commands.SUBCOMMANDS: commands.load(name)[0](argparse.ArgumentParser())\n"
    )
    assert brought(statement) == set()


def test_a_subcommand_imports_its_own_stage_alone():
    statement = (
        "from layerrank import __main__\n__main__.parser('evaluate')\n"
        "stages = sorted(name for name in sys.modules if name.startswith('layerrank.commands.'))\n"
        "assert stages == ['layerrank.commands.arguments', 'layerrank.commands.evaluation'], stages\n"
    )
    assert brought(statement) == set()


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_of_the_table_has_its_two_functions_and_says_what_it_does(name):
    _, run = load(name)
    assert run.__doc__
    assert len(SUBCOMMANDS[name].help) < 100


def test_every_pair_of_functions_is_in_the_table():
    for stage in {subcommand.stage for subcommand in SUBCOMMANDS.values()}:
        module = importlib.import_module(f"layerrank.commands.{stage}")
        listed = {function for name, one in SUBCOMMANDS.items() if one.stage == stage for function in functions(name)}
        found = {name for name in vars(module) if name.startswith("run_")}
        assert found == {name for name in listed if name.startswith("run_")}


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_no_option_takes_the_place_of_the_function(name):
    own = argparse.ArgumentParser()
    load(name)[0](own)
    assert "function" not in {action.dest for action in own._actions}


RUN = {
    "attention": {"torch", "transformers"},
    "latency": {"torch", "transformers"},
    "explorer": {"torch", "transformers"},  # the model's tokenizer
    "figures": {"matplotlib"},
}
"""What running a stage's subcommands loads, of torch, transformers, matplotlib, Snakemake and Java; others: nothing.

What a subcommand imports only where its options ask for it, such as the model that `rerank` loads, is not among it.
"""


@pytest.fixture(scope="module")
def loaded():
    """By stage, all modules that the imports of its subcommands' functions load.

    Stages that are to load nothing follow each other in one interpreter: what one loads, those after it have as well.
    """
    stages = {one.stage for one in SUBCOMMANDS.values()}
    scripts = {}
    for stage in sorted(stages):
        tree = ast.parse(inspect.getsource(importlib.import_module(f"layerrank.commands.{stage}")))
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
        lines = [ast.unparse(node) for node in nodes if getattr(node, "module", "") != "__future__"]
        assert any("from layerrank." in line for line in lines), stage
        scripts[stage] = "\n".join([*lines, f"print({stage!r}, *(name for name in sys.modules if '.' not in name))"])
    found = {}
    for together in ([stage for stage in scripts if stage not in RUN], *([stage] for stage in RUN)):
        script = f"import sys\nsys.path[:0] = {[path for path in sys.path if path]!r}\n"
        script += "\n".join(scripts[stage] for stage in together)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        found |= {stage: set(names) for stage, *names in map(str.split, done.stdout.splitlines())}
    assert found.keys() == stages
    return found


def test_every_stage_loads_the_heavy_modules_that_it_is_meant_to_and_no_other(loaded):
    heavy = {"torch", "transformers", "matplotlib", "snakemake", "pyserini", "jnius"}
    assert {stage: names & heavy for stage, names in loaded.items()} == {
        stage: RUN.get(stage, set()) for stage in loaded
    }


PACKAGES = {"yaml": "pyyaml", "jnius": "pyserini", "jnius_config": "pyserini"}
"""Modules whose package has another name, or brings them along."""
BROUGHT = {"numpy", "huggingface_hub"}
"""Modules that packages of every environment that uses them depend on: pandas, transformers."""
OPTIONAL = {"ir_datasets", "peft"}
"""Modules that a user installs who wants what they do."""
NOT_RUN = {"join-shards": {"torch", "transformers", "safetensors", "httpx2"}}
"""Modules of code that a subcommand reaches and does not run: joining ranks nothing."""


def rules_with_environments():
    for path in sorted((CHECKOUT / "rules").rglob("*.smk")):
        for rule in re.split(r"\n(?=rule )", path.read_text()):
            env, name = re.search(r"envs/(\w+)\.yaml", rule), re.search(r"python -m layerrank ([a-z-]+) ", rule)
            if env and name:
                yield name[1], env[1]


def test_rules_are_found_with_their_environments():
    assert len(list(rules_with_environments())) > 40


@pytest.mark.parametrize(("name", "env"), rules_with_environments())
def test_the_environment_of_a_rule_has_what_its_subcommand_can_reach(name, env):
    listed = yaml.safe_load((CHECKOUT / "envs" / f"{env}.yaml").read_text())["dependencies"][-1]["pip"]
    have = {line.partition("==")[0] for line in listed}
    ours, modules = code._reached(name)
    assert ours and modules
    known = set(sys.stdlib_module_names) | {"layerrank"} | BROUGHT | OPTIONAL | NOT_RUN.get(name, set())
    need = {module for each in modules for module in imported(code._file(each))} - known
    assert {PACKAGES.get(module, module.replace("_", "-")) for module in need} - have == set()


def imported(path):
    """Top-level names of what a file imports."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
