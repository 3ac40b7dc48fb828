"""Models that the probe would get wrong are refused by name; unusual ones that it can read are read rightly."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import transformers
from support.reference import eager_signal

from layerrank.attention.probe import Probe
from layerrank.core.errors import UserError
from layerrank.models.decoder import Decoder
from layerrank.prompts.icr import IcrPrompt
from layerrank.prompts.tree import Tree

SMALL = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
FULL = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 512}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WIDE = {"initializer_range": 0.2}


def decoder_of(config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval().requires_grad_(False)
    layers = config.num_hidden_layers
    return Decoder(
        model, None, None, None, model.config, layers, layers, torch.device("cpu"), "float32", 512, "strange", None
    )


def prompt():
    random = np.random.default_rng(0)
    prefix, query, na = (random.integers(3, 299, length).tolist() for length in (60, 6, 3))
    tree = Tree(prefix, (query, na))
    return IcrPrompt("q", ("a", "b"), tree, np.array([[5, 20], [20, 50]]), ((1, 5), (0, 3)), 66)


REFUSED = {
    "bloom": (
        lambda: transformers.BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4, **IDS),
        "does not serve it through its attention interface",
    ),
    "falcon": (lambda: transformers.FalconConfig(**SMALL, **IDS, alibi=True), "ALiBi"),
    "gptj": (
        lambda: transformers.GPTJConfig(vocab_size=300, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, **IDS),
        "does not serve it through its attention interface",
    ),
    "llama4": (
        lambda: transformers.Llama4TextConfig(
            **FULL, **IDS, intermediate_size_mlp=48, num_local_experts=2, attention_chunk_size=32
        ),
        "layers of type chunked_attention",
    ),
    "lfm2": (
        lambda: transformers.Lfm2Config(**FULL, **IDS, layer_types=["conv", "full_attention"] * 2),
        "layers of type conv",
    ),
    "qwen3_next": (
        lambda: transformers.Qwen3NextConfig(
            **FULL,
            **IDS,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
            linear_num_key_heads=2,
            linear_num_value_heads=2,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
        ),
        "layers of type linear_attention",
    ),
    "bidirectional gemma": (
        lambda: transformers.Gemma3TextConfig(**FULL, **IDS, head_dim=8, use_bidirectional_attention=True),
        "its attention is not causal",
    ),
    "encoder": (
        lambda: transformers.BertConfig(**SMALL, intermediate_size=48, pad_token_id=0),
        "its attention is not causal|its mask is neither causal nor a sliding window|without a mask",
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_by_name(name):
    config, message = REFUSED[name]
    decoder = decoder_of(config())
    with pytest.raises(UserError, match=message) as refusal:
        Probe(decoder)
    assert re.match(rf"model strange \({type(decoder.model).__name__}\): ", str(refusal.value))


def llama():
    return decoder_of(transformers.LlamaConfig(**FULL, **IDS, **WIDE))


def hooked(change):
    """A Llama whose third layer is changed under the probe, as a model that transformers may serve one day."""
    decoder = llama()

    def before(module, arguments, options):
        change(module, options)
        return arguments, options

    decoder.model.layers[2].self_attn.register_forward_pre_hook(before, with_kwargs=True)
    return decoder


def test_unknown_arguments_of_attention_are_refused():
    decoder = hooked(lambda module, options: options.update(position_bias=torch.zeros(1)))
    with pytest.raises(UserError, match="its attention takes position_bias, which the probe does not know"):
        Probe(decoder)


def test_a_layer_that_computes_with_its_mask_is_refused_and_the_cause_is_kept():
    decoder = hooked(lambda module, options: options.update(attention_mask=options["attention_mask"] * 2))
    with pytest.raises(
        UserError, match=r"model strange \(LlamaModel\): it handles attention or its mask by itself"
    ) as refusal:
        Probe(decoder)
    assert isinstance(refusal.value.__cause__, TypeError)


@pytest.mark.parametrize("place", ["kernels.Kernel.causal", "probe._described"])
@pytest.mark.parametrize("kind", [AttributeError, TypeError, NotImplementedError])
def test_a_mistake_of_the_probes_own_is_not_blamed_on_the_model(monkeypatch, kind, place):
    def mistaken(*arguments):
        raise kind("a mistake")

    monkeypatch.setattr(f"layerrank.attention.{place}", mistaken)
    with pytest.raises(kind, match="a mistake"):
        Probe(llama())


@pytest.mark.parametrize("name", ["_to", "_attention_set", "pack"])
def test_nor_is_a_mistake_before_the_model_is_called(monkeypatch, name):
    monkeypatch.setattr(f"layerrank.attention.probe.{name}", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        Probe(llama())


def test_a_layer_without_mask_is_refused():
    decoder = hooked(lambda module, options: options.update(attention_mask=None))
    with pytest.raises(UserError, match="without a mask that the probe has made"):
        Probe(decoder)


def test_a_layer_that_is_not_causal_is_refused():
    decoder = hooked(lambda module, options: setattr(module, "is_causal", False))
    with pytest.raises(UserError, match="its attention is not causal"):
        Probe(decoder)


def test_a_layer_that_does_not_attend_is_refused():
    decoder = llama()
    layer = decoder.model.layers[1]
    layer.forward = lambda hidden_states, **options: hidden_states
    with pytest.raises(UserError, match=r"3 of its 4 layers call the attention interface|attends as number 1"):
        Probe(decoder)


def test_other_hidden_states_are_refused():
    def change(module, options):
        if not isinstance(options["attention_mask"], torch.Tensor):
            options["hidden_states"] = options["hidden_states"] * torch.linspace(0.5, 1.5, 32)

    with pytest.raises(UserError, match=r"hidden states differ by .* from its own attention's"):
        Probe(hooked(change))


READ = {
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=512, **IDS, **WIDE
    ),
    "olmo3": lambda: transformers.Olmo3Config(**FULL, **IDS, **WIDE, sliding_window=16),
    "exaone4": lambda: transformers.Exaone4Config(**FULL, **IDS, **WIDE, sliding_window=16),
    "cohere2": lambda: transformers.Cohere2Config(**FULL, **IDS, **WIDE, sliding_window=16),
    "smollm3": lambda: transformers.SmolLM3Config(**FULL, **IDS, **WIDE, no_rope_layers=[1, 1, 1, 0]),
    "latent attention": lambda: transformers.DeepseekV3Config(
        **{**FULL, "num_key_value_heads": 4},
        **IDS,
        **WIDE,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=12,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        first_k_dense_replace=2,
        n_group=1,
        topk_group=1,
        n_shared_experts=1,
    ),
}


@pytest.mark.parametrize("name", sorted(READ))
def test_unusual_models_that_can_be_read(name):
    decoder = decoder_of(READ[name]())
    (signal,) = Probe(decoder).read([prompt()])
    reference = eager_signal(decoder.model, prompt())
    np.testing.assert_allclose(signal.signal, reference.signal, rtol=0, atol=1e-5)
    np.testing.assert_allclose(signal.sums["na_last"], reference.sums["na_last"], rtol=0, atol=1e-5)
    assert np.abs(reference.signal).max() > 1e-2
