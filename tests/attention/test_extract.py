"""Extraction: resumable, sharded, checked beforehand."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal as signals

import numpy as np
import pytest
import torch
from support.tiny import LAYERS, save_tiny

from layerrank.__main__ import main
from layerrank.attention import extract as module
from layerrank.attention.extract import check_prompts, extract
from layerrank.attention.probe import Probe
from layerrank.attention.store import read_metadata, read_signals
from layerrank.core.errors import UserError
from layerrank.core.files import read_json, write_candidates
from layerrank.core.records import Candidates, Passage, Query
from layerrank.prompts.icr import PromptSettings

SETTINGS = PromptSettings("qwen")


def candidates(queries=5):
    rows = []
    for number in range(queries):
        passages = tuple(
            Passage(f"d{number}-{index}", "air flows over wings " * (index + 1)) for index in range(number)
        )
        rows.append(Candidates(Query(f"q{number}", f"why {number}?"), passages, tuple(range(number, 0, -1))))
    return rows


@pytest.fixture
def study(tmp_path):
    write_candidates(tmp_path / "base.jsonl.gz", candidates())
    return tmp_path / "base.jsonl.gz", save_tiny(tmp_path / "tiny", "llama"), tmp_path / "R" / "base.arrow"


@pytest.fixture
def reads(monkeypatch):
    """Query ids of every pass."""
    seen = []
    plain = Probe.read

    def counted(self, prompts, last_layer=None, **options):
        seen.append([prompt.qid for prompt in prompts])
        return plain(self, prompts, last_layer, **options)

    monkeypatch.setattr(Probe, "read", counted)
    return seen


def test_every_query_has_its_record(study, reads, caplog):
    caplog.set_level(logging.INFO)
    extract(*study, SETTINGS)
    records = list(read_signals(study[2]))
    assert [record.qid for record in records] == ["q0", "q1", "q2", "q3", "q4"]
    assert [len(record.pids) for record in records] == [0, 1, 2, 3, 4]
    assert records[0].signal.shape == (LAYERS, 0)
    assert all(record.seconds > 0 for record in records)
    assert reads == [["q0"], ["q1"], ["q2"], ["q3"], ["q4"]]  # one forward pass a query
    first = caplog.messages[0]
    for fact in ("torch", "transformers", "device", "dtype float32", "model tiny", "revision"):
        assert fact in first
    metadata = read_metadata(study[2])
    assert metadata["layers"] == LAYERS and metadata["query_span"] == "query_only" and metadata["depth"] == 4


def test_tokens_of_na_come_from_the_same_pass(study, reads):
    extract(*study, SETTINGS)
    bare = list(read_signals(study[2]))
    reads.clear()
    extract(*study, SETTINGS, na_tokens=True, keep=True)
    assert len(reads) == 5 and read_metadata(study[2])["na_tokens"] is True
    for one, other in zip(bare, read_signals(study[2]), strict=True):
        assert one.na is None
        np.testing.assert_array_equal(one.signal, other.signal)
        if one.pids:
            sums = np.add.reduceat(other.na, np.cumsum(other.lengths) - other.lengths, axis=1)
            np.testing.assert_allclose(sums, other.sums["na"].sum(axis=1), rtol=0, atol=1e-6)
    reads.clear()
    study[2].unlink()
    extract(*study, SETTINGS, keep=True)  # switched off again: what there is holds all that is asked for
    assert not reads and len(list(read_signals(study[2]))) == 5


def test_masked_sums_are_left_out_where_they_are_not_wanted(study, reads, caplog):
    caplog.set_level("INFO")
    extract(*study, SETTINGS, keep=True)
    full = list(read_signals(study[2]))
    size = study[2].stat().st_size
    extract(*study, SETTINGS, masked=False)
    assert len(reads) == 10 and any(message.endswith(" MB a query") for message in caplog.messages)
    for one, other in zip(full, read_signals(study[2]), strict=True):
        assert other.masked is None and (not one.pids or one.masked.shape == one.sums["query"].shape)
        np.testing.assert_array_equal(one.signal, other.signal)
    left_out = sum(4 * one.sums["query"].size for one in full)
    assert left_out - 2000 < size - study[2].stat().st_size <= left_out + 2000
    reads.clear()
    study[2].unlink()
    extract(*study, SETTINGS, masked=False, keep=True)
    extract(*study, SETTINGS, keep=True)
    assert len(reads) == 10  # a store without them does not serve where they are wanted


def _die_after_two(candidates_file, folder, output):
    plain, done = Probe.read, []

    def dying(self, prompts, last_layer=None, **options):
        if len(done) == 2:
            os.kill(os.getpid(), signals.SIGKILL)
        done.append(prompts)
        return plain(self, prompts, last_layer, **options)

    Probe.read = dying
    extract(candidates_file, folder, output, SETTINGS)


def test_goes_on_after_a_kill(study, reads):
    process = multiprocessing.get_context("spawn").Process(target=_die_after_two, args=study)
    process.start()
    process.join()
    assert process.exitcode == -signals.SIGKILL and not study[2].exists()
    extract(*study, SETTINGS)
    assert reads == [["q2"], ["q3"], ["q4"]]
    resumed = list(read_signals(study[2]))
    extract(*study[:2], study[2].with_name("once.arrow"), SETTINGS)
    for one, other in zip(resumed, read_signals(study[2].with_name("once.arrow")), strict=True):
        assert one.qid == other.qid
        np.testing.assert_array_equal(one.signal, other.signal)


def test_finished_queries_need_no_model(study, reads, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.SignalWriter, "close", lambda self, order=None, keep=False: None)
        extract(*study, SETTINGS)
    reads.clear()
    monkeypatch.setattr(module, "load_decoder", lambda *args, **options: pytest.fail("the model is loaded"))
    extract(*study, SETTINGS)
    assert not reads and len(list(read_signals(study[2]))) == 5


def test_other_settings_start_afresh(study, reads, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.SignalWriter, "close", lambda self, order=None, keep=False: None)
        extract(*study, SETTINGS)
    reads.clear()
    extract(*study, PromptSettings("qwen", query_span="instruction_to_end"))
    assert len(reads) == 5
    assert len(list(study[2].parent.glob(".*.aside-*"))) == 1


def test_shards_part_the_queries(study):
    paths = []
    for shard in range(2):
        paths.append(study[2].with_name(f"base.shard-{shard}-of-2.arrow"))
        extract(*study[:2], paths[-1], SETTINGS, shard=shard, shards=2)
    assert [record.qid for record in read_signals(paths)] == ["q0", "q2", "q4", "q1", "q3"]
    with pytest.raises(UserError, match="shard 2: there are shards 0 to 1"):
        extract(*study, SETTINGS, shard=2, shards=2)


def test_batches_share_a_pass(study, reads):
    extract(*study, SETTINGS)
    alone = list(read_signals(study[2]))
    reads.clear()
    extract(*study[:2], study[2].with_name("batched.arrow"), SETTINGS, batch_tokens=250)
    assert len(reads) < 5 and [qid for batch in reads for qid in batch] == ["q0", "q1", "q2", "q3", "q4"]
    for one, other in zip(alone, read_signals(study[2].with_name("batched.arrow")), strict=True):
        np.testing.assert_allclose(one.signal, other.signal, rtol=0, atol=1e-5)


def test_a_batch_too_large_for_the_device_is_halved(study, monkeypatch):
    plain = Probe.read

    def small(self, prompts, last_layer=None, **options):
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("no room")
        return plain(self, prompts, last_layer, **options)

    monkeypatch.setattr(Probe, "read", small)
    extract(*study, SETTINGS, batch_tokens=10000)
    assert len(list(read_signals(study[2]))) == 5
    monkeypatch.setattr(
        Probe, "read", lambda *args, **options: (_ for _ in ()).throw(torch.OutOfMemoryError("no room"))
    )
    with pytest.raises(UserError, match=r"query q\d: a prompt of \d+ tokens does not fit .* first_stage.depth"):
        extract(*study[:2], study[2].with_name("none.arrow"), SETTINGS)


def test_no_queries(study, reads):
    write_candidates(study[0], [])
    with pytest.raises(UserError, match="no candidates of any query"):
        extract(*study, SETTINGS)
    assert not study[2].exists() and not reads


def test_prompts_are_checked_before_the_run(study, tmp_path):
    (found,) = check_prompts([(study[0], SETTINGS)], study[1], "pocket")
    assert found["queries"] == 5 and found["tokens"]["qid"] == "q4" and found["context"] == 4096
    short = save_tiny(tmp_path / "short", "llama", max_position_embeddings=90)
    message = (
        r"collection 'pocket', query q3: its prompt has \d+ tokens in 3 passages, the model reads 90; "
        r"lower first_stage.depth or passages.words"
    )
    with pytest.raises(UserError, match=message):
        check_prompts([(study[0], SETTINGS)], short, "pocket")
    with pytest.raises(UserError, match="query q3: its prompt has"):
        extract(study[0], short, study[2], SETTINGS)


def test_command_lines(study, tmp_path):
    reports = [tmp_path / "first.json", tmp_path / "second.json"]
    prompts = ['{"family": "qwen"}', '{"family": "mistral"}']
    checked = ["--candidates", str(study[0]), str(study[0]), "--model", str(study[1]), "--collection", "pocket"]
    assert main(["check-prompts", *checked, "--prompts", *prompts, "--outputs", *map(str, reports)]) == 0
    first, second = map(read_json, reports)
    assert first["queries"] == second["queries"] == 5
    assert first["tokens"] != second["tokens"]
    assert main(["check-prompts", *checked, "--prompts", prompts[0], "--outputs", *map(str, reports)]) == 2
    assert main(["check-prompts", *checked, "--prompts", "{}", "{}", "--outputs", *map(str, reports)]) == 2
    arguments = ["--candidates", str(study[0]), "--model", str(study[1]), "--family", "qwen", "--instruction", "QA"]
    shard = ["--shard", "1", "--shards", "3"]
    command = ["extract-attention", *arguments, *shard, "--dtype", "bfloat16", "--output", str(study[2])]
    assert main(command) == 0
    assert read_metadata(study[2])["dtype"] == "bfloat16" and read_metadata(study[2])["qids"] == ["q1", "q4"]
