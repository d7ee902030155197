"""Drawing tokens: truncation, and noise that belongs to one clip alone."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel_noise(shape: tuple[int, ...], generators: list[torch.Generator], device: torch.device) -> Tensor:
    """(B, *shape) Gumbel noise; each clip's from its own CPU generator, so that no clip depends on its neighbours."""
    u = torch.stack([torch.rand(shape, generator=generator) for generator in generators])
    return -(-u.clamp(min=1e-30).log()).clamp(min=1e-30).log().to(device)


def truncate(p: Tensor, top_r: float | None = None, top_k: int | None = None) -> Tensor:
    """`p` (..., K) without its unlikely entries, renormalised.

    Args:
        top_r: keep the likeliest entries until their sum reaches top_r; the one that crosses it is kept, so at least
            one always is.
        top_k: keep the top_k likeliest entries.
    """
    if top_k is not None and top_k < p.shape[-1]:
        p = torch.where(p >= p.topk(top_k, -1).values[..., -1:], p, 0.0)
    if top_r is not None and top_r < 1:
        ordered, index = p.sort(dim=-1, descending=True, stable=True)
        drop = (ordered.cumsum(-1) - ordered) >= top_r
        drop[..., 0] = False
        p = torch.zeros_like(p).scatter(-1, index, ordered.masked_fill(drop, 0.0))
    return p / p.sum(-1, keepdim=True)
