"""Training terms of the vocoder. `fake` and `real` are feature maps as `Discriminator` returns them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

LONGEST_WINDOW = 2048  # of the multi-resolution STFT distance, in samples
Maps = list[list[Tensor]]  # [scale][layer], the last layer is the score


def discriminator_hinge(fake: Maps, real: Maps) -> Tensor:
    """Real samples should score above 1, generated ones below -1; summed over scales (arXiv:1910.06711, Eq. 1)."""
    return sum(F.relu(1 + f[-1]).mean() + F.relu(1 - r[-1]).mean() for f, r in zip(fake, real, strict=True))


def generator_hinge(fake: Maps) -> Tensor:
    """Generated samples should score high; summed over scales (Eq. 2)."""
    return -sum(maps[-1].mean() for maps in fake)


def feature_matching(fake: Maps, real: Maps) -> Tensor:
    """L1 distance of all hidden maps (Eq. 3), scaled as published: 1/3 for 3 scales, 4/5 for 4 + 1 layers."""
    scale = 1 / len(fake) * 4 / (len(fake[0]) - 2)
    return scale * sum(F.l1_loss(f, r.detach()) for maps in zip(fake, real, strict=True)
                       for f, r in zip(maps[0][:-1], maps[1][:-1], strict=True))


def multi_resolution_stft(fake: Tensor, real: Tensor) -> Tensor:
    """Distance of (B, N) waveforms in magnitude and log-magnitude at three window lengths (arXiv:1910.11480)."""
    with torch.autocast(fake.device.type, enabled=False):
        return _stft_loss()(fake.float().unsqueeze(1), real.float().unsqueeze(1))


@functools.cache
def _stft_loss() -> nn.Module:
    from auraloss.freq import MultiResolutionSTFTLoss

    return MultiResolutionSTFTLoss(fft_sizes=[1024, LONGEST_WINDOW, 512])
