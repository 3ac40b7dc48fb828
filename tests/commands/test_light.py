"""`pip install .` brings what ranking needs: it ranks without the extras' packages, and names the extra elsewhere."""

import re
import subprocess
import sys
import tomllib

import pytest
from support.studies import CHECKOUT
from support.tiny import save_tiny

from layerrank.core.extras import EXTRAS, lacking

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]

WITHOUT = f"""
import builtins, sys
real = builtins.__import__

def refusing(name, globals=None, locals=None, fromlist=(), level=0):
    importer = str((globals or {{}}).get("__name__"))
    if not level and name.partition(".")[0] in {set(EXTRAS)} and importer.startswith("layerrank"):
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = refusing  # what layerrank itself imports; another package may use what it finds
"""

RANK = """
from layerrank import Reranker
ways = ("pointwise", "likelihood"), ("listwise", "attention"), ("setwise", "generation")
for framework, mechanism in ways:
    reranker = Reranker(sys.argv[1], framework, mechanism, orders=1 + (mechanism == "attention"), family="llama3")
    print([result.index for result in reranker.rank("wing", ["a", "b"])])
"""


def light(code, *arguments):
    """Run a program in which layerrank finds no package of an extra."""
    return subprocess.run([sys.executable, "-c", WITHOUT + code, *arguments], capture_output=True, text=True)


def command(*arguments):
    return light("from layerrank.__main__ import run; run()", *map(str, arguments))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


def names(requirements):
    return {re.split(r"[^\w-]", text)[0].replace("-", "_") for text in requirements}


def test_the_extras_are_those_of_the_project():
    for extra in set(EXTRAS.values()):
        own = {module for module, name in EXTRAS.items() if name == extra}
        assert names(PROJECT["optional-dependencies"][extra]) == own
    assert not names(PROJECT["dependencies"]) & EXTRAS.keys()


def test_the_interface_ranks_without_them(model):
    done = light(RANK, str(model))
    assert done.returncode == 0, done.stderr
    assert [sorted(line) for line in done.stdout.splitlines()] == [sorted("[0, 1]")] * 3


def test_the_command_ranks_without_them(model, tmp_path):
    (tmp_path / "run.txt").write_text("q Q0 a 1 2.0 x\nq Q0 b 2 1.0 x\n")
    (tmp_path / "topics.tsv").write_text("q\twing\n")
    (tmp_path / "texts.jsonl").write_text('{"_id": "a", "text": "a wing"}\n{"_id": "b", "text": "a cat"}\n')
    given = ["--run", tmp_path / "run.txt", "--topics", tmp_path / "topics.tsv", "--passages", tmp_path / "texts.jsonl"]
    done = command(
        *("rerank", *given, "--model", model, "--framework", "pointwise", "--mechanism", "likelihood"),
        *("--output", tmp_path / "out.txt"),
    )
    assert done.returncode == 0, done.stderr
    assert {line.split()[2] for line in (tmp_path / "out.txt").read_text().splitlines()} == {"a", "b"}


def test_a_study_names_the_extra_in_one_line():
    done = command("plan")
    assert done.returncode == 2
    assert re.fullmatch(
        r"layerrank plan: needs \w+, which is not installed: pip install 'layerrank\[study\]'\n", done.stderr
    )


def test_bm25_names_its_own():
    assert lacking(ModuleNotFoundError("", name="pyserini.search")).endswith("'layerrank[bm25]'")


def test_another_module_is_a_defect():
    assert lacking(ModuleNotFoundError("", name="layerrank.nothing")) is None
    assert lacking(ModuleNotFoundError("without a name")) is None
