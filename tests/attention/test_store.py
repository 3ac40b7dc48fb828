"""The store on disk: what is written comes back, a killed writer goes on, damage is named."""

from __future__ import annotations

import multiprocessing
import os
import signal as signals
from dataclasses import replace

import numpy as np
import pytest
from support.signals import random_signal

from layerrank.attention import store as store_module
from layerrank.attention.scores import sweep_scores
from layerrank.attention.signal import SUMS
from layerrank.attention.store import SignalWriter, read_metadata, read_signals
from layerrank.core.errors import UserError
from layerrank.core.files import forget_kept

METADATA = {"model": "tiny", "layers": 4}


def same(left, right):
    assert (left.qid, left.pids, left.prompt_tokens, left.seconds) == (
        right.qid,
        right.pids,
        right.prompt_tokens,
        right.seconds,
    )
    np.testing.assert_array_equal(left.lengths, right.lengths)
    np.testing.assert_array_equal(left.signal, right.signal)
    for name in SUMS:
        np.testing.assert_array_equal(left.sums[name], right.sums[name])
    np.testing.assert_array_equal(left.masked, right.masked)


def write(path, records, metadata=METADATA, order=None, keep=False):
    with SignalWriter(path, metadata) as store:
        for record in records:
            store.append(record)
        store.close(order, keep=keep)


@pytest.fixture
def records():
    return [random_signal(f"q{index}", lengths=(3, 1, 5 + index), seed=index) for index in range(4)]


def test_round_trip(tmp_path, records):
    path = tmp_path / "R" / "base.arrow"
    write(path, records)
    for left, right in zip(read_signals(path), records, strict=True):
        same(left, right)
    assert read_metadata(path)["model"] == "tiny"
    assert read_metadata(path)["qids"] == ["q0", "q1", "q2", "q3"]
    assert [path.name for path in path.parent.iterdir()] == ["base.arrow"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_format_gives_the_same_windows(tmp_path, records, monkeypatch, version):
    path = tmp_path / "old.arrow"
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "FORMAT", version)
        write(path, records)
    assert read_metadata(path)["format"] == version
    for old, new in zip(read_signals(path), records, strict=True):
        assert (old.masked is None) == (version == 1)
        same(replace(old, masked=new.masked), new)
        np.testing.assert_array_equal(sweep_scores(old), sweep_scores(new))


def test_heads_need_not_be_kept(tmp_path, records):
    bare = [replace(record, masked=None) for record in records]
    write(tmp_path / "bare.arrow", bare)
    write(tmp_path / "full.arrow", records)
    assert [signal.masked for signal in read_signals(tmp_path / "bare.arrow")] == [None] * 4
    saved = (tmp_path / "full.arrow").stat().st_size - (tmp_path / "bare.arrow").stat().st_size
    assert saved >= sum(4 * record.masked.size for record in records)


def with_na(records):
    return [replace(record, na=np.abs(record.signal) * 2) for record in records]


def test_tokens_of_na_are_kept_where_the_store_says_so(tmp_path, records):
    full = with_na(records)
    write(tmp_path / "both.arrow", full, {**METADATA, "na_tokens": True})
    write(tmp_path / "one.arrow", full)
    write(tmp_path / "bare.arrow", records)
    for left, right in zip(read_signals(tmp_path / "both.arrow"), full, strict=True):
        same(left, right)
        np.testing.assert_array_equal(left.na, right.na)
    assert (tmp_path / "one.arrow").read_bytes() == (tmp_path / "bare.arrow").read_bytes()
    assert all(signal.na is None for signal in read_signals(tmp_path / "one.arrow"))
    more = (tmp_path / "both.arrow").stat().st_size - (tmp_path / "one.arrow").stat().st_size
    numbers = sum(4 * record.signal.size for record in records)
    assert numbers <= more < numbers + 2000
    with (
        SignalWriter(tmp_path / "none.arrow", {**METADATA, "na_tokens": True}) as store,
        pytest.raises(ValueError, match="query q0 comes without the tokens of N/A"),
    ):
        store.append(records[0])


