from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from support.collections import write_bright
from support.server import Site, serving

from layerrank.collections import bright, download
from layerrank.core import files
from layerrank.core.errors import UserError

ENTRY = {"source": "bright", "domain": "biology"}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A model hub that has one domain at the pinned revision."""
    folder = write_bright(tmp_path / "data")
    served, headers = {}, {}
    for kind in ("examples", "documents"):
        path = tmp_path / f"{kind}.parquet"
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(list(files.read_jsonl(folder / kind / "biology.jsonl"))), path
        )
        address = f"/datasets/xlangai/BRIGHT/resolve/{bright.REVISION}/{kind}/biology-00000-of-00001.parquet"
        served[address] = path.read_bytes()
        digest = hashlib.sha256(served[address]).hexdigest()
        headers[address] = {"ETag": f'"{digest}"', "X-Repo-Commit": bright.REVISION}
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.delenv("LAYERRANK_MIRROR", raising=False)
    with serving(Site(files=served, headers=headers)) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def test_a_domain_comes_from_the_hub_once(site, tmp_path):
    first = bright.read(ENTRY, tmp_path / "cache")
    assert first.qrels == {"0": {"insects/moth_2.txt": 1}, "1": {"insects/moth_3.txt": 1}}
    assert first.excluded["0"] == {"insects/moth_1.txt", "insects/moth_5.txt"}
    assert first.excluded["1"] == frozenset()
    assert first.documents == 6
    assert bright.read(ENTRY, tmp_path / "cache") == first
    assert sorted(path for path, _ in site.asked if path in site.files) == sorted(site.files)
    assert bright.inputs(ENTRY) == {}


def test_a_dropped_download_is_fetched_anew(site, tmp_path):
    for path in site.files:
        site.drops[path] = 1
    assert bright.read(ENTRY, tmp_path / "cache").documents == 6
    assert sum(path in site.files for path, _ in site.asked) == 4


@pytest.mark.parametrize("how", ["cut", "changed", "absent"])
def test_a_broken_download_is_named(site, tmp_path, how):
    path = next(path for path in site.files if "documents" in path)
    body = site.files.pop(path)
    complaint = r"cannot be fetched \(.*\b404\b.*\): put the file at .*/documents/biology-00000-of-00001\.parquet"
    if how != "absent":
        site.files[path] = body[:-1] if how == "cut" else body[:-1] + b"?"
        complaint = r"biology-00000-of-00001\.parquet has digest \w+, the hub says \w+; it is removed, run again"
    with pytest.raises(UserError, match=rf"BRIGHT documents of biology:? {complaint}"):
        bright.read(ENTRY, tmp_path / "cache")
    site.files[path] = body
    assert bright.read(ENTRY, tmp_path / "cache").documents == 6


def test_a_file_put_where_the_message_says_is_enough_offline(site, tmp_path, monkeypatch):
    bodies = {path.rpartition("/resolve/")[2].partition("/")[2]: body for path, body in site.files.items()}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for _ in range(2):
        with pytest.raises(UserError, match=r"cannot be fetched .*: put the file at ") as told:
            bright.read(ENTRY, tmp_path / "cache")
        place = Path(str(told.value).rpartition(" at ")[2])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bodies.pop(f"{place.parent.name}/{place.name}"))
    assert bright.read(ENTRY, tmp_path / "cache").documents == 6


def test_an_unknown_domain_is_named_without_a_password(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", site.url.replace("://", "://someone:secret@"))
    with pytest.raises(UserError, match=r"BRIGHT examples of botany cannot be fetched .*404") as told:
        bright.read({**ENTRY, "domain": "botany"}, tmp_path / "cache")
    assert "secret" not in str(told.value)


def test_a_folder_without_the_domain_is_named(tmp_path):
    folder = write_bright(tmp_path / "data")
    with pytest.raises(
        UserError, match=r"examples: none of botany-00000-of-00001\.parquet, botany\.parquet, botany\.jsonl"
    ):
        bright.read({**ENTRY, "path": str(folder), "domain": "botany"}, tmp_path)
    assert bright.inputs({**ENTRY, "path": str(folder)}) == {
        kind: folder / kind / "biology.jsonl" for kind in ("examples", "documents")
    }
