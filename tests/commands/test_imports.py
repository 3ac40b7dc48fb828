"""What each stage brings along: heavy modules are imported by the stages that design them in, and by no other."""

import argparse
import json
import subprocess
import sys

import pytest

from layerrank.commands import SUBCOMMANDS, functions, load

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
    import importlib

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
