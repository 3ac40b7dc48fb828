from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.server import Site, serving

from layerrank.collections import download, java, prebuilt, prepared
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Passage
from layerrank.first_stage import bm25

HOST = "/indexes.example.org"
ENTRY = {
    "source": "pyserini",
    "index": "tiny",
    "topics": "tiny-topics",
    "qrels": "tiny-qrels",
    "excluded": "exclude.tiny.txt",
}
DOCUMENTS = {"m1": "moth moth flame", "m2": "moth lamp", "m3": "oil lamp", "m4": "moth moth moth"}
TSV = "io.anserini.search.topicreader.TsvStringTopicReader"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> bytes:
    """A Lucene index packed as pyserini packs its own; its texts are as MS MARCO's, without titles."""
    java.start()
    from pyserini.index.lucene import LuceneIndexer

    folder = tmp_path_factory.mktemp("index") / "lucene-tiny.20260101"
    indexer = LuceneIndexer(args=["-index", str(folder), "-storeRaw"], threads=1)
    indexer.add_batch_raw([json.dumps({"id": pid, "contents": text}) for pid, text in DOCUMENTS.items()])
    indexer.close()
    return packed(folder)


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return buffer.getvalue()


@pytest.fixture
def site(archive, monkeypatch):
    """A mirror with the index, its topics, its judgements and its exclusions, known to pyserini's tables."""
    java.start()
    from pyserini.prebuilt_index_info import TF_INDEX_INFO
    from pyserini.search import _base

    topics = gzip.compress(b"q1\twhy do moths fly\nq2\toil lamp\nq3\tnobody judged this\n", mtime=0)
    qrels = b"q1 0 m1 1\nq2 0 m3 1\nq2 0 m2 0\n"
    exclusions = b"q1 m4\n"
    texts = {
        "topics/topics.tiny.tsv.gz": topics,
        "qrels/qrels.tiny.txt": qrels,
        "qrels/exclude.tiny.txt": exclusions,
    }
    blobs = {name: hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest() for name, body in texts.items()}
    monkeypatch.setattr(prebuilt, "pinned_files", lambda: ("https://judgements.example.org/", blobs))
    monkeypatch.setitem(
        TF_INDEX_INFO,
        "tiny",
        {
            "urls": [f"https:/{HOST}/lucene-tiny.20260101.tar.gz"],
            "filename": "lucene-tiny.20260101.tar.gz",
            "md5": hashlib.md5(archive).hexdigest(),
            "size compressed (bytes)": len(archive),
            "documents": 4,
        },
    )
    reader = SimpleNamespace(getName=lambda: TSV)
    monkeypatch.setitem(
        _base.topics_mapping, "tiny-topics", SimpleNamespace(path="topics.tiny.tsv.gz", readerClass=reader)
    )
    monkeypatch.setitem(_base.qrels_mapping, "tiny-qrels", SimpleNamespace(path="qrels.tiny.txt"))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    served = {f"{HOST}/lucene-tiny.20260101.tar.gz": archive}
    served |= {f"/judgements.example.org/{name}": body for name, body in texts.items()}
    with serving(Site(files=served)) as running:
        monkeypatch.setenv("LAYERRANK_MIRROR", running.url)
        yield running


def prepare(tmp_path: Path, entry: dict = ENTRY) -> prepared.Collection:
    prepared.prepare("tiny", entry, tmp_path / "cache", tmp_path / "collection", None, 42)
    return prepared.load(tmp_path / "collection")


def run(tmp_path: Path, entry: dict = ENTRY, depth: int = 10):
    collection = prepare(tmp_path, entry)
    bm25.build_index(collection, tmp_path / "cache", 1, tmp_path / "index")
    return bm25.retrieve(collection, tmp_path / "index", bm25.Bm25(depth=depth))[:2]


def test_a_whole_collection_from_the_mirror(site, tmp_path):
    rankings, passages = run(tmp_path, depth=2)
    assert {ranking.qid: ranking.pids for ranking in rankings} == {"q1": ("m1", "m2"), "q2": ("m3", "m2")}
    assert passages == [Passage(pid, DOCUMENTS[pid], "") for pid in ("m1", "m2", "m3")]
    statistics = prepared.load(tmp_path / "collection").description["statistics"]
    assert (statistics["documents"], statistics["queries"], statistics["excluded"]) == (4, 2, 1)
    about = files.read_json(tmp_path / "index" / "index.json")
    assert about["kind"] == "prebuilt"
    folder = Path(about["path"])
    assert folder.parent == tmp_path / "cache" / "pyserini" / "indexes"
    assert {path.name for path in folder.parent.iterdir()} == {
        folder.name,
        f"{folder.name}.lock",
        "lucene-tiny.20260101.tar.gz.lock",
    }


def test_the_cache_is_shared_between_studies(site, tmp_path):
    run(tmp_path)
    asked = len(site.asked)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "cache").symlink_to(tmp_path / "cache")
    run(tmp_path / "second")
    assert len(site.asked) == asked


def test_what_a_killed_unpacking_left_is_cleaned(site, tmp_path):
    run(tmp_path)
    folder = next(path for path in (tmp_path / "cache" / "pyserini" / "indexes").iterdir() if path.is_dir())
    folder.rename(folder.with_name(f".{folder.name}.part"))
    run(tmp_path)
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_a_dropped_index_download_goes_on(site, tmp_path):
    site.drops[f"{HOST}/lucene-tiny.20260101.tar.gz"] = 1
    rankings, _ = run(tmp_path)
    assert len(rankings) == 2
    assert [bool(part) for path, part in site.asked if path.startswith(HOST)] == [False, True]


