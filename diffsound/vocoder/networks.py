"""The two networks of MelGAN (arXiv:1910.06711). Checkpoint keys are those of the published vocoders."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.checkpoint import Rebuildable

MIN_FRAMES = 4  # reflect padding by 3 needs one more


class WeightNorm(nn.Module):
    """Mix-in of the convolutions below: weight = g v / |v| with one norm per slice of dim 0 (arXiv:1602.07868).

    torch's own parametrization computes the same under other keys; these are `weight_g` and `weight_v`. The weights
    start at torch's default: the N(0, 0.02) of the published code was overwritten by its first forward pass.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        v = self._parameters.pop("weight")
        self.weight_g = nn.Parameter(_norm(v.detach()))
        self.weight_v = v

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        if name == "weight" and "weight_g" in self._parameters:
            return self.weight_g * self.weight_v / _norm(self.weight_v)
        return super().__getattr__(name)

    def fold(self) -> None:
        """Replace g and v by the weight that they stand for."""
        weight = self.weight.detach()
        del self.weight_g, self.weight_v
        self.weight = nn.Parameter(weight, requires_grad=False)


def _norm(weight: Tensor) -> Tensor:
    return weight.norm(dim=(1, 2), keepdim=True)


class Conv1d(WeightNorm, nn.Conv1d):
    pass


class ConvTranspose1d(WeightNorm, nn.ConvTranspose1d):
    pass


class ReflectionPad1d(nn.ReflectionPad1d):
    """As torch's, whose kernel for CPUs takes a seventh of the whole vocoder's time."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward(x)
        n = self.padding[0]
        return torch.cat([x[..., 1:n + 1].flip(-1), x, x[..., -n - 1:-1].flip(-1)], -1)


class LeakyReLU(nn.LeakyReLU):
    """Slope 0.2; in place where no gradient asks for what it overwrites."""

    def __init__(self) -> None:
        super().__init__(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope, inplace=not torch.is_grad_enabled())


class ResidualUnit(nn.Module):
    """Dilated convolution between two activations, beside a 1x1 shortcut."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            LeakyReLU(), ReflectionPad1d(dilation), Conv1d(channels, channels, 3, dilation=dilation),
            LeakyReLU(), Conv1d(channels, channels, 1))
        self.shortcut = Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.shortcut(x)  # first: without gradients the block overwrites x
        return y + self.block(x) if torch.is_grad_enabled() else y.add_(self.block(x))


class Generator(Rebuildable, nn.Module):
    """Log-mel to waveform: transposed convolutions, each followed by residual units of dilation 1, 3, 9, ...

    Args:
        n_mels: mel bands.
        channels: width at the waveform's end; doubled once per upsampling towards the mel's end.
        residual_layers: residual units after each upsampling.
        ratios: upsampling factors; their product is the hop length.
    """

    def __init__(self, n_mels: int = 80, channels: int = 32, residual_layers: int = 3,
                 ratios: tuple[int, ...] = (8, 8, 2, 2)) -> None:
        super().__init__()
        self.n_mels, self.hop_length = n_mels, math.prod(ratios)
        width = channels * 2 ** len(ratios)
        layers = [ReflectionPad1d(3), Conv1d(n_mels, width, 7)]
        for ratio in ratios:
            layers += [LeakyReLU(),
                       ConvTranspose1d(width, width // 2, 2 * ratio, stride=ratio, padding=ratio // 2 + ratio % 2,
                                       output_padding=ratio % 2)]
            width //= 2
            layers += [ResidualUnit(width, 3 ** i) for i in range(residual_layers)]
        layers += [LeakyReLU(), ReflectionPad1d(3), Conv1d(width, 1, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, mel: Tensor) -> Tensor:
        """Waveform (B, frames * hop_length) in [-1, 1] of a log-mel (B, n_mels, frames) in [0, 1].

        Raises:
            ValueError: if there are fewer than 4 frames.
        """
        if mel.shape[-1] < MIN_FRAMES:
            raise ValueError(f"a mel of {mel.shape[-1]} frames is too short for MelGAN: give it at least {MIN_FRAMES}")
        if torch.is_grad_enabled() or mel.device.type != "cpu":
            return self.model(mel).squeeze(1)
        # Clip by clip: the activations of several leave the cache before they are read again.
        return torch.cat([self.model(clip[None]) for clip in mel]).squeeze(1)

    def fold_weight_norm(self) -> Generator:
        """Fold the weight normalisation into plain weights: same output, no more training or loading."""
        for module in self.modules():
            if isinstance(module, WeightNorm):
                module.fold()
        return self


class ScaleDiscriminator(nn.Module):
    """Grouped, strided convolutions over the waveform at one sample rate; every layer's output is a feature map."""

    def __init__(self, channels: int, max_channels: int, layers: int, stride: int) -> None:
        super().__init__()
        first = nn.Sequential(ReflectionPad1d(7), Conv1d(1, channels, 15), LeakyReLU())
        blocks, width = [first], channels
        for _ in range(layers):
            wider = min(width * stride, max_channels)
            blocks.append(nn.Sequential(
                Conv1d(width, wider, 10 * stride + 1, stride, padding=5 * stride,
                       groups=math.gcd(max(1, width // 4), wider)), LeakyReLU()))
            width = wider
        wider = min(width * 2, max_channels)
        blocks.append(nn.Sequential(Conv1d(width, wider, 5, padding=2), LeakyReLU()))
        blocks.append(Conv1d(wider, 1, 3, padding=1))
        self.model = nn.ModuleDict({f"layer_{i}": block for i, block in enumerate(blocks)})

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for block in self.model.values():
            x = block(x)
            maps.append(x)
        return maps


class Discriminator(Rebuildable, nn.Module):
    """The same discriminator, with weights of its own, at the sample rate, half of it, a quarter, ...

    Args:
        scales: how many.
        channels, max_channels: width of the first layer, and the most that it grows to.
        layers, stride: convolutions that shorten the waveform, and by how much each does.
    """

    def __init__(self, scales: int = 3, channels: int = 16, max_channels: int = 1024, layers: int = 4,
                 stride: int = 4) -> None:
        super().__init__()
        if channels % 4 or max_channels % 4:
            raise ValueError(f"discriminator.channels {channels} and max_channels {max_channels} must be multiples "
                             "of 4, the width of a convolution group")
        self.model = nn.ModuleDict(
            {f"disc_{i}": ScaleDiscriminator(channels, max_channels, layers, stride) for i in range(scales)})

    def forward(self, waveform: Tensor) -> list[list[Tensor]]:
        """Feature maps of every scale of a waveform (B, N): `layers + 2` hidden ones, then the scores (B, 1, n)."""
        x = waveform.unsqueeze(1)
        maps = []
        for i, discriminator in enumerate(self.model.values()):
            x = F.avg_pool1d(x, 4, stride=2, padding=1, count_include_pad=False) if i else x
            maps.append(discriminator(x))
        return maps
