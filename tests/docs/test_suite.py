"""The suite itself: what a worker is given together is there under the name that says so."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support import scheduling, warm
from support.studies import CHECKOUT


def test_what_is_named_is_there():
    for begin in scheduling.LONGEST:
        file, _, name = begin.partition("::")
        assert (CHECKOUT / file).exists() and f"def {name}" in ((CHECKOUT / file).read_text() if name else "def ")
    assert all((CHECKOUT / file).is_file() for file in scheduling.SPREAD)


def test_tests_of_a_file_stay_together_unless_it_is_spread():
    spread = sorted(scheduling.SPREAD)[0]
    unit = scheduling.ByFile._split_scope
    assert {unit(None, f"tests/a.py::{name}") for name in ("test_one[a::b]", "Two::test_two")} == {"tests/a.py"}
    assert unit(None, f"{spread}::test_one[1]") != unit(None, f"{spread}::test_one[2]")


def test_the_longest_come_first_and_nothing_is_lost():
    ids = ["tests/core/test_files.py::a", "tests/workflow/test_served.py::b", "tests/core/test_files.py::b"]
    ids += [scheduling.LONGEST[0], "tests/workflow/test_rules.py::c", f"{scheduling.LONGEST[-2]}::z"]
    items = [SimpleNamespace(nodeid=each) for each in ids]
    scheduling.sort(items)
    assert [item.nodeid for item in items] == [ids[3], ids[1], ids[5], ids[4], ids[0], ids[2]]


def said(words, folder, environment):
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, cwd=folder, env=os.environ | environment, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["layerrank", "--version"], 0),
        (["layerrank", "rerank", "--candidates", "absent", "--window", "e's;u$HOME \\ ü"], 2),
        (["snakemake", "--configfile", "absent.yaml"], 1),
    ],
)
def test_a_command_in_a_fork_says_what_it_says_in_an_interpreter_of_its_own(tmp_path, words, status):
    forked = said(words, tmp_path, warm.environment())
    assert forked == said(words, tmp_path, {})
    assert forked[0] == status


def test_a_fork_has_the_folder_environment_and_standard_files_of_its_command(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text(
        "import os, sys\nprint(os.getcwd(), os.environ['TOLD'], sys.stdin.read())\nsys.exit(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        input="read",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | warm.environment() | {"TOLD": "told"},
        check=False,
    )
    assert done.returncode == 7 and f"{tmp_path} told read" in done.stdout


def test_the_first_command_of_each_kind_starts_in_an_interpreter_of_its_own(tmp_path):
    (tmp_path / "Snakefile").write_text("import sys\nprint('torch' in sys.modules)\nsys.exit(7)\n")
    environment = warm.first_fresh(tmp_path / "fresh")
    told = [said(["snakemake", "--cores", "1"], tmp_path, environment)[1].split() for _ in range(2)]
    assert told == [[b"False"], [b"True"]]
    assert [path.name for path in (tmp_path / "fresh").iterdir()] == ["snakemake.--cores."]
    said(["layerrank", "rerank", "--mechanism", "attention"], tmp_path, environment)
    said(["layerrank", "rerank", "--mechanism", "likelihood"], tmp_path, environment)
    kinds = {path.name for path in (tmp_path / "fresh").iterdir()}
    assert kinds >= {"layerrank.rerank.attention", "layerrank.rerank.likelihood"}
