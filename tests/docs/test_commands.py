"""What the pages tell a reader to type: every command is taken apart by the program that it names, small ones planned.

A command is a line of a fenced block of the shell, or of an indented block, that begins with a program.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_args
from support.studies import CHECKOUT
from support.tiny import save_tiny

from layerrank.__main__ import parser
from layerrank.core.errors import UserError
from layerrank.study.load import load_study

PAGES = [CHECKOUT / "README.md", CHECKOUT / "config" / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
PROGRAMS = {"make", "snakemake", "python", "git", "cd", "cp", "mkdir", ".", "export"}
ELSEWHERE = {"git", "cd", "cp", "mkdir", ".", "export"}
"""Programs that do nothing here worth a test."""


def blocks(text):
    """(language, lines) of every fenced block, indented ones without their indent, and of runs of indented lines."""
    fence = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for indent, language, body in fence.findall(text):
        yield language, "\n".join(line.removeprefix(indent) for line in body.splitlines())
    for body in re.findall(r"(?:^    .*\n|^\n(?=    ))+", fence.sub("\n", text), re.MULTILINE):
        yield "", "\n".join(line.strip() for line in body.splitlines())


def commands():
    """(page, line) of every command, continued lines joined, comments and prompts left off."""
    for page in PAGES:
        for language, body in blocks(page.read_text(encoding="utf-8")):
            if language not in ("", "bash", "sh"):
                continue
            for line in body.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True) if line.partition(" ")[0] in PROGRAMS else []
                if words:
                    yield pytest.param(words, id=f"{page.name}: {' '.join(words)[:60]}")


COMMANDS = list(commands())


def test_commands_are_found():
    assert len(COMMANDS) > 20
    assert {words.values[0][0] for words in COMMANDS} >= {"make", "snakemake", "python", "."}


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_one_that_its_program_takes(words, tmp_path, monkeypatch):
    program, *arguments = words
    if program in ELSEWHERE:
        return
    monkeypatch.chdir(CHECKOUT)
    if program == "make":
        done = subprocess.run(["make", "-n", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif program == "snakemake":
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                parse_args(arguments)
            except SystemExit as stop:
                assert stop.code == 0, said.getvalue()
        for name in configfiles(arguments):
            assert name in STUDIES or (CHECKOUT / name).is_file(), name
    elif arguments[:2] == ["-m", "layerrank"]:
        try:
            parser(arguments[2]).parse_args(arguments[2:])
        except UserError as error:
            assert re.search(r"no such file|not a model folder", str(error)), error
    elif program == "python":
        assert arguments[:2] == ["-m", "benchmarks"] or arguments[0] == "-c" or Path(CHECKOUT, arguments[0]).is_file()
    else:
        pytest.fail(f"{program}: no test knows it")


STUDIES = {"mine.yaml", "gpu.yaml", "dl19.yaml", "own.yaml"}
"""Studies of a reader's own, whose text is on the page."""


def configfiles(arguments):
    """The files that a command of Snakemake names as its study."""
    return [arguments[place + 1] for place, word in enumerate(arguments) if word == "--configfile"]


PLANNED = [
    words
    for words in COMMANDS
    if words.values[0][0] == "snakemake"
    and "--cores" in words.values[0]
    and set(configfiles(words.values[0])) <= {"mine.yaml"}
]


@pytest.mark.parametrize("words", PLANNED)
def test_commands_of_small_studies_plan(words, tmp_path):
    (tmp_path / "mine.yaml").write_text("collections: [pocket]\nmodels: [smollm2-135m-instruct]\n")
    arguments = [word.replace("results/mine/", "results/pocket/") for word in words[1:]]
    command = [sys.executable, "-m", "snakemake", "-s", str(CHECKOUT / "Snakefile"), "-n", "-q", "all", "--nolock"]
    done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


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
        if "systems" in study:
            study["layers"] = {"selection": {"peak": {"rule": "peak"}}}
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
