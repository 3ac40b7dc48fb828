"""Attention over prefixes, fused and in products, against the formula in float64."""

import pytest
import torch

from layerrank.attention import kernels
from layerrank.attention.kernels import Kernel, products_are_faster

BOUND = {torch.float32: 1e-6, torch.bfloat16: 0.01, torch.float16: 0.002}
"""Relative distance of outputs: roundings of the dtype."""


def explicit(query, key, value, scale, window):
    """Causal attention [B, H, n, d] of the last n of P tokens, row by row of the mask."""
    heads = query.shape[1] // key.shape[1]
    query, key, value = (states.double() for states in (query, key, value))
    key, value = (states.repeat_interleave(heads, dim=1) for states in (key, value))
    back = torch.arange(key.shape[2] - query.shape[2], key.shape[2])[:, None] - torch.arange(key.shape[2])
    closed = (back < 0) | (back >= (window or key.shape[2]))
    logits = (query @ key.transpose(2, 3) * scale).masked_fill(closed, float("-inf"))
    return torch.softmax(logits, dim=-1) @ value


@pytest.mark.parametrize("by_products", [True, False], ids=["products", "fused"])
@pytest.mark.parametrize("dtype", list(BOUND), ids=str)
@pytest.mark.parametrize("own", [1, 7, 300, 700], ids=lambda own: f"{own}-of-700")
@pytest.mark.parametrize("window", [None, 64, kernels.STEP, 650])
def test_prefixes_and_their_last_rows(dtype, own, window, by_products, monkeypatch):
    monkeypatch.setattr(kernels, "products_are_faster", lambda dtype, device: by_products and dtype != torch.float32)
    generator = torch.Generator().manual_seed(own)
    query, key, value = (torch.randn(2, heads, 700, 16, generator=generator).to(dtype) for heads in (6, 2, 2))
    query = query[:, :, 700 - own :]
    found = Kernel(0.25, window, None, None).causal(query, key, value).double()
    expected = explicit(query, key, value, 0.25, window)
    assert found.shape == expected.shape
    assert float((found - expected).norm() / expected.norm()) < BOUND[dtype]


@pytest.mark.parametrize("by_products", [True, False], ids=["products", "fused"])
@pytest.mark.parametrize("own", [10, 333, 601])
@pytest.mark.parametrize("window", [None, 64, 300])
def test_a_row_is_the_same_whether_those_before_it_are_computed_or_borrowed(window, own, by_products, monkeypatch):
    """To the last bit but for a few: torch's kernel takes rows in blocks of a size that depends on their number."""
    monkeypatch.setattr(kernels, "products_are_faster", lambda dtype, device: by_products)
    generator = torch.Generator().manual_seed(own)
    query, key, value = (torch.randn(1, heads, 900, 16, generator=generator).bfloat16() for heads in (6, 2, 2))
    kernel = Kernel(0.25, window, None, None)
    computed, borrowed = kernel.causal(query, key, value)[:, :, -own:], kernel.causal(query[:, :, -own:], key, value)
    assert float((computed != borrowed).float().mean()) < 5e-3


@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("own", [300, 700])
def test_plain_layers_take_the_fused_kernel_under_no_mask_of_all_tokens(window, own, monkeypatch):
    monkeypatch.setattr(kernels, "products_are_faster", lambda dtype, device: False)
    monkeypatch.setattr(Kernel, "_blocked", lambda *_: pytest.fail("products where the fused kernel is faster"))
    masks, fused = [], torch.nn.functional.scaled_dot_product_attention

    def watched(*states, **options):
        masks.append(options["attn_mask"])
        return fused(*states, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    query, key, value = (torch.randn(1, heads, 700, 16, dtype=torch.bfloat16) for heads in (6, 2, 2))
    Kernel(0.25, window, None, None).causal(query[:, :, 700 - own :], key, value)
    reach = 700 if window is None else window
    assert masks and all(mask is None or mask.shape[1] < reach + kernels.STEP for mask in masks)


def test_float32_and_devices_are_left_to_the_fused_kernel():
    assert not products_are_faster(torch.float32, "cpu")
    assert not products_are_faster(torch.bfloat16, "cuda")


@pytest.mark.parametrize("units", [True, False])
def test_products_are_taken_where_the_processor_has_no_units_for_them(units, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    assert products_are_faster.__wrapped__(torch.bfloat16, "cpu") is not units


def test_a_torch_that_does_not_tell_of_units_is_taken_to_have_none(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert products_are_faster.__wrapped__(torch.bfloat16, "cpu")