@pytest.mark.parametrize("what", ["indexes.example.org", "/topics/", "/qrels/qrels", "/exclude"])
@pytest.mark.parametrize("how", ["cut", "changed", "absent"])
def test_a_broken_download_is_named_and_leaves_nothing_half_done(site, tmp_path, what, how):
    path = next(path for path in site.files if what in path)
    if how == "absent":
        del site.files[path]
    else:
        body = site.files[path]
        site.files[path] = body[:-1] if how == "cut" else body[:-1] + bytes([body[-1] ^ 1])
    with pytest.raises(UserError, match=rf"cannot be fetched .*put the file .*{Path(path).name}"):
        run(tmp_path)
    assert not (tmp_path / "index").exists()
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_offline_files_put_where_the_messages_say_are_enough(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    bodies = {Path(path).name: body for path, body in site.files.items()}
    for _ in range(len(bodies)):
        with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set.*put the file with digest \w+:\w+ at ") as told:
            run(tmp_path)
        place = Path(str(told.value).rpartition(" at ")[2])
        place.write_bytes(bodies.pop(place.name))
    assert bodies == {}
    assert len(run(tmp_path)[0]) == 2
    assert site.asked == []


def test_an_archive_that_is_no_index_is_refused(site, tmp_path, monkeypatch):
    from pyserini.prebuilt_index_info import TF_INDEX_INFO

    (tmp_path / "empty").mkdir()
    body = packed(tmp_path / "empty")
    site.files[f"{HOST}/lucene-tiny.20260101.tar.gz"] = body
    info = TF_INDEX_INFO["tiny"] | {"md5": hashlib.md5(body).hexdigest(), "size compressed (bytes)": len(body)}
    monkeypatch.setitem(TF_INDEX_INFO, "tiny", info)
    with pytest.raises(UserError, match="holds no Lucene index"):
        run(tmp_path)


def test_an_index_of_another_size_is_refused(site, tmp_path, monkeypatch):
    from pyserini.prebuilt_index_info import TF_INDEX_INFO

    monkeypatch.setitem(TF_INDEX_INFO, "tiny", TF_INDEX_INFO["tiny"] | {"documents": 5})
    with pytest.raises(UserError, match="has 4 documents, pyserini's table says 5"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"index": "beir-v1.0.0-nfcorpus"},
            r"prebuilt index 'beir-v1\.0\.0-nfcorpus' is not in .*close are .*nfcorpus\.flat",
        ),
        ({"topics": "dl19-pasage"}, r"topics 'dl19-pasage' is not in pyserini's table; close are dl19-passage"),
        ({"qrels": "zzzzzzzz"}, r"qrels 'zzzzzzzz' is not in pyserini's table$"),
        ({"query_field": "narrative"}, r"topic 'q1' has no field 'narrative' \(query_field\); it has title"),
    ],
)
def test_unknown_names_are_named(site, tmp_path, change, complaint):
    with pytest.raises(UserError, match=complaint):
        prepare(tmp_path, ENTRY | change)


def test_malformed_exclusions_are_named(tmp_path):
    (tmp_path / "x.txt").write_text("q1 m1\nq1\n")
    with pytest.raises(UserError, match=r"x\.txt:2: expected 'qid pid', got 'q1'"):
        prebuilt.read_exclusions(tmp_path / "x.txt")


def test_files_that_are_not_pinned_come_from_where_pyserini_has_them(site, tmp_path, monkeypatch):
    monkeypatch.setattr(prebuilt, "pinned_files", lambda: ("https://judgements.example.org/", {}))
    server = java.java_class("io.anserini.eval.RelevanceJudgments").SERVER_PATH.split("://")[1]
    site.files = {
        f"/{server}{path.rpartition('/')[2]}" if "judgements" in path else path: body
        for path, body in site.files.items()
    }
    assert len(run(tmp_path)[0]) == 2
    assert (tmp_path / "cache" / "pyserini" / "topics" / "topics.tiny.tsv.gz.digest").is_file()


def test_a_ready_run_takes_its_texts_from_a_prebuilt_index(site, tmp_path):
    (tmp_path / "run.txt").write_text("q1 Q0 m3 1 2.0 mine\nq1 Q0 m4 2 1.0 mine\nq2 Q0 m2 1 1.0 mine\n")
    entry = {"source": "run", "run": str(tmp_path / "run.txt"), "texts": ENTRY}
    rankings, passages = run(tmp_path, entry)
    assert {ranking.qid: ranking.pids for ranking in rankings} == {"q1": ("m3",), "q2": ("m2",)}
    assert passages == [Passage("m2", "moth lamp"), Passage("m3", "oil lamp")]


def test_the_command_says_in_one_line_what_is_missing(tmp_path):
    """Offline, with an empty cache: one line on standard error, exit code 2, before long work."""
    entry = {"source": "pyserini", "index": "beir-v1.0.0-nfcorpus.flat", "topics": "beir-v1.0.0-nfcorpus-test"}
    entry["qrels"] = "beir-v1.0.0-nfcorpus-test"
    command = [
        sys.executable,
        "-m",
        "layerrank",
        "prepare-collection",
        "--name",
        "nfcorpus",
        "--entry",
        json.dumps(entry),
    ]
    command += ["--cache", "cache", "--seed", "1", "--output", "out"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "layerrank prepare-collection: topics topics.beir-v1.0.0-nfcorpus.test.tsv.gz cannot be fetched"
    )
    assert last.endswith(
        "put the file with digest git:098fcc2c26c923ed011d4ae078f1b9fa41063191"
        " at cache/pyserini/topics/topics.beir-v1.0.0-nfcorpus.test.tsv.gz"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
