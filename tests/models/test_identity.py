"""What a model is: its folder's name and digests; neither a shared cache nor an overwritten file mixes two."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from support.tiny import save_tiny

from layerrank.__main__ import main
from layerrank.core.errors import UserError
from layerrank.core.files import MODEL_RECORD, read_costs, read_json, write_costs
from layerrank.core.records import Cost
from layerrank.models import identity
from layerrank.models.decoder import load_decoder
from layerrank.models.identity import file_digests, folder_name, identify, model_files, pinned
from layerrank.models.sources import fetch_model
from layerrank.study.config import model_source

ROOT = Path(__file__).parents[2]
HUB = {"source": "hub", "repo": "someone/tiny", "revision": "0" * 40}


@pytest.fixture
def tiny(tmp_path):
    return save_tiny(tmp_path / "source", "llama")


def folder(path: Path, **keys: object) -> dict[str, object]:
    return {"source": "folder", "path": str(path), **keys}


def fetched(tmp_path: Path, source: dict[str, object], name: str = "m") -> Path:
    """As the rule does: into the folder that is named after the source."""
    cache = tmp_path / "cache"
    output = cache / "models" / folder_name(name, source, cache)
    fetch_model(pinned(name, source, cache), cache, output, name)
    return output


def other_weights(path: Path, factor: float = 1.5) -> None:
    """Other numbers in place, of the same size and under the time stamp of the former ones."""
    weights = path / "model.safetensors"
    former = weights.stat()
    tensors = {name: tensor * factor for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, {"format": "pt"})
    os.utime(weights, ns=(former.st_atime_ns, former.st_mtime_ns))
    assert weights.stat().st_size == former.st_size


CHANGES = [
    ({"revision": "1" * 40}, False),
    ({"repo": "someone/else"}, False),
    ({"digest": "0" * 64}, False),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, False),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, False),
    ({"context": 4096}, False),
    ({"adapter": {"source": "hub", "repo": "a/b", "revision": "2" * 40}}, False),
    ({"adapter": {"source": "hub", "repo": "a/b", "revision": "3" * 40}}, False),
    ({"family": "qwen", "gpus": 4, "threads": 1, "mem_mb": 1, "runtime": 1, "label": "x", "dtype": "bfloat16"}, True),
    ({}, True),
]


def test_a_folder_s_name_says_what_made_it(tmp_path):
    plain = folder_name("m", model_source(HUB), tmp_path)
    names = [folder_name("m", model_source(HUB | change), tmp_path) for change, _ in CHANGES]
    assert [name == plain for name in names] == [same for _, same in CHANGES]
    assert len(set(names)) == len([same for _, same in CHANGES if not same]) + 1
    assert folder_name("n", model_source(HUB), tmp_path) == plain.replace("m-", "n-", 1)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda path: None, True),
        (lambda path: os.utime(path / "model.safetensors"), True),
        (lambda path: (path / "README.md").write_text("about it"), True),
        (lambda path: (path / "model.bin").write_bytes(b"a pickle"), True),
        (lambda path: (path / "model.safetensors").chmod(0o600), True),
        (lambda path: other_weights(path), False),
        (lambda path: (path / "config.json").write_text((path / "config.json").read_text() + "\n"), False),
        (lambda path: (path / "more.safetensors").write_bytes(b""), False),
        (lambda path: (path / "tokenizer.json").unlink(), False),
        (lambda path: (path / "chat_template.jinja").write_text("{{ messages }}"), False),
    ],
)
def test_a_folder_s_name_follows_what_lies_in_the_source(tmp_path, tiny, monkeypatch, change, same):
    monkeypatch.setattr(identity, "SETTLED", -1.0)  # digests are kept at once: they must not hide a change
    before = folder_name("m", folder(tiny), tmp_path)
    assert folder_name("m", folder(tiny), tmp_path) == before
    change(tiny)
    assert (folder_name("m", folder(tiny), tmp_path) == before) is same
    moved = tiny.rename(tmp_path / "moved")
    assert (folder_name("m", folder(moved), tmp_path) == before) is same


def test_unchanged_weights_are_read_once(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(identity, "SETTLED", -1.0)
    read = []
    monkeypatch.setattr(identity, "file_digest", lambda path: read.append(path.name) or "0" * 64)
    first = file_digests(model_files(tiny), tmp_path / "memo.json")
    assert read and sorted(read) == [path.name for path in model_files(tiny)]
    read.clear()
    assert file_digests(model_files(tiny), tmp_path / "memo.json") == first and not read
    other_weights(tiny)
    assert file_digests(model_files(tiny), tmp_path / "memo.json").keys() == first.keys()
    assert read == ["model.safetensors"]


@pytest.mark.parametrize("content", ["", "[]", '{"model.safetensors": 3}', '{"model.safetensors": []}', "\0"])
def test_a_damaged_memo_changes_nothing(tmp_path, tiny, content):
    (tmp_path / "memo.json").write_text(content)
    assert file_digests(model_files(tiny), tmp_path / "memo.json") == file_digests(model_files(tiny))


def test_what_changed_a_moment_ago_is_not_trusted_to_its_time(tmp_path, tiny):
    file_digests(model_files(tiny), tmp_path / "memo.json")
    assert not (tmp_path / "memo.json").exists()


def hidden(path: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_decoder(path).model(input_ids=torch.tensor([[5, 60, 70]])).last_hidden_state


def test_two_studies_with_one_cache_and_one_name_get_each_its_own_model(tmp_path, tiny):
    other = save_tiny(tmp_path / "other", "llama")
    other_weights(other)
    first, second = fetched(tmp_path, folder(tiny)), fetched(tmp_path, folder(other))
    assert first.parent == second.parent and first != second
    torch.testing.assert_close(hidden(first), hidden(tiny))
    torch.testing.assert_close(hidden(second), hidden(other))
    assert not torch.allclose(hidden(first), hidden(second), atol=1e-3)
    assert identify(first).weights != identify(second).weights


def test_a_source_that_is_overwritten_leaves_the_copy_as_it_was(tmp_path, tiny):
    first = fetched(tmp_path, folder(tiny))
    before, weights = hidden(first), identify(first)
    other_weights(tiny)
    assert identify(first) == weights
    torch.testing.assert_close(hidden(first), before)
    second = fetched(tmp_path, folder(tiny))
    assert second != first
    torch.testing.assert_close(hidden(second), hidden(tiny))


def test_no_file_of_the_user_s_is_shared_with_the_cache(tmp_path, tiny):
    output = fetched(tmp_path, folder(tiny))
    for path in model_files(tiny):
        assert path.stat().st_nlink == 1 and not (output / path.name).is_symlink()
        assert (output / path.name).read_bytes() == path.read_bytes()


TAMPERED = [
    (other_weights, "model.safetensors"),
    (lambda path: (path / "config.json").write_text("{}"), "config.json"),
    (lambda path: (path / "tokenizer.json").unlink(), "tokenizer.json"),
    (lambda path: (path / "more.safetensors").write_bytes(b"more"), "more.safetensors"),
    (lambda path: (path / "chat_template.jinja").write_text("{{ messages }}"), "chat_template.jinja"),
]


@pytest.mark.parametrize(("tamper", "named"), TAMPERED)
@pytest.mark.parametrize("settled", [2.0, -1.0])
def test_a_cached_model_that_was_changed_is_refused_at_each_use(tmp_path, tiny, monkeypatch, tamper, named, settled):
    monkeypatch.setattr(identity, "SETTLED", settled)
    output = fetched(tmp_path, folder(tiny))
    identify(output)
    tamper(output)
    with pytest.raises(UserError, match=rf"{named}: not as it was fetched; delete the folder .* to fetch it again"):
        identify(output)
    with pytest.raises(UserError, match=r"not as it was fetched|configuration|tokenizer|more.safetensors is damaged"):
        load_decoder(output)


def test_a_copied_cache_holds(tmp_path, tiny):
    output = fetched(tmp_path, folder(tiny))
    copied = Path(shutil.copytree(output, tmp_path / "elsewhere" / output.name))
    assert identify(copied) == identify(output)


@pytest.mark.parametrize("key", ["digest of another", "no folder", "adapter is no folder"])
def test_what_the_source_is_not_is_said_before_anything_runs(tmp_path, tiny, key):
    source, line = {
        "digest of another": (folder(tiny, digest="0" * 64), "its files have digest [0-9a-f]{64}, .* says 0000"),
        "no folder": (folder(tmp_path / "nowhere"), "key 'path': .*nowhere is no folder"),
        "adapter is no folder": (
            folder(tiny, adapter={"source": "folder", "path": "nowhere"}),
            "key 'adapter': nowhere is no folder",
        ),
    }[key]
    with pytest.raises(UserError, match=line):
        folder_name("m", source, tmp_path)


def test_a_source_that_changes_between_plan_and_fetch_is_refused(tmp_path, tiny):
    cache = tmp_path / "cache"
    planned = pinned("m", folder(tiny), cache)
    other_weights(tiny)
    with pytest.raises(UserError, match="its files have digest"):
        fetch_model(planned, cache, cache / "models" / "m-0", "m")


def test_the_readme_names_the_embedded_model_s_folder():
    entries = yaml.safe_load((ROOT / "config/models.yaml").read_text())
    name = "smollm2-135m-instruct"
    path = f"resources/models/{folder_name(name, model_source(entries[name]), Path('resources'))}"
    assert (ROOT / "README.md").read_text().count(path) == 2
    assert path in (ROOT / "src/layerrank/ranking/reranker.py").read_text()


# --- Results carry the digest of the weights that made them ------------------------------------------------


def candidates(tmp_path: Path) -> Path:
    path = tmp_path / "candidates.jsonl"
    texts = ["Air flows over a wing.", "Bread rises in the oven.", "Yeast makes gas.", "Layers grow in number."]
    rows = [
        {
            "qid": f"q{number}",
            "query": query,
            "passages": [{"pid": f"p{i}", "title": "", "text": text, "score": 9.0 - i} for i, text in enumerate(texts)],
        }
        for number, query in enumerate(["how do wings make lift", "why does bread rise"])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def signal(tmp_path: Path, model: Path, name: str, shard: int) -> Path:
    output = tmp_path / f"{name}.arrow"
    words = ["extract-attention", "--candidates", str(candidates(tmp_path)), "--model", str(model)]
    words += ["--family", "chatml", "--shard", str(shard), "--shards", "2", "--device", "cpu"]
    assert main([*words, "--output", str(output)]) == 0
    return output


def online(tmp_path: Path, model: Path, name: str) -> tuple[Path, Path]:
    run, costs = tmp_path / f"{name}.txt", tmp_path / f"{name}.costs.jsonl"
    words = ["rerank", "--candidates", str(candidates(tmp_path)), "--model", str(model), "--framework", "pointwise"]
    words += ["--mechanism", "attention", "--family", "chatml", "--device", "cpu", "--tag", "x"]
    assert main([*words, "--output", str(run), "--costs", str(costs)]) == 0
    return run, costs


@pytest.fixture
def two(tmp_path, tiny):
    """Two models of one name: their folders in the cache."""
    first = fetched(tmp_path, folder(tiny))
    other_weights(tiny)
    return first, fetched(tmp_path, folder(tiny))


def test_signals_of_two_models_are_refused_beside_each_other(tmp_path, two, capsys):
    of_first = [signal(tmp_path, two[0], f"first-{shard}", shard) for shard in (0, 1)]
    of_second = signal(tmp_path, two[1], "second-1", 1)
    words = ["rerank-cached", "--candidates", str(candidates(tmp_path)), "--tag", "x"]
    words += ["--output", str(tmp_path / "run.txt"), "--costs", str(tmp_path / "run.costs.jsonl"), "--signal"]
    assert main([*words, *map(str, of_first)]) == 0
    assert {cost.weights for cost in read_costs(tmp_path / "run.costs.jsonl")} == {identify(two[0]).weights}
    (tmp_path / "run.txt").unlink()
    assert main([*words, str(of_first[0]), str(of_second)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{of_second}: of other weights" in said and str(of_first[0]) in said
    assert not (tmp_path / "run.txt").exists()


def test_an_extraction_begun_with_other_weights_is_not_continued(tmp_path, two):
    """The store that is under way is set aside: its queries are of the former model."""
    from layerrank.attention.store import SignalWriter, read_metadata, read_signals

    output = signal(tmp_path, two[0], "one", 0)
    metadata = {key: value for key, value in read_metadata(output).items() if key != "qids"}
    with SignalWriter(tmp_path / "two.arrow", metadata) as begun:
        for one in read_signals(output):
            begun.append(one)
    fresh = next(read_signals(signal(tmp_path, two[1], "two", 0)))
    former = next(read_signals(output))
    assert read_metadata(tmp_path / "two.arrow")["weights"] == identify(two[1]).weights
    assert not np.allclose(fresh.signal, former.signal, atol=1e-6)


def test_runs_of_two_models_are_refused_in_one_evaluation(tmp_path, two, capsys):
    (run, costs), (other_run, other_costs) = online(tmp_path, two[0], "first"), online(tmp_path, two[1], "second")
    assert {cost.weights for cost in read_costs(costs)} == {identify(two[0]).weights}
    assert {cost.weights for cost in read_costs(other_costs)} == {identify(two[1]).weights}
    assert run.read_text() != other_run.read_text()
    (tmp_path / "qrels.txt").write_text("q0 0 p0 1\nq1 0 p1 1\n")
    cell = ["--collection", "c", "--model", "m", "--variant", "base"]
    words = ["evaluate", *cell, "--qrels", str(tmp_path / "qrels.txt"), "--candidates", str(candidates(tmp_path))]
    words += ["--measures", "RR@10", "--runs", f"a={run}", f"b={other_run}", "--output", str(tmp_path / "out.tsv")]
    assert main([*words, "--costs", str(costs), str(costs)]) == 0
    assert main([*words, "--costs", str(costs), str(other_costs)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{other_costs}: of other weights" in said and str(costs) in said
    sums = ["summarise-costs", *cell, "--costs", f"a={costs}", f"b={other_costs}", "--output", str(tmp_path / "s.tsv")]
    assert main(sums) == 2
    assert "of other weights" in capsys.readouterr().err
    join = [
        "join-shards",
        "--runs",
        str(run),
        str(other_run),
        "--run-costs",
        str(costs),
        str(other_costs),
        "--tag",
        "x",
    ]
    assert main([*join, "--output", str(tmp_path / "j.txt"), "--costs", str(tmp_path / "j.jsonl")]) == 2
    assert "of other weights" in capsys.readouterr().err


def test_one_file_of_two_models_and_one_of_none_are_refused(tmp_path, capsys):
    mixed, none = tmp_path / "mixed.jsonl", tmp_path / "none.jsonl"
    write_costs(mixed, [Cost("a", weights="1" * 64), Cost("b", weights="2" * 64)])
    write_costs(none, [Cost("a"), Cost("b")])
    cell = ["summarise-costs", "--collection", "c", "--model", "m", "--variant", "base"]
    for files in ([mixed], [mixed, none], [none, mixed]):
        words = [*cell, "--costs", *(f"s{i}={path}" for i, path in enumerate(files))]
        assert main([*words, "--output", str(tmp_path / "s.tsv")]) == 2
        assert "of other weights" in capsys.readouterr().err


def test_the_record_says_what_was_fetched(tmp_path, tiny):
    output = fetched(tmp_path, folder(tiny))
    record = read_json(output / MODEL_RECORD)
    assert record["files"] == file_digests(model_files(tiny))
    assert record["digest"] == identify(output).weights
