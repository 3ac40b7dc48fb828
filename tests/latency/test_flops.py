"""Operations by formula against torch's own counter and against counting pair by pair."""

import pytest
import torch
from support.tiny import WINDOW, tiny_model
from torch.utils.flop_counter import FlopCounterMode

from layerrank.latency import flops
from layerrank.prompts.tree import Tree

IDS = list(range(1, 61))


def sizes(model, **changes):
    found = flops.sizes_of(model.base_model, model.config)
    return flops.Sizes(**{**vars(found), **changes})


def counted(model, ids):
    """(matrix products with weights, attention) of one eager pass, as torch counts them; attention over all pairs."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.tensor([ids]), use_cache=False)
    counts = counter.get_flop_counts()["Global"]
    attention = sum(number for name, number in counts.items() if name is torch.ops.aten.bmm)
    return sum(counts.values()) - attention, attention


def pairs(tree, window):
    """Pairs of a token and what it sees, one by one."""
    total = 0
    for branch in [[], *tree.branches] if tree.branches else [[]]:
        first = len(tree.prefix) if branch else 0
        for token in range(first, len(tree.prefix) + len(branch)):
            total += sum(1 for other in range(token + 1) if window is None or token - other < window)
    return total


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "phi3"])
def test_a_pass_needs_what_torch_counts(architecture):
    model = tiny_model(architecture)
    products, attention = counted(model, IDS)
    own = sizes(model)
    tree = Tree(IDS)
    n = len(IDS)
    assert flops.forward(own, tree, logits=n) == products + attention * (n + 1) // (2 * n)
    assert flops.products(own, tree) == products - 2 * own.hidden * own.vocabulary * n


def test_branches_see_the_prefix_and_themselves():
    own = sizes(tiny_model("llama"))
    tree = Tree(IDS[:20], (IDS[:5], IDS[:1], IDS[:9]))
    attention = flops.forward(own, tree) - flops.products(own, tree)
    assert attention == 4 * own.heads * own.head * own.layers * pairs(tree, None)
    assert flops.products(own, tree) == 2 * sum(own.weights) * 35


def test_sliding_windows_count_what_they_see():
    own = sizes(tiny_model("gemma3"))
    assert own.windows == (WINDOW, None, WINDOW, None)
    tree = Tree(IDS, (IDS[:5], IDS[:30]))
    attention = flops.forward(own, tree) - flops.products(own, tree)
    assert attention == 4 * own.heads * own.head * 2 * (pairs(tree, WINDOW) + pairs(tree, None))


def test_experts_count_as_many_as_a_token_is_sent_to():
    model = tiny_model("gpt_oss")
    layer = model.base_model.layers[0]
    stacked = sum(parameter.numel() for parameter in layer.parameters() if parameter.ndim == 3)
    single = sum(parameter.numel() for parameter in layer.parameters() if parameter.ndim == 2)
    biases = sum(
        parameter.numel() for name, parameter in layer.named_parameters() if "bias" in name and parameter.ndim == 2
    )
    assert stacked and sizes(model).weights[0] - (single + stacked * 2 // 4) == 0
    assert biases < 0.05 * stacked


def test_reading_needs_of_the_last_layer_its_keys_and_the_rows():
    own = sizes(tiny_model("llama", layers=4))
    tree = Tree(IDS, (IDS[:5], IDS[:3]))
    cut = sizes(tiny_model("llama", layers=4), weights=own.weights[:2], windows=own.windows[:2])
    rows = 8
    keys = 2 * own.hidden * own.kv_heads * own.head * tree.tokens
    queries = 2 * own.hidden * own.heads * own.head * rows
    logits = 2 * own.heads * own.head * (5 * 60 + 15 + 3 * 60 + 6)
    assert flops.reading(own, tree, last_layer=2) == flops.forward(cut, tree) + keys + queries + logits
    assert flops.reading(own, tree) == flops.reading(own, tree, last_layer=3)


def test_writing_is_a_growing_prompt():
    own = sizes(tiny_model("llama"))
    whole = flops.forward(own, Tree(IDS[:40]), logits=10) - flops.forward(own, Tree(IDS[:30]))
    assert flops.writing(own, 30, 10) == whole
    assert flops.writing(own, 30, 0) == 0
