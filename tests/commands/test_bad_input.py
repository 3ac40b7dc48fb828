"""Bad input to the commands: a row a case. Exit code 2, one line on stderr that names the flag or file, no output."""

from __future__ import annotations

import argparse
import gzip
import re
import resource
from pathlib import Path

import pytest
from support.chain import chain

from layerrank import commands
from layerrank.__main__ import INTERRUPTED, main
from layerrank.commands import SUBCOMMANDS, arguments, load


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder in which every command has run, and the arguments that each one ran with."""
    folder = tmp_path_factory.mktemp("study")
    return folder, chain(folder)


class Edit:
    """A file of the study, changed, under the same name in another folder."""

    def __init__(self, change, line=None):
        self.change = change
        self.line = line

    def __call__(self, path: Path, folder: Path) -> Path:
        data = path.read_bytes()
        packed = path.suffix == ".gz"
        data = gzip.decompress(data) if packed else data
        if self.line is None:
            data = self.change(data)
        else:
            lines = data.splitlines(keepends=True)
            lines[self.line] = self.change(lines[self.line])
            data = b"".join(lines)
        target = folder / path.name
        target.write_bytes(gzip.compress(data) if packed else data)
        return target


def sub(old, new, line=None):
    """Replace the first match of a pattern, of the file or of a line from 0."""

    def change(data):
        changed = re.sub(old, new, data, count=1)
        assert changed != data
        return changed

    return Edit(change, line)


def set_to(data):
    return Edit(lambda _: data)


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


TWICE = Edit(lambda data: data + data)
HALF = Edit(lambda data: data[: len(data) // 2])
BINARY = set_to(bytes(range(256)))
EMPTY = set_to(b"")

CASES = [
    # numbers
    ("make-candidates", "--depth", "0", "--depth: '0': expected a whole number from 1"),
    ("make-candidates", "--depth", "-3", "--depth: '-3': expected a whole number from 1"),
    ("make-candidates", "--depth", "1e3", "--depth: '1e3': expected a whole number from 1"),
    ("make-candidates", "--depth", "1_0", "--depth: '1_0': expected a whole number from 1"),
    ("make-candidates", "--depth", "9" * 20, "--depth: '9+': expected a whole number from 1"),
    ("make-candidates", "--words", "0", "--words: '0': expected a whole number from 1"),
    ("make-candidates", "--seed", "nan", "--seed: 'nan': expected a whole number from 0"),
    ("check-first-stage", "--k1", "nan", "--k1: 'nan': expected a number from 0"),
    ("check-first-stage", "--k1", "inf", "--k1: 'inf': expected a number from 0"),
    ("check-first-stage", "--k1", "-0.1", "--k1: '-0.1': expected a number from 0"),
    ("check-first-stage", "--b", "1.5", "--b: '1.5': expected a number from 0 to 1"),
    ("aggregate", "--resamples", "0", "--resamples: '0': expected a whole number from 1"),
    ("measure-latency", "--warmup", "-1", "--warmup: '-1': expected a whole number from 0"),
    # names
    ("evaluate", "--collection", "", "--collection: '': expected a name without white space"),
    ("evaluate", "--model", "a b", "--model: 'a b': expected a name without white space"),
    ("rerank-cached", "--tag", "my run", "--tag: 'my run': expected a name without white space"),
    ("rerank-cached", "--tag", "a\tb", r"--tag: 'a\\tb': expected a name without white space"),
    ("select-window", "--name", "a\nb", r"--name: 'a\\nb': expected a name without white space"),
    ("evaluate", "--collection", "\ud800", r"argument '\\ud800': not valid UTF-8"),
    ("evaluate", "--runs", "bm25={run}", "run bm25: this name is reserved"),
    ("evaluate", "--runs", "{run}", "--runs: '.*': expected NAME=FILE"),
    ("evaluate", "--measures", "nDCG@ten", "nDCG@ten"),
    ("layer-profile", "--measures", "", "measure"),
    # paths
    ("evaluate", "--qrels", "{folder}", "--qrels: .*: is a folder; expected a file"),
    ("evaluate", "--qrels", "/dev/zero", "--qrels: /dev/zero: is a device; expected a file"),
    ("evaluate", "--qrels", "none.txt", "--qrels: none.txt: no such file"),
    ("evaluate", "--runs", "x=none.txt", "--runs: none.txt: no such file"),
    ("evaluate", "--output", "{folder}", "--output: .*: is a folder; expected a file to write"),
    ("evaluate", "--output", "{run}/x.tsv", "--output: .*: .*run.txt is a file, not a folder"),
    ("evaluate", "--output", "", "--output: '': expected a path"),
    ("evaluate", "--output", "a\0b", r"--output: 'a\\x00b': expected a path"),
    ("rerank", "--model", "{run}", "--model: .*: is a file; expected a folder"),
    ("rerank", "--model", "none", "--model: none: no such folder"),
    ("rerank", "--model", "{empty}", "config.json"),
    ("plot-profile", "--output", "x.gif", r"\.gif"),
    ("grid-table", "--outputs", "x.xlsx", r"x\.xlsx: a table is written as"),
    ("rerank", "--costs", "{folder}/online.txt", "--costs: .*online.txt: is the file that --output writes"),
    ("sweep-windows", "--table", "{folder}/qrels.txt", "--table: .*qrels.txt: is the file that --qrels reads"),
    (
        "evaluate",
        "--output",
        "{folder}/listwise-attention-all.txt",
        "--output: .*listwise-attention-all.txt: is the file that --runs reads",
    ),
    ("aggregate", "--resamples", "1" + "0" * 12, "--resamples: '10+': expected a whole number from 1 to 1000000"),
    # settings
    ("select-window", "--rule", "{", "--rule: not valid JSON"),
    ("select-window", "--rule", "[1]", r"--rule: '\[1\]': expected a JSON object"),
    ("select-window", "--rule", '{"rule": "peak", "rule": "best"}', "--rule: not valid JSON .*'rule' comes twice"),
    ("select-window", "--rule", '{"rule": "peak", "width": NaN}', "--rule: not valid JSON .*NaN"),
    ("select-window", "--rule", "[" * 100_000, r"--rule: not valid JSON \(nested too deeply\)"),
    ("select-window", "--rule", '{"rule": "summit"}', "'summit'"),
    ("rerank", "--framework", "bubblewise", "'bubblewise'.*listwise"),
    ("rerank", "--mechanism", "intuition", "'intuition'.*attention"),
    ("rerank", "--window", "L0-99", "window 'L0-99'.*layers 0 to 3"),
    ("rerank", "--window", "L2-1", "window 2-1: must be"),
    ("rerank", "--window", "L1.5", r"L1\.5"),
    ("rerank", "--window", "selected-peak", "selection"),
    ("rerank", "--family", "esperanto", "family 'esperanto': one of"),
    ("extract-attention", "--family", "esperanto", "family 'esperanto': one of"),
    ("measure-latency", "--windows", "L0-99", "layers 0 to 3"),
    ("sweep-windows", "--measure", "cosine", "cosine"),
    # files
    ("make-candidates", "--run", BINARY, r"run\.txt:1: expected 'qid Q0"),
    ("make-candidates", "--run", sub(rb"bm25", b"\xff", 3), r"run\.txt:4: not UTF-8"),
    ("make-candidates", "--run", EMPTY, r"run\.txt: it ranks none of the 4 queries"),
    ("make-candidates", "--run", TWICE, r"run\.txt:21: query 'q1' ranks passage 'd0' twice"),
    ("make-candidates", "--run", sub(rb" 9 ", b" nan ", 0), r"run\.txt:1: score 'nan' is not a finite number"),
    ("make-candidates", "--run", sub(rb" 9 ", b" -inf ", 0), r"run\.txt:1: score '-inf' is not a finite number"),
    ("make-candidates", "--run", sub(rb" bm25", b"", 2), r"run\.txt:3: expected 'qid Q0 pid rank score tag'"),
    ("make-candidates", "--run", sub(rb" d0 ", b" d9 ", 5), "query 'q2': passage 'd9' of the run has no text"),
    ("make-candidates", "--topics", TWICE, r"topics\.jsonl:5: query 'q1' comes twice"),
    ("make-candidates", "--passages", TWICE, r"passages\.jsonl:6: passage 'd0' comes twice"),
    ("make-candidates", "--topics", sub(rb"what", rb"\\ud800", 0), r"topics\.jsonl:1: half a character"),
    ("make-candidates", "--qrels", sub(rb"q4", b"q5", -1), r"qrels\.txt: no judgement of query 'q4'"),
    ("make-candidates", "--qrels", sub(rb"2$", b"2.5", 0), r"qrels\.txt:1: grade '2.5' is not a whole number"),
    ("rerank-cached", "--candidates", TWICE, r"candidates\.jsonl\.gz:5: query 'q1' comes twice"),
    ("rerank-cached", "--candidates", EMPTY, r"candidates\.jsonl\.gz: no candidates of any query"),
    ("rerank-cached", "--candidates", sub(rb'"d1"', b'"d0"', 1), r"gz:2: passage 'd0' comes twice"),
    ("rerank-cached", "--candidates", sub(rb'"q2"', b'"q9"', 1), "query q9 .*no signal"),
    ("rerank-cached", "--signal", Edit(flipped), r"signal\.arrow"),
    ("rerank-cached", "--signal", HALF, r"signal\.arrow"),
    ("rerank-cached", "--signal", EMPTY, r"signal\.arrow"),
    ("select-window", "--sweep", Edit(flipped), r"sweep\.arrow"),
    ("select-window", "--sweep", HALF, r"sweep\.arrow: not a sweep"),
    ("evaluate", "--runs", EMPTY, "run listwise-attention-all: it ranks no query"),
    ("join-shards", "--runs", EMPTY, r"joined\.txt: none of its 1 parts ranks a query"),
    ("join-shards", "--run-costs", TWICE, r"costs\.jsonl:5: query 'q1' comes twice"),
    ("join-shards", "--run-costs", sub(rb'"groups": 1', b'"groups": "one"', 1), r"jsonl:2: groups must be a finite"),
    ("aggregate", "--evaluations", sub(rb"\t\d\.\d+\t", b"\tmany\t", 1), r"evaluation\.tsv:2: value is 'many'"),
    ("aggregate", "--evaluations", sub(rb"\t\d\.\d+\t", b"\tinf\t", 2), r"evaluation\.tsv:3: value is 'inf'"),
    ("aggregate", "--evaluations", sub(rb"\t\d\.\d+\t", b"\t\t", 2), r"evaluation\.tsv: .* a value is missing"),
    ("aggregate", "--evaluations", sub(rb"measure", b"metric", 0), "lacks the column measure"),
    ("aggregate", "--evaluations", TWICE, r"evaluation\.tsv"),
    ("plot-profile", "--profile", HALF, r"profile\.tsv:\d+: \w+ is 'nan'; expected a finite number"),
    ("plot-sweep", "--sweep", BINARY, r"sweep\.tsv: not a table"),
    ("manifest", "--signals", BINARY, r"signal\.arrow"),
]


@pytest.mark.parametrize(("name", "flag", "value", "line"), CASES)
def test_one_line_says_what_is_wrong_and_nothing_is_written(
    study, tmp_path, monkeypatch, capsys, name, flag, value, line
):
    folder, argv = study
    monkeypatch.chdir(tmp_path)
    given = list(argv[name])
    if flag not in given:
        given += [flag, ""]
    place = given.index(flag) + 1
    if isinstance(value, Edit):
        prefix, path = given[place].rpartition("=")[::2]
        given[place] = f"{prefix}=" * bool(prefix) + str(value(Path(path), tmp_path))
    else:
        (tmp_path / "empty").mkdir()
        given[place] = value
        for word, path in (("folder", folder), ("run", folder / "run.txt"), ("empty", tmp_path / "empty")):
            given[place] = given[place].replace(f"{{{word}}}", str(path))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    capsys.readouterr()
    assert main([name, *given]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"layerrank {name}: ")
    assert re.search(line, told)
    assert len(told) < 600
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


WRONG = {
    arguments.file: ["none", "{folder}", "", "\0"],
    arguments.folder: ["none", "{file}", "", "\0"],
    arguments.new_file: ["{folder}", "{file}/x", "", "\0"],
    arguments.new_folder: ["{file}", "{file}/x", "", "\0"],
    arguments.named_file: ["none", "=none", "x=", "x={folder}", "x=none"],
    arguments.named_folder: ["none", "=none", "x=", "x={file}", "x=none"],
    arguments.json_object: ["", "{", "[]", "1", '{"a": Infinity}', '{"a": 1, "a": 2}'],
    arguments.label: ["", " ", "a b", "a\u2003b", "a\nb"],
}
NUMBERS = ["", "x", "nan", "inf", "-inf", "1_0", "1e999", "0x10", "-1"]


def flags():
    for name in SUBCOMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        load(name)[0](parser)
        for action in parser._actions:
            kind = action.type
            wrong = WRONG.get(kind) or (NUMBERS if getattr(kind, "__qualname__", "").endswith(".<locals>.read") else [])
            if wrong and action.option_strings:
                yield pytest.param(name, action.option_strings[-1], wrong, id=f"{name} {action.option_strings[-1]}")


@pytest.mark.parametrize(("name", "flag", "wrong"), flags())
def test_no_flag_takes_what_it_cannot_use(tmp_path, monkeypatch, capsys, name, flag, wrong):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for value in wrong:
        value = value.replace("{folder}", "folder").replace("{file}", "file")
        assert main([name, flag, value]) == 2
        (told,) = capsys.readouterr().err.splitlines()
        assert told.startswith(f"layerrank {name}: {flag}: ")


WRITTEN = ("--output", "--outputs", "--table", "--output-qrels", "--costs")
CHAINED = (
    *("make-candidates", "check-first-stage", "check-prompts", "extract-attention", "layer-profile", "sweep-windows"),
    *("select-window", "rerank-cached", "rerank", "join-shards", "evaluate", "aggregate", "compare", "summarise-costs"),
    *("measure-latency", "effectiveness-table", "grid-table", "cost-table", "plot-profile", "plot-sweep"),
    *("plot-effectiveness", "manifest"),
)


def test_the_chain_has_these_commands(study):
    assert set(study[1]) >= set(CHAINED)


@pytest.mark.parametrize("room", [0, 60, 300])
@pytest.mark.parametrize("name", CHAINED)
def test_a_full_disk_is_one_line_that_names_the_file(study, tmp_path, capsys, name, room):
    """A limit of the system on the size of files stands for a disk that is full: writing fails at the same places."""
    arguments, written = list(study[1][name]), []
    for place, flag in enumerate(arguments[:-1]):
        if flag in WRITTEN and not (flag == "--costs" and name in ("summarise-costs", "cost-table")):
            written.append(Path(arguments[place + 1]).name)
            arguments[place + 1] = str(tmp_path / "out" / written[-1])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        code = main([name, *arguments])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("layerrank ")]
    if code == 0:  # what it writes is smaller
        assert room == 300 and told == []
        return
    assert code == 2
    (line,) = told
    assert line.endswith(": file too large") and any(re.search(rf"/\.?{re.escape(file)}", line) for file in written)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not {file for file in left if file.endswith(".tmp")}


def test_every_flag_of_every_command_that_names_a_file_or_a_number_says_which_kind():
    """A kind of `commands.arguments` looks at files before anything runs; a bare type would not."""
    for name in SUBCOMMANDS:
        parser = argparse.ArgumentParser(add_help=False)
        load(name)[0](parser)
        for action in parser._actions:
            assert action.type not in (Path, int, float), f"{name} {action.option_strings}"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "layerrank: the following arguments are required: SUBCOMMAND"),
        (["rerankk"], "layerrank: 'rerankk' is no subcommand; did you mean rerank?"),
        (["--nothing"], "layerrank: the following arguments are required: SUBCOMMAND"),
        (["compare"], "layerrank compare: the following arguments are required: --evaluations"),
        (["compare", "--nothing"], "layerrank compare: the following arguments are required"),
    ],
)
def test_the_command_line_itself(capsys, argv, line):
    assert main(argv) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(line)


def raising(error, monkeypatch):
    def run(options):
        raise error

    monkeypatch.setattr(commands, "load", lambda name: (lambda parser: None, run))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "results/run.txt"), "results/run.txt: no space left on device"),
        (PermissionError(13, "Permission denied", "x"), "x: permission denied"),
        (IsADirectoryError(21, "Is a directory", "x"), "x: is a directory"),
        (OSError(5, "Input/output error"), "input/output error"),
        (OSError("cannot reach https://me:secret@host/"), r"cannot reach https://***@host/"),
    ],
)
def test_what_the_machine_refuses_is_one_line(monkeypatch, capsys, error, line):
    raising(error, monkeypatch)
    assert main(["plan"]) == 2
    assert capsys.readouterr().err == f"layerrank plan: {line}\n"


def test_an_interrupt_is_quiet(monkeypatch, capsys):
    raising(KeyboardInterrupt(), monkeypatch)
    assert main(["plan"]) == INTERRUPTED
    assert capsys.readouterr().err == "layerrank plan: interrupted\n"


def test_a_defect_keeps_its_traceback(monkeypatch):
    raising(ZeroDivisionError("a defect"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        main(["plan"])
