"""What a text encoder hands to a decoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Condition(NamedTuple):
    """Token-level embeddings of B texts, padded to the longest."""

    embeddings: Tensor  # (B, S, D) float32
    mask: Tensor  # (B, S) bool, True = a real token

    def to(self, device: torch.device | str) -> Condition:
        return Condition(self.embeddings.to(device), self.mask.to(device))

    def stack(self, other: Condition) -> Condition:
        """One batch of both, padded to the longer."""
        length = max(self.mask.shape[1], other.mask.shape[1])
        padded = [(F.pad(each.embeddings, (0, 0, 0, length - each.mask.shape[1])),
                   F.pad(each.mask, (0, length - each.mask.shape[1]))) for each in (self, other)]
        return Condition(*(torch.cat(pair) for pair in zip(*padded, strict=True)))


class NullCondition(nn.Module):
    """The learned condition that stands for 'no text' in classifier-free guidance: one token, owned by the decoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(width) * 0.02)

    def like(self, condition: Condition) -> Condition:
        """The null condition, in the shape of `condition`."""
        return self.replace(condition, torch.ones_like(condition.mask[:, 0]))

    def replace(self, condition: Condition, drop: Tensor) -> Condition:
        """`condition` with the rows where `drop` (B,) is true replaced by the null condition."""
        first = torch.zeros_like(condition.mask)
        first[:, 0] = True
        embeddings = torch.where((drop[:, None] & first)[..., None], self.embedding.to(condition.embeddings),
                                 condition.embeddings)
        return Condition(embeddings, torch.where(drop[:, None], first, condition.mask))
