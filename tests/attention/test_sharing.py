"""Prompts of one pass that begin with the same tokens: computed once, with the numbers of each prompt by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.products import in_double
from support.reference import eager_pass, eager_signal
from support.tiny import WINDOW

from layerrank.attention import kernels
from layerrank.attention.pack import pack
from layerrank.attention.probe import Probe
from layerrank.attention.signal import SUMS
from layerrank.core.records import Passage, Query
from layerrank.models.decoder import load_decoder
from layerrank.prompts.icr import build_icr
from layerrank.prompts.tree import LEAST_SHARE, LEAST_SHARED, Tree, borrowed

READ = ("llama", "qwen3", "qwen2_window", "mistral_window", "gemma2", "gemma3", "phi3", "olmo2", "gpt_oss")
FLOAT32 = 1e-5
BFLOAT16 = 0.03
"""As in test_probe: three hundredths of the largest value, some four roundings of eight bits."""


def tokens(count, seed):
    return np.random.default_rng(seed).integers(20, 400, count).tolist()


def family():
    """A passage that stands first in several prompts, one that begins another, equal ones, and one by itself."""
    header, first, second = tokens(30, 1), tokens(50, 2), tokens(40, 3)
    return [
        Tree([*header, *first, *tokens(35, 4)], (tokens(6, 5), tokens(2, 6))),
        Tree([*header, *second, *tokens(20, 7)], (tokens(3, 8),)),
        Tree([*header, *first], (tokens(4, 9),)),
        Tree(tokens(60, 10), (tokens(5, 11),)),
        Tree([*header, *first, *second], (tokens(1, 12), tokens(1, 13), tokens(2, 14))),
        Tree([*header, *first], (tokens(2, 15),)),
        Tree([*header, *first, *tokens(3, 16)], ()),
    ]


def trie(prefixes):
    """Nodes of the trie of some sequences, counted one by one."""
    return len({tuple(prefix[: end + 1]) for prefix in prefixes for end in range(len(prefix))})


class Embedded:
    """Counts the tokens that the model is given."""

    def __init__(self, decoder):
        self.tokens = 0
        decoder.model.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, _, ids, __):
        self.tokens += ids[0].numel()


@pytest.mark.parametrize("architecture", READ)
def test_hidden_states_are_the_plain_models(folders, architecture, grouping):
    decoder = load_decoder(folders(architecture))
    seen, trees = Embedded(decoder), family()
    probe = Probe(decoder)
    seen.tokens = 0
    found = probe.hidden(trees)
    assert seen.tokens == trie([tree.prefix for tree in trees]) + sum(len(b) for tree in trees for b in tree.branches)
    assert seen.tokens < 0.6 * sum(tree.tokens for tree in trees)
    for tree, states in zip(trees, found, strict=True):
        for branch, ours in zip(tree.branches, states, strict=True):
            _, plain = eager_pass(decoder.model, [*tree.prefix, *branch])
            np.testing.assert_allclose(ours.numpy(), plain[len(tree.prefix) - 1 :], rtol=0, atol=2e-5)


def prompts_of(decoder):
    """Groups of one parent, and of another query with the same passages first."""
    texts = [" ".join(["wing", "air", "flows", "layers"][: 1 + number % 4] * (3 + number)) for number in range(5)]
    shown = [Passage(f"d{number}", text, "A title" if number % 2 else "") for number, text in enumerate(texts)]
    groups = [(0, 1, 4), (2, 4), (0, 1, 2, 4), (3,), (), (4, 3), (3, 4), (4,)]
    queries = ["what is lift?", "what is lift?", "bread", "air", "nothing", "what is lift?", "wing", "N/A"]
    return [
        build_icr(decoder.tokenizer, "qwen", Query(f"q{number}", query), [shown[place] for place in group])
        for number, (query, group) in enumerate(zip(queries, groups, strict=True))
    ]


@pytest.mark.parametrize("architecture", READ)
def test_signals_are_eager_attentions(folders, architecture, grouping):
    decoder = load_decoder(folders(architecture))
    prompts = prompts_of(decoder)
    assert max(len(prompt.tree.prefix) for prompt in prompts) > 2 * WINDOW
    seen, probe = Embedded(decoder), Probe(decoder)
    seen.tokens = 0
    signals = probe.read(prompts, masked=True, by_head=True)
    written = sum(prompt.tree.tokens for prompt in prompts)
    assert seen.tokens < 0.75 * written
    assert sum(probe.computed([prompt.tree for prompt in prompts])) == seen.tokens
    for prompt, ours in zip(prompts, signals, strict=True):
        reference = eager_signal(decoder.model, prompt)
        assert (ours.qid, ours.pids) == (prompt.qid, prompt.pids)
        np.testing.assert_allclose(ours.signal, reference.signal, rtol=0, atol=FLOAT32)
        np.testing.assert_allclose(ours.by_head.sum(axis=1), reference.signal, rtol=0, atol=FLOAT32)
        np.testing.assert_allclose(ours.masked, reference.masked, rtol=0, atol=FLOAT32)
        for name in SUMS:
            np.testing.assert_allclose(ours.sums[name], reference.sums[name], rtol=0, atol=FLOAT32, err_msg=name)


@pytest.mark.parametrize("architecture", ["llama", "qwen2_window", "gemma3", "gemma2", "gpt_oss"])
def test_bfloat16(folders, architecture, grouping):
    decoder = load_decoder(folders(architecture), dtype="bfloat16")
    prompts = prompts_of(decoder)
    for ours, plain in zip(Probe(decoder).read(prompts), Probe(decoder, share=False).read(prompts), strict=True):
        for left, right in [(ours.signal, plain.signal), (ours.sums["query"], plain.sums["query"])]:
            if right.size:
                assert np.abs(left - right).max() <= BFLOAT16 * max(1.0, np.abs(right).max())


@pytest.mark.parametrize("architecture", READ)
def test_in_bfloat16_a_prompt_is_the_same_whatever_shares_its_pass(folders, architecture, monkeypatch):
    """To the last bit, where the model's own products do not hang on the number of rows, as those of bfloat16 may."""
    decoder = load_decoder(folders(architecture), dtype="bfloat16")
    in_double(monkeypatch)
    prompts, probe = prompts_of(decoder), Probe(decoder, share=False)
    for prompt, together in zip(prompts, probe.read(prompts, masked=True), strict=True):
        [alone] = probe.read([prompt], masked=True)
        np.testing.assert_array_equal(together.signal, alone.signal)
        np.testing.assert_array_equal(together.masked, alone.masked)
        for name in SUMS:
            np.testing.assert_array_equal(together.sums[name], alone.sums[name], err_msg=name)


