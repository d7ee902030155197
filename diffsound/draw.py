"""Drawing tokens: truncation, and noise that belongs to one clip alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def uniform_noise(shape: tuple[int, ...], generators: list[torch.Generator], device: torch.device) -> Tensor:
    """(B, *shape) in [0, 1), each clip's from its own CPU generator, so that no clip depends on its neighbours."""
    return torch.stack([torch.rand(shape, generator=generator) for generator in generators]).to(device)


def categorical(p: Tensor, u: Tensor) -> Tensor:
    """A class (...) from weights `p` (..., K), which need not sum to one, and `u` (...) in [0, 1).

    The class at which the cumulative sum passes u; one of weight 0 is never drawn.
    """
    cumulative = p.cumsum(-1)
    target = u.clamp(max=1 - 1e-6) * cumulative[..., -1]  # below the whole sum, also after rounding
    return (cumulative <= target[..., None]).sum(-1)


def truncate(p: Tensor, top_r: float | None = None, top_k: int | None = None) -> Tensor:
    """`p` (..., K) without its unlikely entries, renormalised.

    Args:
        top_r: keep the likeliest entries until their sum reaches top_r; the one that crosses it is kept, so at least
            one always is.
        top_k: keep the top_k likeliest entries. Entries as likely as the last one kept are kept too.
    """
    if top_k is not None and top_k < p.shape[-1]:
        p = torch.where(p >= _descending(p)[..., top_k - 1:top_k], p, 0.0)
    if top_r is not None and top_r < 1:
        ordered = _descending(p)
        kept = (ordered.cumsum(-1) - ordered < top_r).sum(-1, keepdim=True).clamp(min=1)
        p = torch.where(p >= ordered.gather(-1, kept - 1), p, 0.0)
    return p / p.sum(-1, keepdim=True)


def _descending(p: Tensor) -> Tensor:
    """The last dimension sorted. On a CPU numpy sorts without the places, many times quicker than torch with them."""
    if p.device.type == "cpu":
        return torch.from_numpy(np.sort(p.detach().numpy(), axis=-1)).flip(-1)
    return p.sort(dim=-1, descending=True).values
