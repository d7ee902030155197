"""Where things are, as vectors: the start that learned positions are given where words and columns must keep order."""

from __future__ import annotations

import torch
from torch import Tensor

SLOWEST = 30  # the lowest frequency turns once in 2 pi * 30 positions, more than a sentence or a clip has


def sinusoids(length: int, width: int, std: float) -> Tensor:
    """(length, width) waves over the position, half sines, half cosines, of standard deviation `std`.

    Neighbours are alike and "earlier" is one direction, so that attention need not learn it for every pair of places
    (arXiv:1706.03762, section 3.5, with fewer octaves).
    """
    frequency = SLOWEST ** -(torch.arange(width // 2) / (width // 2))
    angle = torch.arange(length)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos()], 1) * 2**0.5 * std
    return torch.nn.functional.pad(waves, (0, width % 2))
