"""What loading a model refuses, in one line that names the folder: a row a case. What fetching refuses: test_checks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from support.tiny import tiny_tokenizer

from layerrank.core.errors import UserError
from layerrank.models.decoder import dtype_named, load_decoder
from layerrank.models.folder import load_config
from layerrank.ranking.reranker import Reranker

WEIGHT = "model.layers.1.mlp.down_proj.weight"


def config(**changes: object):
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def written(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def weights(edit):
    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return change


def spoilt(name: str, value: float):
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name].view(-1)[7] = value

    return weights(edit)


def more_tokens(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"word{number}" for number in range(5)])
    tokenizer.save_pretrained(folder)


REFUSED = [
    (lambda folder: (folder / "config.json").unlink(), "not a model folder, it has no config.json"),
    (lambda folder: (folder / "model.safetensors").unlink(), "its folder lacks model.safetensors"),
    (
        lambda folder: (folder / "tokenizer.json").unlink(),
        "its folder lacks tokenizer.json|its tokenizer cannot be read",
    ),
    (written("config.json", b"{"), "its configuration cannot be read"),
    (written("config.json", b"[1]"), "its configuration cannot be read"),
    (config(hidden_size="wide"), "its configuration cannot be read"),
    (config(num_hidden_layers=[4]), "its configuration cannot be read"),
    (config(num_hidden_layers=0), "is not a decoder"),
    (config(num_attention_heads=0), "its configuration cannot be read|has no attention heads"),
    (config(num_hidden_layers=2), "holds weights that its config.json has no place for: model.layers.2"),
    (config(num_hidden_layers=9), r"the checkpoint lacks \d+ weights, (model\.)?layers\.4"),
    (config(intermediate_size=96), "holds weights of another shape than its config.json says"),
    (
        weights(lambda tensors: tensors.pop(WEIGHT)),
        r"the checkpoint lacks 1 weights, (model\.)?layers\.1\.mlp\.down_proj\.weight",
    ),
    (weights(lambda tensors: tensors.update(mine=torch.zeros(2))), "has no place for: mine"),
    (written("model.safetensors", b"damaged"), "model.safetensors is damaged"),
    (written("model.safetensors.index.json", b"{}"), "key 'weight_map' is missing"),
    (written("model.safetensors.index.json", b'{"weight_map": {"a": "b.safetensors"}}'), "lacks b.safetensors"),
    (written("tokenizer.json", b"{}"), "its tokenizer cannot be read"),
    (more_tokens, "its tokenizer has 5 tokens beyond the 480 embeddings, 'word0' among them"),
    (spoilt(WEIGHT, math.nan), "weight .*layers.1.mlp.down_proj.weight holds NaN or infinity in float32"),
    (spoilt("model.embed_tokens.weight", math.inf), "weight .*embed_tokens.weight holds NaN or infinity"),
    (spoilt("model.layers.0.input_layernorm.weight", -math.inf), "input_layernorm.weight holds NaN or infinity"),
    (weights(lambda tensors: tensors[WEIGHT].mul_(1e38)), "not finite in float32"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[words for _, words in REFUSED])
@pytest.mark.parametrize("mechanism", ["attention", "likelihood", "generation"])
def test_a_damaged_folder_is_refused_whatever_ranks_with_it(tiny, mechanism, change, words):
    change(tiny)
    with pytest.raises(UserError, match=words) as caught:
        Reranker(tiny, mechanism=mechanism, window="all" if mechanism == "attention" else None)
    assert "tiny" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_layers_above_the_cut_are_not_read(tiny):
    spoilt("model.layers.3.mlp.down_proj.weight", math.nan)(tiny)
    assert load_decoder(tiny, layers=3).loaded_layers == 3
    weights(lambda tensors: tensors.pop("model.layers.3.mlp.down_proj.weight"))(tiny)
    assert load_decoder(tiny, layers=3).loaded_layers == 3
    with pytest.raises(UserError, match="the checkpoint lacks 1 weights"):
        load_decoder(tiny)


STRANGE = {
    "mamba": transformers.MambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=480),
    "falcon_mamba": transformers.FalconMambaConfig(hidden_size=16, num_hidden_layers=2, vocab_size=480),
    "t5": transformers.T5Config(d_model=16, num_layers=2, num_heads=2, vocab_size=480),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_models_that_are_no_decoders_with_heads(tmp_path, kind):
    STRANGE[kind].save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=rf"model type '{kind}' (has no attention heads|is not a decoder)"):
        load_config(tmp_path)
    for mechanism in ("attention", "generation"):
        with pytest.raises(UserError, match=f"model type '{kind}'"):
            Reranker(tmp_path, mechanism=mechanism)


@pytest.mark.parametrize(
    ("dtype", "device", "expected"),
    [
        ("auto", "cpu", "float32"),
        ("half", "cuda:0", "float16"),
        ("fp16", "cuda", "float16"),
        (torch.bfloat16, "cuda", "bfloat16"),
        ("float16", "cpu", None),
        ("int8", "cuda", None),
        (True, "cpu", None),
    ],
)
def test_dtypes_by_device(dtype, device, expected):
    if expected is None:
        with pytest.raises(UserError, match=r"dtype: .*: expected|dtype: .* on cpu: expected"):
            dtype_named(dtype, device)
    else:
        assert dtype_named(dtype, device) == expected
