import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from layerrank.__main__ import main
from layerrank.attention.signal import SUMS, Signal
from layerrank.attention.store import SignalWriter
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.study import manifest

COLLECTION = {"name": "c", "digests": {"corpus": "sha256:" + "ab" * 32}, "statistics": {"documents": 3, "queries": 2}}
MODEL = {"name": "m", "revision": "abc123", "digest": "cd" * 32, "source": "hub"}
SIGNAL = {"device": "cpu", "dtype": "float32", "qids": ["q1", "q2"], "model": "m"}


def git(folder, *words):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_checkout_tells_the_commit_and_changes(tmp_path):
    assert manifest.checkout(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert manifest.checkout(tmp_path) is None
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    found = manifest.checkout(tmp_path)
    assert len(found["commit"]) == 40 and found["clean"]
    (tmp_path / "other").write_text("untracked")
    assert manifest.checkout(tmp_path)["clean"]
    (tmp_path / "file").write_text("two")
    assert manifest.checkout(tmp_path) == {"commit": found["commit"], "clean": False}


def test_no_path_of_the_machine_stays(tmp_path):
    (tmp_path / "results").mkdir()
    result = tmp_path / "results" / "means.tsv"
    result.write_text("x\n")
    study = {
        "config": {"cache": str(tmp_path / "cache"), "elsewhere": ["/data/models/big"], "words": 100, "slash": "a/b"}
    }
    document = manifest.manifest(study, {"c": COLLECTION}, {"m": MODEL}, [SIGNAL], [result], tmp_path)
    text = json.dumps(document)
    assert str(tmp_path) not in text and "/data/models" not in text
    assert document["study"]["config"] == {
        "cache": "cache",
        "elsewhere": ["(outside)/big"],
        "words": 100,
        "slash": "a/b",
    }
    assert document["files"] == {"results/means.tsv": {"sha256": files.file_digest(result), "bytes": 2}}
    assert document["signals"] == [{"device": "cpu", "dtype": "float32", "model": "m", "queries": 2}]


def test_packages_are_those_that_layerrank_depends_on():
    found = manifest.packages()
    assert {"numpy", "scipy", "ir-measures", "pandas"} <= found.keys()
    assert found["numpy"] == np.__version__


def test_provenance_is_readable():
    document = manifest.manifest({"config": {}}, {"c": COLLECTION}, {"m": MODEL}, [SIGNAL], [], Path.cwd())
    lines = dict(manifest.provenance(document))
    assert lines["collection c"] == "3 documents, 2 queries; corpus abababababab"
    assert lines["model m"] == "hub, abc123, cdcdcdcdcdcd"
    assert lines["device of the signals"] == "cpu" and lines["computed in"] == "float32"


def test_missing_result_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.tsv: no such file"):
        manifest.manifest({}, {}, {}, [], [tmp_path / "absent.tsv"], tmp_path)


def test_command_gives_equal_bytes_anywhere(tmp_path, monkeypatch):
    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "m").mkdir(parents=True)
        monkeypatch.chdir(folder)
        files.write_json(Path("collection.json"), COLLECTION)
        files.write_json(Path("m/layerrank.json"), MODEL | {"source": str(folder / "m")})
        with SignalWriter(Path("s.arrow"), {"device": "cpu", "dtype": "float32"}) as store:
            sums = {key: np.zeros((1, 1, 1), dtype=np.float32) for key in SUMS}
            store.append(Signal("q", ("p",), np.ones(1, dtype=np.int32), np.zeros((1, 1), np.float32), sums, 1, 0.5))
            store.close(["q"])
        study = json.dumps({"config": {"cache": str(folder / "cache")}})
        flags = ["--study", study, "--collections", "c=collection.json", "--models", "m=m", "--signals", "s.arrow"]
        outputs = ["--files", "collection.json", "--output", "manifest.json", "--provenance", "provenance.tsv"]
        assert main(["manifest", *flags, *outputs]) == 0
        written.append((Path("manifest.json").read_bytes(), Path("provenance.tsv").read_bytes()))
    assert written[0] == written[1]
    assert written[0][1].decode().splitlines()[0] == "what\tvalue"
