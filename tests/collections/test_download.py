from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import threading

import pytest
from support.server import Site, serving

from layerrank.collections import download
from layerrank.collections.download import Remote, digest_of, fetch
from layerrank.core.errors import UserError

BODY = bytes(range(256)) * 4000
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.delenv("LAYERRANK_MIRROR", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def site():
    with serving(Site(files={"/file": BODY})) as running:
        yield running


def remote(site: Site, path: str = "/file", digest: str | None = MD5, size: int | None = len(BODY)) -> Remote:
    return Remote((site.url + path,), digest, size)


def leftovers(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_whole_file_comes_once(site, tmp_path):
    for _ in range(2):
        assert fetch(remote(site), tmp_path / "deep" / "file", "the file").read_bytes() == BODY
    assert len(site.asked) == 1
    assert leftovers(tmp_path / "deep") == ["file"]


def test_a_dropped_transfer_goes_on_where_it_stopped(site, tmp_path, caplog):
    site.drops["/file"] = 2
    with caplog.at_level(logging.WARNING):
        assert fetch(remote(site), tmp_path / "file", "the file").read_bytes() == BODY
    half = len(BODY) // 2
    assert [asked for _, asked in site.asked] == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert "the connection broke after" in caplog.text


def test_a_killed_transfer_goes_on_where_it_stopped(site, tmp_path):
    (tmp_path / "file.part").write_bytes(BODY[:1000])
    assert fetch(remote(site), tmp_path / "file", "the file").read_bytes() == BODY
    assert site.asked == [("/file", "bytes=1000-")]


def test_a_transfer_that_was_whole_when_killed_is_taken(site, tmp_path):
    (tmp_path / "file.part").write_bytes(BODY)
    assert fetch(remote(site), tmp_path / "file", "the file").read_bytes() == BODY
    assert site.asked == [("/file", f"bytes={len(BODY)}-")]


def test_a_wrong_beginning_is_thrown_away(site, tmp_path):
    (tmp_path / "file.part").write_bytes(b"something else")
    assert fetch(remote(site), tmp_path / "file", "the file").read_bytes() == BODY
    assert [asked for _, asked in site.asked] == ["bytes=14-", None]


@pytest.mark.parametrize("digest", [MD5, None])
def test_a_file_cut_at_its_source_is_refused(site, tmp_path, digest):
    site.short.add("/file")
    with pytest.raises(UserError, match=rf"the file cannot be fetched .*{len(BODY) - 1} bytes came, {len(BODY)} were"):
        fetch(remote(site, digest=digest), tmp_path / "file", "the file")
    assert leftovers(tmp_path) == []


def test_a_wrong_digest_is_refused(site, tmp_path):
    site.files["/file"] = BODY[:-1] + b"?"
    with pytest.raises(
        UserError, match=rf"the digest is md5:\w+, not {MD5}.*put the file with digest {MD5} at .*/file"
    ):
        fetch(remote(site), tmp_path / "file", "the file")
    assert leftovers(tmp_path) == []


def test_an_absent_file_is_named_and_where_to_put_it(site, tmp_path):
    with pytest.raises(
        UserError, match=r"topics cannot be fetched \(http://127.*/none: HTTP 404\): put the file .*/t\.gz"
    ):
        fetch(remote(site, "/none"), tmp_path / "t.gz", "topics")
    assert len(site.asked) == 1


def test_a_server_out_of_reach_is_named_at_once(tmp_path):
    with serving(Site()) as gone:
        address = gone.url
    with pytest.raises(UserError, match=r"index x cannot be fetched .*refused.*put the file"):
        fetch(Remote((f"{address}/x",), MD5), tmp_path / "x", "index x")


def test_the_next_address_is_tried(site, tmp_path):
    both = Remote((f"{site.url}/none", f"{site.url}/file"), MD5)
    assert fetch(both, tmp_path / "file", "the file").read_bytes() == BODY


def test_offline_is_offline(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        fetch(remote(site), tmp_path / "file", "the file")
    assert site.asked == []
    (tmp_path / "file").write_bytes(BODY)
    assert fetch(remote(site), tmp_path / "file", "the file").read_bytes() == BODY


def test_a_corrupt_file_in_the_cache_is_fetched_again(site, tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"corrupt")
    assert fetch(remote(site), tmp_path / "file", "the file").read_bytes() == BODY
    assert "fetching it again" in caplog.text


def test_without_a_published_digest_the_first_download_sets_it(site, tmp_path):
    unnamed = remote(site, digest=None, size=None)
    path = fetch(unnamed, tmp_path / "file", "the file")
    assert (tmp_path / "file.digest").read_text().strip() == f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    assert fetch(unnamed, path, "the file") == path
    assert len(site.asked) == 1
    path.write_bytes(BODY[:100])
    assert fetch(unnamed, path, "the file").read_bytes() == BODY


def test_without_a_digest_a_partial_file_is_not_trusted(site, tmp_path):
    (tmp_path / "file.part").write_bytes(b"older version of it")
    assert fetch(remote(site, digest=None, size=None), tmp_path / "file", "f").read_bytes() == BODY
    assert site.asked == [("/file", None)]


@pytest.mark.parametrize("right", [True, False])
def test_the_digest_that_the_hub_declares_is_checked(site, tmp_path, right):
    declared = hashlib.sha256(BODY if right else b"other").hexdigest()
    site.headers["/file"] = {"X-Linked-ETag": f'"{declared}"'}
    unnamed = remote(site, digest=None, size=None)
    if right:
        assert fetch(unnamed, tmp_path / "file", "f").read_bytes() == BODY
    else:
        with pytest.raises(UserError, match=f"not sha256:{declared}"):
            fetch(unnamed, tmp_path / "file", "f")


def test_a_file_put_there_by_hand_is_used(site, tmp_path):
    (tmp_path / "file").write_bytes(b"by hand")
    assert fetch(remote(site, digest=None, size=None), tmp_path / "file", "f").read_bytes() == b"by hand"
    assert site.asked == []


def test_mirrors_stand_before_addresses(monkeypatch):
    hub = "https://huggingface.co/datasets/x"
    assert download.mirrored(hub) == hub
    monkeypatch.setenv("HF_ENDPOINT", "http://mine/")
    assert download.mirrored(hub) == "http://mine/datasets/x"
    assert download.mirrored("https://elsewhere.org/x") == "https://elsewhere.org/x"
    monkeypatch.setenv("LAYERRANK_MIRROR", "http://mirror/base/")
    assert download.mirrored(hub) == "http://mirror/base/huggingface.co/datasets/x"


def test_two_at_once_fetch_once(site, tmp_path):
    threads = [threading.Thread(target=fetch, args=(remote(site), tmp_path / "file", "f")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.asked) == 1


def test_git_digests_are_those_of_git(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BODY)
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    said = subprocess.run(
        ["git", "hash-object", "--no-filters", str(path)], capture_output=True, text=True, check=True, env=environment
    )
    assert digest_of(path, "git") == f"git:{said.stdout.strip()}"
