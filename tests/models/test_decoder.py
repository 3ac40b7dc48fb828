"""Loading: cut, without head, refused when it is not whole."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import ARCHITECTURES, HEADS, LAYERS, save_tiny, tiny_model, tiny_tokenizer

from layerrank.core.errors import UserError
from layerrank.core.files import MODEL_RECORD, write_json
from layerrank.models import decoder as models
from layerrank.models.decoder import load_decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cut_models_have_the_first_layers_and_no_head(tmp_path, architecture):
    folder = save_tiny(tmp_path / "m", architecture)
    whole = load_decoder(folder)
    cut = load_decoder(folder, layers=2)
    assert (whole.layers, whole.loaded_layers, cut.layers, cut.loaded_layers) == (LAYERS, LAYERS, LAYERS, 2)
    assert len(cut.model.layers) == 2 and cut.head is None and cut.causal is None and cut.heads == HEADS
    types = getattr(whole.config, "layer_types", None)
    assert types is None or cut.config.layer_types == types[:2]
    own, full = cut.model.state_dict(), whole.model.state_dict()
    assert not any("lm_head" in name for name in full)
    assert set(own) < set(full)
    for name, value in own.items():
        torch.testing.assert_close(value, full[name], rtol=0, atol=0)


def test_only_needed_weights_are_read(folder, monkeypatch):
    """Weights above the cut, and the head, are never asked for."""
    from transformers import core_model_loading as loading

    asked = []
    plain = loading._materialize_copy
    monkeypatch.setattr(
        loading, "_materialize_copy", lambda tensor, *rest, **more: (asked.append(1), plain(tensor, *rest, **more))[1]
    )
    load_decoder(folder)
    whole, asked[:] = len(asked), []
    load_decoder(folder, layers=1)
    per_layer = sum(1 for name in load_file(folder / "model.safetensors") if ".layers.0." in name)
    assert whole - len(asked) == (LAYERS - 1) * per_layer


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen3"])
def test_head_gives_the_models_logits(tmp_path, architecture):
    folder = save_tiny(tmp_path / "m", architecture)
    decoder = load_decoder(folder, head=True)
    ids = torch.tensor([[5, 60, 70, 80]])
    with torch.inference_mode():
        plain = tiny_model(architecture)(input_ids=ids).logits
        ours = decoder.head(decoder.model(input_ids=ids).last_hidden_state)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    assert decoder.causal.base_model is decoder.model


def test_a_head_that_is_no_projection_is_refused(folder, monkeypatch):
    from transformers import LlamaForCausalLM

    plain = LlamaForCausalLM.forward

    def doubled(self, *arguments, **options):
        output = plain(self, *arguments, **options)
        output.logits = output.logits * 2 + 1
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", doubled)
    with pytest.raises(UserError, match="LlamaForCausalLM: its logits are not a projection"):
        load_decoder(folder, head=True)


def test_dtype_and_facts(folder, tmp_path):
    decoder = load_decoder(folder, dtype="bfloat16")
    assert {parameter.dtype for parameter in decoder.model.parameters()} == {torch.bfloat16}
    assert (decoder.dtype, decoder.name, decoder.revision, decoder.context) == ("bfloat16", "tiny", None, 4096)
    assert not any(parameter.requires_grad for parameter in decoder.model.parameters())
    recorded = save_tiny(tmp_path / "recorded", "llama")
    write_json(recorded / MODEL_RECORD, {"name": "named", "revision": "abc", "context": 77})
    decoder = load_decoder(recorded)
    assert (decoder.name, decoder.revision, decoder.context) == ("named", "abc", 77)


def test_missing_weights_are_not_made_up(tmp_path):
    folder = save_tiny(tmp_path / "m", "llama")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"the checkpoint lacks 1 weights, layers\.1\.mlp\.up_proj\.weight"):
        load_decoder(folder)
    assert load_decoder(folder, layers=1).loaded_layers == 1


def test_torn_weights(tmp_path):
    folder = save_tiny(tmp_path / "m", "llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        load_decoder(folder)


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_user_errors(folder, tmp_path):
    with pytest.raises(UserError, match=r"not a model folder, it has no config\.json"):
        load_decoder(tmp_path)
    with pytest.raises(UserError, match="dtype: 'float8': expected auto or one of float32, bfloat16"):
        load_decoder(folder, dtype="float8")
    with pytest.raises(UserError, match="5 layers asked for, the model has 4"):
        load_decoder(folder, layers=5)
    strange = save_tiny(tmp_path / "strange", "llama")
    change_config(strange, model_type="from-the-future")
    with pytest.raises(UserError, match="its configuration cannot be read"):
        load_decoder(strange)
    code = save_tiny(tmp_path / "code", "llama")
    change_config(code, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    (code / "own.py").write_text("raise SystemExit('code of a model is run')\n")
    with pytest.raises(UserError, match="its configuration cannot be read"):
        load_decoder(code)


def test_models_that_are_no_text_decoders(tmp_path):
    import transformers

    config = transformers.Gemma3Config()
    config.save_pretrained(tmp_path / "vision")
    with pytest.raises(UserError, match="'gemma3' is more than a text decoder"):
        models.load_config(tmp_path / "vision")
    transformers.T5Config().save_pretrained(tmp_path / "t5")
    with pytest.raises(UserError, match="'t5' is not a decoder"):
        models.load_config(tmp_path / "t5")


def test_tokenizer_comes_from_the_folder(folder):
    text = "[1] air \n\n[2] wings"
    assert models.load_tokenizer(folder)(text)["input_ids"] == tiny_tokenizer()(text)["input_ids"]
