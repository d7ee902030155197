"""Multi-head attention, as both decoders use it."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# checkpointed(block, ...): block(...), computed again, with the same dropout, when its gradient is asked for.
checkpointed = partial(checkpoint, use_reentrant=False)


def initial_std(width: int) -> float:
    """Standard deviation of a transformer's linear maps at the start: 0.02 at the published width 1024, more where
    narrower. With 0.02 a narrow network spends its first hundreds of steps on growing."""
    return 0.02 * (1024 / width) ** 0.5


class KeyValueCache:
    """Keys and values of the positions seen so far, for one attention layer of a causal model."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is not None:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        self.keys, self.values = keys, values
        return keys, values


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """(B, heads, N, head width) each -> the same: softmax of q k^T, masked, times v."""
    if q.device.type == "cpu" and q.dtype != torch.float32:  # the backward of half precision is ten times slower there
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), mask, dropout).to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, mask, dropout)


class Attention(nn.Module):
    """Attention from `x` to itself or to a context; separate query, key, value and output projections with bias."""

    def __init__(self, width: int, heads: int, context_width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}: change one of them in the recipe")
        self.heads, self.dropout = heads, dropout
        context_width = context_width or width
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(context_width, width)
        self.value = nn.Linear(context_width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None,
                cache: KeyValueCache | None = None) -> Tensor:
        """Attend.

        Args:
            x: (B, N, width).
            context: (B, S, context_width); None attends to `x` itself.
            mask: bool, broadcastable to (B, heads, N, S), True where attention is allowed.
            cache: keys and values of earlier positions, extended in place.
        Returns:
            (B, N, width).
        """
        context = x if context is None else context
        q, k, v = self._heads(self.query, x), self._heads(self.key, context), self._heads(self.value, context)
        if cache is not None:
            k, v = cache.append(k, v)
        y = attend(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.out(y.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """What `forward` multiplies the values by: (B, heads, N, S), each row a distribution over the S positions.

        The fused kernel of `forward` never holds them; this is for looking at them. Arguments as `forward`.
        """
        q, k = self._heads(self.query, x), self._heads(self.key, x if context is None else context)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)

    def _heads(self, layer: nn.Linear, x: Tensor) -> Tensor:
        """(B, N, in) -> (B, heads, N, width / heads)."""
        return layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """width -> ratio * width -> width."""

    def __init__(self, width: int, ratio: int, activation: nn.Module, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(width, ratio * width), activation, nn.Linear(ratio * width, width),
                         nn.Dropout(dropout))
