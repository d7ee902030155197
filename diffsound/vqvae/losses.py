"""How far a rebuilt mel is from the true one, measured directly and by a patch discriminator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.checkpoint import Rebuildable
from diffsound.mel import from_unit

LOUDNESS_POWER = 0.6  # of the amplitude
SOUNDING = 0.05  # a mel cell above this (-75 dB) is not silent


class ReconstructionLoss(Rebuildable, nn.Module):
    """Weighted sum of the mean absolute error, the mean square error and the absolute error at coarser resolutions.

    Mels come in [0, 1]; errors are taken on [-1, 1], where the published weights are meant.

    Args:
        l1, mse: weights of the mean absolute and the mean square error.
        multi_resolution: weight of the absolute error after averaging the error over squares of 2, 4 and 8 cells: the
            exact texture of a noise cannot be predicted, its mean level can, and this term asks for the level.
        sounding: weighs cells that sound that much more than silent ones. Clips that are mostly silent spend a small
            codec on their silence otherwise.
        loud: adds to the weight that much of a cell's loudness (amplitude to the power of 0.6, Stevens' law) over the
            mean: that of the true or the rebuilt cell, whichever is louder, so that a line that is lost costs as much
            as one that is made up. In decibels a bark over rain is a small step, and a small codec spends its codes on
            the rain's texture instead.
    """

    def __init__(self, l1: float = 1.0, mse: float = 0.0, multi_resolution: float = 0.0, sounding: float = 0.0,
                 loud: float = 0.0) -> None:
        super().__init__()
        self.l1, self.mse, self.multi_resolution = l1, mse, multi_resolution
        self.sounding, self.loud = sounding, loud

    def forward(self, rebuilt: Tensor, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) twice, in [0, 1] -> ()."""
        weight = 1 + self.sounding * (mel > SOUNDING)
        if self.loud:
            loudness = from_unit(torch.maximum(mel, rebuilt.detach().float().clamp(max=1))) ** LOUDNESS_POWER
            weight = weight + self.loud * loudness / loudness.mean().clamp(min=1e-6)
        error = 2 * (rebuilt.float() - mel) * weight / weight.mean()
        loss = self.l1 * error.abs().mean()
        if self.mse:
            loss = loss + self.mse * error.square().mean()
        if self.multi_resolution:
            coarse = sum(F.avg_pool2d(error, size).abs().mean() for size in (2, 4, 8)) / 3
            loss = loss + self.multi_resolution * coarse
        return loss


class PatchDiscriminator(Rebuildable, nn.Module):
    """Tells true mels from rebuilt ones, one judgement per patch (PatchGAN, arXiv:1611.07004).

    Batch normalisation, as published: with several processes set `trainer.sync_batchnorm: true`.

    Args:
        channels: width of the first layer; it doubles from layer to layer, up to eight times this.
        layers: convolutions with stride 2.
    """

    def __init__(self, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [channels * min(2**i, 8) for i in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(1, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, (before, width) in enumerate(zip(widths, widths[1:], strict=False), 1):
            stride = 2 if i < layers else 1
            blocks += [nn.Conv2d(before, width, 4, stride, padding=1, bias=False), nn.BatchNorm2d(width),
                       nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, padding=1))
        for layer in self.main:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) in [-1, 1] -> (B, 1, H / 8 - 2, W / 8 - 2), high where it looks true."""
        return self.main(x)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the judgements on true and rebuilt mels, of any shape."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def generator_loss(fake: Tensor) -> Tensor:
    return -fake.mean()