def test_without_sharing_every_prompt_is_computed_in_full(folders):
    decoder = load_decoder(folders("llama"))
    trees = family()
    seen, probe = Embedded(decoder), Probe(decoder, share=False)
    seen.tokens = 0
    alone = probe.hidden(trees)
    assert seen.tokens == sum(tree.tokens for tree in trees) == sum(probe.computed(trees))
    assert probe.computed(trees) == [tree.tokens for tree in trees]
    for one, other in zip(alone, Probe(decoder).hidden(trees), strict=True):
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=FLOAT32)


def test_frequencies_that_depend_on_length_are_never_shared(folders):
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    probe = Probe(load_decoder(folders("llama", max_position_embeddings=64, rope_parameters=rope)))
    assert probe.one_by_one and not probe.shares
    assert probe.computed(family()) == [tree.tokens for tree in family()]


@pytest.mark.parametrize("window", [None, 300])
@pytest.mark.parametrize(("before", "own"), [(10, 5), (5, kernels.STEP + 44), (700, 2 * kernels.STEP), (1100, 1)])
def test_the_last_rows_of_a_prefix(before, own, window):
    """Against all rows by definition, over steps of the fused kernel and beyond one block of the explicit one."""
    generator = torch.Generator().manual_seed(3)
    query, key, value = (
        torch.randn(2, heads, before + own, 16, generator=generator, dtype=torch.float32) for heads in (6, 2, 2)
    )
    kernel = kernels.Kernel(0.25, window, None, None)
    logits = (query * 0.25) @ key.repeat_interleave(3, dim=1).transpose(2, 3)
    back = torch.arange(before + own)[:, None] - torch.arange(before + own)
    logits = logits.masked_fill((back < 0) | (back >= (window or before + own)), float("-inf"))
    expected = (logits.softmax(dim=-1) @ value.repeat_interleave(3, dim=1))[:, :, before:]
    torch.testing.assert_close(kernel.causal(query[:, :, before:], key, value), expected, rtol=0, atol=2e-6)
    half = kernel.causal(*(part.bfloat16() for part in (query[:, :, before:], key, value)))
    torch.testing.assert_close(half.float(), expected, rtol=0, atol=0.03)


