"""Attention of both decoders."""

from __future__ import annotations

import pytest
import torch

from diffsound.attention import Attention


@pytest.mark.parametrize("masked", [False, True])
def test_in_half_precision_on_a_cpu_it_is_the_same_to_rounding(masked):
    attention, x = Attention(32, 4), torch.randn(3, 7, 32)
    mask = torch.rand(3, 1, 1, 7) < 0.6
    mask[..., 0] = True
    results = []
    for half in (False, True):
        attention.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = attention(x, mask=mask if masked else None)
        assert y.dtype == (torch.bfloat16 if half else torch.float32)
        y.float().square().sum().backward()
        results.append([y.detach().float(), *(p.grad for p in attention.parameters())])
    for whole, half in zip(*results, strict=True):
        assert (whole - half).abs().max() < 0.02 * max(1.0, float(whole.abs().max()))


def test_weights_in_half_precision_stay_so():
    attention, x = Attention(32, 4), torch.randn(3, 7, 32)
    whole = attention(x)
    half = attention.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (whole - half.float()).abs().max() < 0.02 * max(1.0, float(whole.abs().max()))