def test_a_kept_store_with_tokens_of_na_serves_without_them_and_not_the_other_way(tmp_path, records):
    path, order = tmp_path / "base.arrow", [record.qid for record in records]
    write(path, with_na(records), {**METADATA, "na_tokens": True}, order, keep=True)
    written = path.read_bytes()
    path.unlink()
    with SignalWriter(path, METADATA) as store:
        assert store.restore(order)
    assert path.read_bytes() == written
    write(path, records, order=order, keep=True)
    with SignalWriter(path, {**METADATA, "na_tokens": True}) as store:
        assert not store.restore(order)


def test_values_are_views_of_the_file(tmp_path, records):
    path = tmp_path / "base.arrow"
    write(path, records)
    record = next(read_signals(path))
    assert not record.signal.flags.owndata and not record.signal.flags.writeable


def test_empty_store_and_empty_record(tmp_path):
    write(tmp_path / "none.arrow", [])
    assert list(read_signals(tmp_path / "none.arrow")) == []
    record = random_signal("q", lengths=())
    write(tmp_path / "empty.arrow", [record])
    same(next(read_signals(tmp_path / "empty.arrow")), record)


def test_order_shards_and_choice(tmp_path, records):
    write(tmp_path / "a.arrow", records[:2][::-1], order=["q0", "q1"])
    write(tmp_path / "b.arrow", records[2:])
    paths = [tmp_path / "a.arrow", tmp_path / "b.arrow"]
    assert [record.qid for record in read_signals(paths)] == ["q0", "q1", "q2", "q3"]
    assert [record.qid for record in read_signals(paths, qids=["q3", "q1"])] == ["q1", "q3"]


def test_bytes_do_not_depend_on_interruption(tmp_path, records):
    write(tmp_path / "once.arrow", records)
    with SignalWriter(tmp_path / "twice.arrow", METADATA) as store:
        store.append(records[1])
    with SignalWriter(tmp_path / "twice.arrow", METADATA) as store:
        for index in (0, 3, 2):
            store.append(records[index])
        store.close([record.qid for record in records])
    assert (tmp_path / "once.arrow").read_bytes() == (tmp_path / "twice.arrow").read_bytes()


def _append_and_die(path, records):
    with SignalWriter(path, METADATA) as store:
        for record in records:
            store.append(record)
        os.kill(os.getpid(), signals.SIGKILL)


def test_resume_after_kill(tmp_path, records):
    path = tmp_path / "base.arrow"
    process = multiprocessing.get_context("spawn").Process(target=_append_and_die, args=(path, records[:2]))
    process.start()
    process.join()
    assert process.exitcode == -signals.SIGKILL
    assert not path.exists()
    with SignalWriter(path, METADATA) as store:
        assert list(store.finished) == ["q0", "q1"]
        for record in records[2:]:
            store.append(record)
        store.close()
    for left, right in zip(read_signals(path), records, strict=True):
        same(left, right)


@pytest.mark.parametrize("lost", [1, 7, 64, 500])
def test_torn_last_record_is_dropped(tmp_path, records, lost):
    path = tmp_path / "base.arrow"
    with SignalWriter(path, METADATA) as store:
        for record in records[:3]:
            store.append(record)
    partial = store.partial
    os.truncate(partial, partial.stat().st_size - lost)
    with SignalWriter(path, METADATA) as store:
        assert list(store.finished) == ["q0", "q1"]
        store.append(records[2])
        store.close()
    same(list(read_signals(path))[2], records[2])


@pytest.mark.parametrize("size", [0, 1, 100])
def test_torn_schema_starts_afresh(tmp_path, records, size):
    path = tmp_path / "base.arrow"
    with SignalWriter(path, METADATA) as store:
        store.append(records[0])
    os.truncate(store.partial, size)
    with SignalWriter(path, METADATA) as store:
        assert not store.finished
        store.append(records[0])
        store.close()
    same(next(read_signals(path)), records[0])


