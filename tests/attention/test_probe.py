"""The probe against transformers' own eager attention, on tiny random models of each architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.reference import eager_pass, eager_signal
from support.tiny import LAYERS, WINDOW, save_tiny

from layerrank.attention import probe as probe_module
from layerrank.attention.probe import Probe
from layerrank.attention.signal import SUMS
from layerrank.core.errors import UserError
from layerrank.core.records import Passage, Query
from layerrank.models.decoder import load_decoder
from layerrank.prompts.icr import build_icr
from layerrank.prompts.tree import Tree

READ = ("llama", "qwen3", "qwen2_window", "mistral", "mistral_window", "gemma2", "gemma3", "phi3", "olmo2", "gpt_oss")
FLOAT32 = 1e-5
BFLOAT16 = 0.03
"""Bound of |probe − eager| in bfloat16: three hundredths of the largest value, some four roundings of eight bits."""

WORDS = ["the", "wing", "of", "planes", "lifts", "when", "air", "flows", "boundary", "layers", "grow", "12", "3", "été"]


def passages(count, words=12, seed=0):
    random = np.random.default_rng(seed)
    return [
        Passage(f"d{index}", " ".join(random.choice(WORDS, size=words + index)), "A title" if index % 2 else "")
        for index in range(count)
    ]


def prompt_of(decoder, family="llama3", count=4, qid="q", query="what is a shock wave in the air?", **options):
    return build_icr(decoder.tokenizer, family, Query(qid, query), passages(count, **options))


def close(ours, reference, tolerance):
    for name, left, right in [
        ("signal", ours.signal, reference.signal),
        *((name, ours.sums[name], reference.sums[name]) for name in SUMS),
    ]:
        assert left.shape == right.shape and left.dtype == np.float32, name
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * max(1.0, np.abs(right).max()), err_msg=name)
    assert np.abs(reference.signal).max() > 100 * FLOAT32  # there is something to compare


@pytest.mark.parametrize("architecture", READ)
@pytest.mark.parametrize("family", ["llama3", "qwen"])
def test_signal_is_eager_attentions(folders, architecture, family):
    decoder = load_decoder(folders(architecture))
    prompt = prompt_of(decoder, family)
    assert len(prompt.tree.prefix) > 3 * WINDOW  # windows close over most of the prompt
    (signal,) = Probe(decoder).read([prompt], masked=True, na=True)
    reference = eager_signal(decoder.model, prompt)
    close(signal, reference, FLOAT32)
    np.testing.assert_allclose(signal.na, reference.na, rtol=0, atol=FLOAT32)
    by_passage = np.add.reduceat(signal.na, np.cumsum(signal.lengths) - signal.lengths, axis=1)
    np.testing.assert_allclose(by_passage, signal.sums["na"].sum(axis=1), rtol=0, atol=FLOAT32)
    np.testing.assert_allclose(signal.masked, reference.masked, rtol=0, atol=FLOAT32)
    assert (signal.masked != signal.sums["query"] - signal.sums["na"]).any()  # the mask drops something
    assert (signal.qid, signal.pids) == ("q", ("d0", "d1", "d2", "d3"))


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3", "gemma2", "phi3"])
def test_bfloat16(folders, architecture):
    decoder = load_decoder(folders(architecture), dtype="bfloat16")
    prompt = prompt_of(decoder)
    (signal,) = Probe(decoder).read([prompt])
    reference = eager_signal(decoder.model, prompt)
    for name, left, right in [
        ("signal", signal.signal, reference.signal),
        ("query", signal.sums["query"], reference.sums["query"]),
    ]:
        assert np.abs(left - right).max() <= BFLOAT16 * max(1.0, np.abs(right).max()), name


@pytest.mark.parametrize("architecture", READ)
def test_hidden_states_are_the_plain_models(folders, architecture):
    decoder = load_decoder(folders(architecture))
    random = np.random.default_rng(1)
    lengths = [(90, (5, 1, 9)), (40, (3,)), (1, (4, 4)), (70, ())]
    trees = [
        Tree(random.integers(20, 400, prefix).tolist(), tuple(random.integers(20, 400, n).tolist() for n in branches))
        for prefix, branches in lengths
    ]
    found = Probe(decoder).hidden(trees)
    assert [len(states) for states in found] == [3, 1, 2, 0]
    for tree, states in zip(trees, found, strict=True):
        for branch, ours in zip(tree.branches, states, strict=True):
            _, plain = eager_pass(decoder.model, [*tree.prefix, *branch])
            np.testing.assert_allclose(ours.numpy(), plain[len(tree.prefix) - 1 :], rtol=0, atol=2e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt_oss"])
def test_cut_model_is_the_whole_models_beginning(folders, architecture):
    whole = load_decoder(folders(architecture))
    prompt = prompt_of(whole)
    (full,) = Probe(whole).read([prompt])
    for last in range(LAYERS):
        decoder = load_decoder(folders(architecture), layers=last + 1)
        assert (decoder.loaded_layers, decoder.layers, len(decoder.model.layers)) == (last + 1, LAYERS, last + 1)
        for reader, options in ((Probe(decoder), {}), (Probe(whole), {"last_layer": last})):
            (cut,) = reader.read([prompt], **options)
            assert cut.layers == last + 1
            np.testing.assert_array_equal(cut.signal, full.signal[: last + 1])
            for name in SUMS:
                np.testing.assert_array_equal(cut.sums[name], full.sums[name][: last + 1])


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gemma2"])
@pytest.mark.parametrize("grouped", [False, True])
def test_several_prompts_in_one_pass(folders, architecture, grouped, monkeypatch):
    """As on the processor (each tree by itself) and as on a device (trees padded to share kernels)."""
    decoder = load_decoder(folders(architecture))
    prompts = [
        prompt_of(decoder, "qwen", count, f"q{count}", query, seed=count)
        for count, query in [(3, "air?"), (1, "a longer question about bread"), (0, "nothing"), (5, "N/A"), (4, "wing")]
    ]
    probe = Probe(decoder)
    alone = [probe.read([prompt], masked=True)[0] for prompt in prompts]
    if grouped:
        monkeypatch.setattr(probe_module, "_grouped", lambda places, device: [[3, 0, 4], [2, 1]])
    together = probe.read(prompts, masked=True)
    for one, other in zip(alone, together, strict=True):
        assert (one.qid, one.pids, one.prompt_tokens) == (other.qid, other.pids, other.prompt_tokens)
        np.testing.assert_allclose(one.signal, other.signal, rtol=0, atol=FLOAT32)
        np.testing.assert_allclose(one.masked, other.masked, rtol=0, atol=FLOAT32)
        for name in SUMS:
            np.testing.assert_allclose(one.sums[name], other.sums[name], rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3"])
def test_chosen_heads(folders, architecture):
    """Every head is the window; one head is what its sums say; heads of one layer need no layer above it."""
    decoder = load_decoder(folders(architecture))
    probe, prompt = Probe(decoder), prompt_of(decoder)
    (plain,) = probe.read([prompt])
    every = [(layer, head) for layer in range(LAYERS) for head in range(decoder.heads)]
    (whole,) = probe.read([prompt], heads=every)
    np.testing.assert_array_equal(whole.signal, plain.signal)
    ends = np.cumsum(plain.lengths)
    for layer, head in [(0, 0), (2, 1), (3, decoder.heads - 1)]:
        (one,) = probe.read([prompt], heads=[(layer, head)], na=True)
        assert not np.delete(one.signal, layer, axis=0).any() and not np.delete(one.na, layer, axis=0).any()
        na = np.stack([part.sum() for part in np.split(one.na[layer], ends[:-1])])
        np.testing.assert_allclose(na, plain.sums["na"][layer, head], rtol=0, atol=FLOAT32)
        by_passage = np.stack([part.sum() for part in np.split(one.signal[layer], ends[:-1])])
        linear = plain.sums["query"][layer, head] - plain.sums["na"][layer, head]
        np.testing.assert_allclose(by_passage, linear, rtol=0, atol=FLOAT32)
        short = Probe(load_decoder(folders(architecture), layers=layer + 1))
        (cut,) = short.read([prompt], heads=[(layer, head)])
        np.testing.assert_array_equal(cut.signal, one.signal[: layer + 1])
    with pytest.raises(UserError, match="heads 0 to"):
        probe.read([prompt], heads=[(0, decoder.heads)])


def test_hidden_states_of_grouped_trees(folders, monkeypatch):
    decoder = load_decoder(folders("mistral_window"))
    random = np.random.default_rng(2)
    trees = [
        Tree(random.integers(20, 400, prefix).tolist(), tuple(random.integers(20, 400, n).tolist() for n in branches))
        for prefix, branches in [(50, (5, 2)), (41, (3,)), (47, (1, 1, 1))]
    ]
    probe = Probe(decoder)
    alone = [probe.hidden([tree])[0] for tree in trees]
    monkeypatch.setattr(probe_module, "_grouped", lambda places, device: [[0, 2, 1]])
    for one, other in zip(alone, probe.hidden(trees), strict=True):
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
        {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 8,
            "long_factor": [2.0 + index for index in range(8)],
            "original_max_position_embeddings": 64,
            "factor": 4.0,
        },
    ],
    ids=["dynamic", "longrope"],
)
def test_rope_that_depends_on_length(tmp_path, parameters):
    """A short prompt after a long one, and one beside it, has the frequencies of its own length."""
    architecture = "phi3" if parameters["rope_type"] == "longrope" else "llama"
    folder = save_tiny(tmp_path / "m", architecture, max_position_embeddings=64, rope_parameters=parameters)
    decoder = load_decoder(folder)
    tokenizer = decoder.tokenizer
    long, short = (build_icr(tokenizer, "qwen", Query("q", "lift"), passages(count, words=4)) for count in (6, 1))
    assert len(long.tree.prefix) > 70 and short.prompt_tokens < 64
    probe = Probe(decoder)
    for signal, prompt in zip(probe.read([long, short, long]), (long, short, long), strict=True):
        assert len({len(branch) for branch in prompt.tree.branches}) == 1  # query and N/A make prompts of one length
        close(signal, eager_signal(load_decoder(folder).model, prompt), FLOAT32)
