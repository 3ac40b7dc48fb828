"""What fetching a model refuses, a case a row: nothing of it may reach a run, a GPU or the cache."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.hub import REPO, REVISION, hub_of
from support.server import serving

from layerrank.__main__ import main
from layerrank.core.files import MODEL_RECORD, read_json
from layerrank.models.decoder import load_decoder
from layerrank.models.identity import identify

INDEX = "model.safetensors.index.json"


def fetch(tmp_path: Path, source: dict[str, object], name: str = "m") -> int:
    cache = tmp_path / "cache"
    words = ["fetch-model", "--name", name, "--entry", json.dumps(source), "--cache", str(cache)]
    return main([*words, "--output", str(cache / "models" / "m")])


def config(**changes: object):
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(content))

    return change


def text(name: str, content: str | bytes):
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def index(content: object):
    return text(INDEX, json.dumps(content))


def weights(edit):
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return change


def cut(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 100)


def longer(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")


def linked(target: str, name: str = "config.json"):
    def change(folder: Path) -> None:
        outside = folder.with_name("outside")
        outside.mkdir()
        shutil.move(folder / name, outside / name)
        (folder / name).symlink_to(target.format(outside=outside) + "/" + name)

    return change


def more_tokens(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    extra = {"id": 5000, "content": "extra", "special": False, "lstrip": False, "rstrip": False}
    content["added_tokens"].append(extra | {"normalized": False, "single_word": False})
    (folder / "tokenizer.json").write_text(json.dumps(content))


WEIGHT = "model.layers.0.mlp.down_proj.weight"

REFUSED = [
    (text("config.json", ""), "config.json: not valid JSON"),
    (text("config.json", "[]"), "its config.json says no model_type"),
    (text("config.json", "{}"), "its config.json says no model_type"),
    (text("config.json", b"\xff\xfe"), "config.json: not valid JSON"),
    (config(model_type=3), "its config.json says no model_type"),
    (config(model_type="none"), "does not know model type 'none'"),
    (config(model_type="own", auto_map={"AutoModel": "own.Model"}), "code of its own, which is never run"),
    (config(model_type="bert"), "the checkpoint lacks weights: bert"),
    (config(hidden_size="wide"), "its configuration cannot be read"),
    (config(num_hidden_layers="many"), "its configuration cannot be read"),
    (config(num_hidden_layers=None), "its configuration cannot be read"),
    (config(num_hidden_layers=-1), "model 'm': "),
    (config(num_attention_heads=0), "model 'm': "),
    (config(num_attention_heads=[4]), "its configuration cannot be read"),
    (config(vocab_size={}), "its configuration cannot be read"),
    (config(hidden_act="no such function"), "the model cannot be loaded"),
    (config(num_hidden_layers=2), "holds weights that its config.json has no place for: model.layers.2."),
    (config(num_hidden_layers=6), "the checkpoint lacks weights: model.layers.4."),
    (config(intermediate_size=48), "holds weights of another shape than its config.json says: "),
    (weights(lambda tensors: tensors.pop(WEIGHT)), f"the checkpoint lacks weights: {WEIGHT}"),
    (weights(lambda tensors: tensors.update(own=torch.zeros(2))), "has no place for: own"),
    (weights(lambda tensors: tensors.update({WEIGHT: torch.zeros(2, 3)})), f"of another shape than .*: {WEIGHT}"),
    (text("model.safetensors", b""), "model.safetensors is damaged"),
    (text("model.safetensors", b"no weights at all"), "model.safetensors is damaged"),
    (text("model.safetensors", b"\xff" * 64), "model.safetensors is damaged"),
    (cut, "model.safetensors is damaged"),
    (longer, "model.safetensors is damaged"),
    (text("more.safetensors", b"half"), "more.safetensors is damaged"),
    (index([]), "key 'weight_map' is missing or no mapping"),
    (index({}), "key 'weight_map' is missing or no mapping"),
    (index({"weight_map": {}}), "key 'weight_map' is missing or no mapping"),
    (index({"weight_map": "model.safetensors"}), "key 'weight_map' is missing or no mapping"),
    (index({"weight_map": {WEIGHT: 1}}), "lies in 1: expected a safetensors file of this folder"),
    (index({"weight_map": {WEIGHT: "../other.safetensors"}}), "lies in '../other.safetensors': expected"),
    (index({"weight_map": {WEIGHT: "/etc/passwd"}}), "lies in '/etc/passwd': expected"),
    (index({"weight_map": {WEIGHT: "a/../../b.safetensors"}}), "expected a safetensors file of this folder"),
    (index({"weight_map": {WEIGHT: "model.bin"}}), "lies in 'model.bin': expected"),
    (index({"weight_map": {WEIGHT: "..\\b.safetensors"}}), "expected a safetensors file of this folder"),
    (index({"weight_map": {WEIGHT: "absent.safetensors"}}), "lacks absent.safetensors"),
    (text(INDEX, "{"), "index.json: not valid JSON"),
    (linked("{outside}"), "config.json is a link to outside of the folder"),
    (linked("../outside"), "config.json is a link to outside of the folder"),
    (linked("{outside}", "model.safetensors"), "model.safetensors is a link to outside of the folder"),
    (text("tokenizer.json", "{"), "tokenizer"),
    (text("tokenizer.json", "[]"), "tokenizer"),
    (text("tokenizer_config.json", "["), "tokenizer"),
    (more_tokens, "its tokenizer has 1 tokens beyond the \\d+ embeddings, 'extra' among them"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "lacks tokenizer.json"),
    (lambda folder: (folder / "config.json").unlink(), "lacks config.json"),
]


@pytest.mark.parametrize(("change", "line"), REFUSED)
def test_a_model_that_would_mislead_is_refused_in_one_line(tmp_path, tiny, capfd, change, line):
    change(tiny)
    assert fetch(tmp_path, {"source": "folder", "path": str(tiny)}) == 2
    said = capfd.readouterr().err
    errors = [one for one in said.splitlines() if one.startswith("layerrank")]
    assert "Traceback" not in said
    assert len(errors) == 1 and said.rstrip().splitlines()[-1] == errors[0], said
    assert re.search(line, errors[0]), errors[0]
    assert not (tmp_path / "cache/models/m").exists() and not (tmp_path / "cache/models/.m.part").exists()


@pytest.mark.parametrize("name", ["../m", "a/b", "a b", "", ".m", "m\n", "-m", "a;b", "$(x)"])
def test_names_that_are_no_names(tmp_path, tiny, capfd, name):
    assert fetch(tmp_path, {"source": "folder", "path": str(tiny)}, name) == 2
    assert "name" in capfd.readouterr().err
    assert not (tmp_path / "cache/models/m").exists()


def test_links_within_the_hubs_own_cache_are_in_order(tmp_path, tiny):
    """Its snapshots are links to blobs beside them: what is copied is what they lead to."""
    blobs, snapshot = tmp_path / "models--a--b/blobs", tmp_path / "models--a--b/snapshots/0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in tiny.iterdir():
        shutil.copy(path, blobs / f"blob-{path.name}")
        (snapshot / path.name).symlink_to(Path("../../blobs") / f"blob-{path.name}")
    assert fetch(tmp_path, {"source": "folder", "path": str(snapshot)}) == 0
    assert not any(path.is_symlink() for path in (tmp_path / "cache/models/m").iterdir())
    assert identify(tmp_path / "cache/models/m").weights == identify(tiny).weights


def test_an_output_that_is_a_link_is_not_followed(tmp_path, tiny, capfd):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/file").write_text("of somebody else")
    (tmp_path / "cache/models").mkdir(parents=True)
    (tmp_path / "cache/models/m").symlink_to(tmp_path / "own")
    assert fetch(tmp_path, {"source": "folder", "path": str(tiny)}) == 2
    assert "is a symbolic link" in capfd.readouterr().err
    assert (tmp_path / "own/file").read_text() == "of somebody else"


def test_a_fetch_that_is_killed_in_its_download_leaves_nothing_and_the_next_one_is_whole(tmp_path, tiny, monkeypatch):
    """The hub gives the listing, then holds the weights back; the process is killed meanwhile."""
    monkeypatch.setenv("HF_TOKEN", "")
    cache = tmp_path / "cache"
    entry = json.dumps({"source": "hub", "repo": REPO, "revision": REVISION})
    words = ["fetch-model", "--name", "m", "--entry", entry, "--cache", str(cache), "--output", str(cache / "models/m")]
    with serving(hub_of(tiny)) as site:
        weights = f"/{REPO}/resolve/{REVISION}/model.safetensors"
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        site.drops[weights] = 1000  # every transfer breaks halfway: it tries again and again
        process = subprocess.Popen([sys.executable, "-m", "layerrank", *words], stderr=subprocess.DEVNULL)
        part = cache / "models/.m.part"
        while not any(path == weights for path, _ in site.asked):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert part.exists() and not (cache / "models/m").exists()
        (part / "left").write_text("of the killed process")
        site.drops.clear()
        assert main(words) == 0
    assert not part.exists()
    assert load_decoder(cache / "models/m").layers == 4
    assert read_json(cache / "models/m" / MODEL_RECORD)["files"]


ASKED = [
    ({"windows": {"systems.windows": ["L0-3"]}}, None),
    ({"windows": {"systems.windows": ["L3-3", "L0-0"], "latency.windows": ["L1-2"]}}, None),
    ({"heads": {"systems.mechanisms.attention.heads": [[3, 3], [0, 0]]}}, None),
    ({"top": {"heads.selection.core.top": [16, "all"], "heads.selection.two.top": [8, "1-2"]}}, None),
    ({}, None),
    (
        {"top": {"heads.selection.core.top": [17, "all"]}},
        "core.top: model 'tiny': 17: layers 0–3 have 16 heads",
    ),
    (
        {"top": {"heads.selection.core.top": [9, "1-2"]}},
        "heads.selection.core.top: .* layers 1–2 have 8 heads",
    ),
    ({"windows": {"systems.windows": ["L0-3", "L0-4"]}}, "config key systems.windows: model 'tiny': window 'L0-4'"),
    ({"windows": {"latency.windows": ["L4-4"]}}, "config key latency.windows: .* the model has layers 0 to 3"),
    ({"windows": {"systems.cached_windows": ["L9-12"]}}, "config key systems.cached_windows: model 'tiny'"),
    ({"windows": {"layers.selection.mine.window": ["10-13"]}}, "config key layers.selection.mine.window"),
    ({"windows": {"layers.selection.mine.window": ["3-1"]}}, "config key layers.selection.mine.window"),
    ({"heads": {"systems.mechanisms.attention.heads": [[4, 0]]}}, "attention.heads: .* head 4-0: the model has layers"),
    ({"heads": {"systems.mechanisms.attention.heads": [[0, 4]]}}, "head 0-4: the model has heads 0 to 3"),
    ({"heads": {"systems.cells.a-b.mechanism.heads": []}}, "config key systems.cells.a-b.mechanism.heads: .* empty"),
    ({"heads": {"systems.mechanisms.attention.heads": [[0.5, 1]]}}, "config key systems.mechanisms.attention.heads"),
    ({"heads": {"systems.mechanisms.attention.heads": [[-1, 0]]}}, "config key systems.mechanisms.attention.heads"),
]


@pytest.mark.parametrize(("asked", "line"), ASKED)
def test_windows_and_heads_beyond_the_model(tmp_path, model, capfd, asked, line):
    output = tmp_path / "found.json"
    words = ["check-layers", "--model", str(model), "--asked", json.dumps(asked), "--output", str(output)]
    assert main(words) == (2 if line else 0)
    if line:
        assert re.search(line, capfd.readouterr().err.strip().splitlines()[-1])
        assert not output.exists()
    else:
        assert read_json(output) == {"model": "tiny", "layers": 4, "heads": 4}