def test_a_kept_store_comes_back_if_it_is_the_same(tmp_path, records):
    path, order = tmp_path / "base.arrow", [record.qid for record in records]
    write(path, records, order=order, keep=True)
    written = path.read_bytes()
    assert path.stat().st_nlink == 2
    for metadata, qids in (
        ({**METADATA, "model": "other"}, order),
        ({**METADATA, "code": "edited"}, order),
        (METADATA, order[:2]),
    ):
        path.unlink(missing_ok=True)
        with SignalWriter(path, metadata) as store:
            assert not store.restore(qids)
        assert not path.exists()
        store.partial.unlink()
    for _ in range(2):  # where the file is gone, and where it is there
        with SignalWriter(path, {**METADATA, "device": "cuda"}) as store:
            assert store.restore(order)
        assert path.read_bytes() == written
        assert {entry.name for entry in tmp_path.iterdir()} == {"base.arrow", ".base.arrow.whole"}
    forget_kept(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["base.arrow"]
    with SignalWriter(path, METADATA) as store:
        assert not store.restore(order)


def test_a_damaged_store_does_not_come_back(tmp_path, records):
    path, order = tmp_path / "base.arrow", [record.qid for record in records]
    write(path, records, order=order, keep=True)
    with path.open("r+b") as file:
        file.seek(path.read_bytes().find(records[1].signal.tobytes()) + 5)
        file.write(b"\xff\xff")
    path.unlink()  # as the message about the damaged record asks for
    with SignalWriter(path, METADATA) as store:
        assert not store.restore(order)


def test_without_keep_nothing_is_left(tmp_path, records):
    write(tmp_path / "base.arrow", records)
    assert [entry.name for entry in tmp_path.iterdir()] == ["base.arrow"]


def test_other_settings_are_set_aside(tmp_path, records):
    path = tmp_path / "base.arrow"
    with SignalWriter(path, METADATA) as store:
        store.append(records[0])
    kept = store.partial.read_bytes()
    with SignalWriter(path, {**METADATA, "model": "other"}) as store:
        assert not store.finished
        store.append(records[1])
        store.close()
    (aside,) = tmp_path.glob(".base.arrow.partial.aside-*")
    assert aside.read_bytes() == kept
    assert [record.qid for record in read_signals(path)] == ["q1"]


def test_another_device_goes_on(tmp_path, records):
    path = tmp_path / "base.arrow"
    with SignalWriter(path, {**METADATA, "device": "cuda"}) as store:
        store.append(records[0])
    with SignalWriter(path, {**METADATA, "device": "cpu"}) as store:
        assert list(store.finished) == ["q0"]


def test_one_writer_at_a_time(tmp_path):
    with (
        SignalWriter(tmp_path / "base.arrow", METADATA),
        pytest.raises(UserError, match="another process"),
    ):
        SignalWriter(tmp_path / "base.arrow", METADATA)


def test_a_query_twice_is_a_defect(tmp_path, records):
    with SignalWriter(tmp_path / "base.arrow", METADATA) as store:
        store.append(records[0])
        with pytest.raises(ValueError, match="q0"):
            store.append(records[0])


def test_every_flipped_byte_of_a_record_is_noticed(tmp_path, records):
    path = tmp_path / "base.arrow"
    write(path, records[:2])
    whole = path.read_bytes()
    start = whole.index(records[1].signal.tobytes())
    for offset in (start, start + 41, whole.index(records[1].sums["na_last"].tobytes()) + 3):
        broken = bytearray(whole)
        broken[offset] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"base\.arrow: the record of query q1 fails its digest"):
            list(read_signals(path))
        assert [record.qid for record in read_signals(path, qids=["q0"])] == ["q0"]


def test_files_that_are_no_stores(tmp_path, records):
    path = tmp_path / "base.arrow"
    with pytest.raises(UserError, match="no such file"):
        list(read_signals(path))
    path.write_bytes(b"not arrow at all")
    with pytest.raises(UserError, match=r"base\.arrow: not a whole Arrow file"):
        list(read_signals(path))
    write(path, records)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match="not a whole Arrow file"):
        list(read_signals(path))
