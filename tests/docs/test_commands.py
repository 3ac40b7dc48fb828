"""What the pages tell a reader to type: Snakemake's commands are planned, make's and ours read to the end; studies and
Python on a page are tried.

A command is a line of a fenced block of the shell, or of an indented block, that begins with a program, or a piece of
code within a line that begins with one of ours.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import studies, warm
from support.studies import CHECKOUT
from support.tiny import save_tiny

from layerrank.__main__ import parser
from layerrank.core.errors import UserError
from layerrank.study.load import load_study

PAGES = [CHECKOUT / "README.md", CHECKOUT / "config" / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
PROGRAMS = {"make", "snakemake", "python", "git", "cd", "cp", "mkdir", ".", "export"}
ELSEWHERE = {"git", "cd", "cp", "mkdir", ".", "export"}
"""Programs that do nothing here worth a test."""

NO_COMMAND = re.compile(r"…|^make \w+ \w|<")
"""What only looks like one: a piece of a command, words that begin with make, a form to fill in."""


def blocks(text):
    """(language, lines) of every fenced block, indented ones without their indent, and of runs of indented lines."""
    fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for indent, language, body in fence.findall(text):
        yield language, "\n".join(line.removeprefix(indent) for line in body.splitlines())
    for body in re.findall(r"(?:^    .*\n|^\n(?=    ))+", fence.sub("\n", text), re.MULTILINE):
        yield "", "\n".join(line.strip() for line in body.splitlines())


def commands():
    """(page, words) of every command, continued lines joined, comments left off; the same command once."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [
            line
            for language, body in blocks(text)
            if language in ("", "bash", "sh")
            for line in body.replace("\\\n", " ").splitlines()
            if line.partition(" ")[0] in PROGRAMS
        ]
        lines += re.findall(r"`((?:snakemake|make|python -m layerrank) [^`\n]+)`", text)
        for line in lines:
            words = tuple(shlex.split(line, comments=True)) if not NO_COMMAND.search(line) else ()
            if words:
                found.setdefault(words, page.name)
    return [pytest.param(words, id=f"{page}: {' '.join(words)[:60]}") for words, page in found.items()]


COMMANDS = list(commands())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout as a reader has it, with the files that the commands name."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("Snakefile", "Makefile", "pyproject.toml", "requirements.lock"):
        (folder / name).symlink_to(CHECKOUT / name)
    for name in ("workflow", "rules", "src", "envs", "profiles", "benchmarks", "docs"):
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
    for name in ("mine.yaml", "gpu.yaml", "dl19.yaml", "own.yaml", "config/paper.yaml"):
        (folder / name).write_text(yaml.safe_dump(study))
    for name in ("run.txt", "queries.jsonl", "corpus.jsonl", "passages.txt"):
        (folder / name).touch()
    studies.write_collection(folder / "data/cranfield")
    (folder / "data/trec-dl19").mkdir()
    for name in ("run.txt", "queries.jsonl", "corpus.jsonl", "qrels.txt"):
        (folder / "data/trec-dl19" / name).touch()
    for name in ("results", "published"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def test_commands_are_found():
    assert len(COMMANDS) > 20
    assert {words.values[0][0] for words in COMMANDS} >= {"make", "snakemake", "python", "."}
    assert sum(words.values[0][0] == "snakemake" for words in COMMANDS) > 8


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_pages_works(words, folder, monkeypatch):
    program, *arguments = words
    if program in ELSEWHERE:
        return
    monkeypatch.chdir(folder)
    if program == "make":
        done = subprocess.run(["make", "--dry-run", "VENV=none", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif program == "snakemake" and "--report" in arguments:  # needs results: test_report_render makes one
        assert (CHECKOUT / arguments[arguments.index("--report-stylesheet") + 1]).is_file()
    elif program == "snakemake":
        own = [] if "--unlock" in arguments else ["--nolock"]
        own += [] if {"--cores", "--profile"} & set(arguments) else ["--cores", "1"]
        command = [sys.executable, "-m", "snakemake", "--dry-run", "-q", "all", *own, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | warm.environment())
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    elif arguments[:2] == ["-m", "layerrank"]:
        if "--model" in arguments:
            Path(arguments[arguments.index("--model") + 1]).mkdir(parents=True, exist_ok=True)
        taken = parser(arguments[2])
        if len(arguments) > 3:
            try:
                taken.parse_args(arguments[2:])
            except UserError as error:
                assert re.search(r"no such file", str(error)), error
    elif program == "python":
        assert arguments[:2] == ["-m", "benchmarks"] or arguments[0] == "-c" or Path(CHECKOUT, arguments[0]).is_file()
    else:
        pytest.fail(f"{program}: no test knows it")


def texts(language):
    """Every block of a language, by page and number."""
    for page in PAGES:
        own = [body for found, body in blocks(page.read_text(encoding="utf-8")) if found == language]
        for number, body in enumerate(own, 1):
            yield pytest.param(body, id=f"{page.name}: {number}")


@pytest.mark.parametrize("body", texts("yaml"))
def test_every_study_on_a_page_is_one(body):
    study = yaml.safe_load(body)
    if not {"collections", "models"} <= study.keys():
        study |= {"collections": ["pocket"], "models": ["smollm2-135m-instruct"]}
        study.pop("leave_out", None)  # of other models
        if {"systems", "heads"} & study.keys():
            study["layers"] = {"selection": {"peak": {"rule": "peak"}, "best": {"rule": "best"}}}
            study.setdefault("orders", {"shuffles": 2})
    loaded = load_study(study, CHECKOUT)
    assert loaded.config["collections"] == study["collections"]


ELSEWHERE_RUN = {"pyterrier.md: 1"}
"""Python that a test of its own runs, with the files that it reads: test_pyterrier."""


@pytest.mark.parametrize(
    "body", [text for text in texts("python") if "Reranker" in text.values[0] and text.id not in ELSEWHERE_RUN]
)
def test_python_on_a_page_runs(body, tmp_path, capsys):
    folder = save_tiny(tmp_path / "model", "llama", "byte_level")
    written = re.sub(r'"[^"]*(?:resources/models|own-model)[^"]*"', repr(str(folder)), body).replace('"10-13"', '"1-2"')
    assert str(folder) in written
    exec(compile(written, "page", "exec"), {})
    assert capsys.readouterr().out
