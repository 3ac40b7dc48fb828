import os
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerrank.core import files, frames

FORMULAS = [
    ("=1+1", "'=1+1"),
    ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
    ("+sum", "'+sum"),
    ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
    ("@system", "'@system"),
    (" =1", "'=1"),
    ("\t=1\n", "'=1"),
    ("-0.125", "-0.125"),
    ("+3", "+3"),
    ("-1e-05", "-1e-05"),
    (".5", ".5"),
    ("-", "'-"),
    ("-1-2", "'-1-2"),
    ("--1", "'--1"),
    ("−0.1 to 0.2", "−0.1 to 0.2"),
    ('"=1+1"', '\'"=1+1"'),
    ("a=b", "a=b"),
    ("", ""),
]


@pytest.mark.parametrize(("cell", "written"), FORMULAS)
def test_no_text_of_a_table_for_people_is_a_formula_and_numbers_stay(cell, written):
    assert files.tsv([["name", cell]]) == f"name\t{written}\n"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=4))
def test_a_table_for_people_keeps_its_shape(rows):
    lines = files.tsv(rows).split("\n")
    assert len(lines) == len(rows) + 1 and lines[-1] == ""
    assert all(line.count("\t") == 1 for line in lines[:-1])


@pytest.mark.parametrize("name", ["=1+1", "@x", "-a", "+b", "NA", "1e5", "007", 'a"b', "'q"])
def test_what_stages_read_of_each_other_is_exact(tmp_path, name):
    frame = pd.DataFrame({"system": [name], "mean": [-0.125]})
    frames.write_frame(tmp_path / "t.tsv", frame)
    read = frames.read_frame(tmp_path / "t.tsv", ("system", "mean"))
    assert read["system"].tolist() == [name] and read["mean"].tolist() == [-0.125]


def test_a_full_disk_is_named_with_its_file_and_nothing_is_left(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_text(tmp_path / "run.txt", "text")
    assert caught.value.filename == str(tmp_path / "run.txt")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_goes_at_the_next_start_and_a_live_one_s_stays(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from layerrank.core import files\n"
        "with files.replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "run.txt"
    assert subprocess.run([sys.executable, "-c", code, path], env={**os.environ}).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    other = tmp_path / ".run.txt.partial"
    other.touch()
    with files.replacing(path) as mine:
        assert {*tmp_path.iterdir()} == {mine, other}
        files.write_text(path, "of another process")
        mine.write_text("mine")
    assert path.read_text() == "mine"
    assert {*tmp_path.iterdir()} == {path, other}
