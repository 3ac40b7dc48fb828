"""Every command of the pages, as a reader would copy it: Snakemake's planned, make's and ours read to the end."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import studies
from support.studies import CHECKOUT

from layerrank.__main__ import parser

PAGES = [CHECKOUT / "README.md", CHECKOUT / "config/README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
WORDS = r"(?:snakemake|make|python -m layerrank|layerrank)"
LINE = re.compile(rf"^(?:(?: {{4}})+|)({WORDS} [^\n]*)$|`({WORDS} [^`\n]*)`", re.MULTILINE)
NO_COMMAND = re.compile(r"…|^make \w+ \w|^layerrank (is|needs)\b|<")
REPORTS = "--report"
"""Needs results: test_report_render makes one with the same stylesheet."""


def commands():
    """Page and command, without what a comment says; the same command once."""
    found = {}
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text())
        for match in LINE.finditer(text):
            command = re.split(r"\s{2,}#|\s+# ", match[1] or match[2])[0].strip()
            if not NO_COMMAND.search(command):
                found.setdefault(command, page.relative_to(CHECKOUT))
    return [(str(page), command) for command, page in found.items()]


COMMANDS = commands()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout as a reader has it, with the files that the commands name."""
    folder = tmp_path_factory.mktemp("reader")
    for name in (
        "Snakefile",
        "Makefile",
        "workflow",
        "rules",
        "src",
        "envs",
        "profiles",
        "pyproject.toml",
        "requirements.lock",
    ):
        (folder / name).symlink_to(CHECKOUT / name)
    (folder / "config").mkdir()
    for path in (CHECKOUT / "config").iterdir():
        (folder / "config" / path.name).symlink_to(path)
    studies.write_collection(folder / "collection")
    study = {
        "collections": ["mine"],
        "models": ["smollm2-135m-instruct"],
        "define": {"collections": {"mine": {"source": "beir", "path": "collection"}}},
    }
    (folder / "config/paper.yaml").unlink()  # planned by test_paper_graph; a small one is as good for the command
    for name in ("mine.yaml", "gpu.yaml", "config/paper.yaml"):
        (folder / name).write_text(yaml.safe_dump(study))
    for name in ("run.txt", "queries.jsonl", "corpus.jsonl"):
        (folder / name).touch()
    return folder


def test_there_are_commands():
    assert sum(command.startswith("snakemake") for _, command in COMMANDS) > 8


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {command[:50]}" for page, command in COMMANDS])
def test_a_command_of_the_pages_works(folder, monkeypatch, page, command):
    words = shlex.split(command)
    if words[0] == "make":
        done = subprocess.run(
            [*words, "--dry-run", "VENV=none"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    elif words[0] == "snakemake":
        if REPORTS in words:
            assert (CHECKOUT / words[words.index("--report-stylesheet") + 1]).is_file()
            return
        dry = [] if "--unlock" in words else ["--nolock"]
        cores = [] if "--cores" in words or "--profile" in words else ["--cores", "1"]
        done = subprocess.run(
            [sys.executable, "-m", *words[:1], "--dry-run", *dry, *cores, *words[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        monkeypatch.chdir(folder)
        arguments = words[words.index("layerrank") + 1 :]
        if "--model" in arguments:
            Path(arguments[arguments.index("--model") + 1]).mkdir(parents=True, exist_ok=True)
        if len(arguments) > 1:
            parser(arguments[0]).parse_args(arguments)
        else:
            parser(arguments[0])