SEQUENCES = st.lists(
    st.tuples(st.lists(st.integers(0, 2), max_size=4), st.lists(st.integers(1, 3), max_size=3)), min_size=1, max_size=12
)


def drawn_trees(drawn):
    """Prefixes end to end of pieces of several lengths, so that beginnings agree at many depths."""
    pieces = [tokens(length, 50 + number) for number, length in enumerate((3, 17, 40))]
    return [
        Tree([7, *itertools.chain.from_iterable(pieces[piece] for piece in chosen)], tuple([5] * n for n in branches))
        for chosen, branches in drawn
    ]


@given(SEQUENCES)
def test_a_pack_holds_each_prompt_and_nothing_twice(drawn):
    trees = drawn_trees(drawn)
    packed = pack(trees)
    for tree, place in zip(trees, packed.places, strict=True):
        assert packed.ids[place.offsets].tolist() == list(tree.prefix)
        assert packed.positions[place.offsets].tolist() == list(range(len(tree.prefix)))
        rows = slice(place.first_row, place.end)
        assert packed.ids[rows].tolist() == [token for branch in tree.branches for token in branch]
        assert packed.positions[rows].tolist() == place.row_position.tolist()
    rows = sum(len(branch) for tree in trees for branch in tree.branches)
    allowed = trie([tree.prefix for tree in trees]) + rows
    written = sum(tree.tokens for tree in trees)
    least = max(LEAST_SHARED, *(LEAST_SHARE * len(tree.prefix) for tree in trees))
    assert allowed <= len(packed.ids) <= allowed + (len(trees) - 1) * least
    assert sum(packed.computed) == len(packed.ids)
    assert all(0 < part <= tree.tokens for part, tree in zip(packed.computed, trees, strict=True))
    assert len(pack(trees, share=False).ids) == written


@given(SEQUENCES)
def test_equal_prompts_have_equal_parts(drawn):
    trees = drawn_trees(drawn)
    parts = pack([*trees, *trees, *trees]).computed
    for index in range(len(trees)):
        own = parts[index :: len(trees)]
        assert max(own) - min(own) <= 1


@settings(max_examples=15, deadline=None)
@given(SEQUENCES)
def test_any_set_of_prompts_is_read_as_without_sharing(folders, drawn):
    decoder = load_decoder(folders("gemma3"))
    trees = drawn_trees(drawn)
    shared, alone = Probe(decoder).hidden(trees), Probe(decoder, share=False).hidden(trees)
    for one, other in zip(shared, alone, strict=True):
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=2e-5)


def test_too_little_is_not_shared():
    few, more = tokens(LEAST_SHARED - 1, 1), tokens(LEAST_SHARED, 1)
    assert borrowed([*few, 1], [*few, 2]) == 0 and borrowed([*more, 1], [*more, 2]) == LEAST_SHARED
    long = tokens(round(2 * LEAST_SHARED / LEAST_SHARE), 2)
    assert borrowed([*long[:LEAST_SHARED], 1], long) == 0
    assert borrowed(long, long) == len(long) and borrowed([], long) == borrowed(long, []) == 0
