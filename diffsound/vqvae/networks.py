"""The convolutional encoder and decoder: log-mel picture -> grid of latent vectors -> log-mel picture.

Architecture of SpecVQGAN (arXiv:2110.08791), the codec of Diffsound, with the same names of weights. One grid cell
covers 16 mel bins by 16 frames.
"""

from __future__ import annotations

import math
from itertools import chain, pairwise, repeat
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.checkpoint import Rebuildable

CELL = 16  # mel bins and frames that one token stands for, along each axis

NormName = Literal["group", "position"]
Kernels = tuple[int, int]  # sizes of the two convolutions of a residual block


class PositionNorm(nn.LayerNorm):
    """Normalises over the channels of each position alone, so that a loud sound elsewhere does not change this one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def make_norm(name: NormName, channels: int) -> nn.Module:
    if name == "position":
        return PositionNorm(channels, eps=1e-6)
    if name == "group":
        return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)  # 32 groups where they divide the channels
    raise ValueError(f"norm '{name}' is unknown: set the encoder's and the decoder's norm to group or position")


class ResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, norm: NormName, kernels: Kernels) -> None:
        super().__init__()
        self.norm1 = make_norm(norm, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernels[0], padding="same")
        self.norm2 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernels[1], padding="same")
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """One head of self-attention over all positions of the picture."""

    def __init__(self, channels: int, norm: NormName) -> None:
        super().__init__()
        self.norm = make_norm(norm, channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (project(h).flatten(2).transpose(1, 2) for project in (self.q, self.k, self.v))  # (B, H * W, C)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(h)


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # right and bottom only, as published


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention where it is on."""

    def __init__(self, in_channels: int, out_channels: int, res_blocks: int, attention: bool, norm: NormName,
                 kernels: Kernels) -> None:
        super().__init__()
        widths = pairwise(chain([in_channels], repeat(out_channels, res_blocks)))
        self.block = nn.ModuleList(ResBlock(a, b, norm, kernels) for a, b in widths)
        self.attn = nn.ModuleList(Attention(out_channels, norm) for _ in range(res_blocks if attention else 0))

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x)
        return x


class Middle(nn.Module):
    def __init__(self, channels: int, attention: bool, norm: NormName, kernels: Kernels) -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels, norm, kernels)
        self.attn_1 = Attention(channels, norm) if attention else nn.Identity()
        self.block_2 = ResBlock(channels, channels, norm, kernels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


def level_widths(channels: int, channel_multipliers: list[int], patch_size: int) -> list[int]:
    """Channels of each level, the finest first.

    Raises:
        ValueError: if patches and levels together do not shrink the picture by 16.
    """
    shrink = patch_size * 2 ** (len(channel_multipliers) - 1)
    if shrink != CELL:
        raise ValueError(f"patch_size {patch_size} and {len(channel_multipliers)} channel_multipliers shrink the "
                         f"picture by {shrink}, expected patch_size * 2 ** (levels - 1) = {CELL}: change "
                         "channel_multipliers or patch_size of the encoder and the decoder")
    return [channels * multiplier for multiplier in channel_multipliers]


def picture_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Between picture and first or last level: 3 x 3 on the cells of the mel, 1 x 1 on patches of it."""
    on_cells = 1 in (in_channels, out_channels)
    return nn.Conv2d(in_channels, out_channels, 3 if on_cells else 1, padding="same")


class Encoder(Rebuildable, nn.Module):
    """Picture (B, 1, H, W) to latent vectors (B, z_channels, H / 16, W / 16).

    Args:
        channels: width of the first level; level i has `channels * channel_multipliers[i]`.
        channel_multipliers: one per level; the picture is halved between levels.
        res_blocks: residual blocks per level.
        z_channels: length of a latent vector.
        attention: self-attention at the coarsest level and in the middle, as published. Every token then sees the
            whole clip.
        norm: "group", as published, takes its statistics over the whole clip; "position" over the channels of one
            position. With "position" and no attention a token depends on its neighbourhood only.
        patch_size: folds squares of this size into channels first (1 as published). 4 saves the two finest levels,
            which take most of the time; 16 leaves one level, the tokens' own.
        block_kernels: sizes of the two convolutions of each residual block, (3, 3) as published. (3, 1) takes half the
            work.
    """

    def __init__(self, channels: int, channel_multipliers: list[int], res_blocks: int, z_channels: int,
                 attention: bool = True, norm: NormName = "group", patch_size: int = 1,
                 block_kernels: Kernels = (3, 3)) -> None:
        super().__init__()
        self.z_channels, self.patch_size = z_channels, patch_size
        widths = level_widths(channels, channel_multipliers, patch_size)
        last = len(widths) - 1
        self.conv_in = picture_conv(patch_size**2, channels)
        self.down = nn.ModuleList(
            Level(before, width, res_blocks, attention and i == last, norm, block_kernels)
            for i, (before, width) in enumerate(zip([channels, *widths], widths, strict=False)))
        for level, width in zip(self.down[:-1], widths, strict=False):
            level.downsample = Downsample(width)
        self.mid = Middle(widths[-1], attention, norm, block_kernels)
        self.norm_out = make_norm(norm, widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(F.pixel_unshuffle(x, self.patch_size))
        for level in self.down[:-1]:
            h = level.downsample(level(h))
        h = self.mid(self.down[-1](h))
        return self.conv_out(F.silu(self.norm_out(h)))


class Decoder(Rebuildable, nn.Module):
    """Latent vectors (B, z_channels, rows, columns) to a picture (B, 1, 16 * rows, 16 * columns), not bounded.

    Each level has one residual block more than the encoder's. `up[i]` is the level of the same resolution as the
    encoder's `down[i]`, so it runs from the last to the first.

    Args:
        channels, channel_multipliers, res_blocks, z_channels, attention, norm, patch_size, block_kernels: as `Encoder`.
    """

    def __init__(self, channels: int, channel_multipliers: list[int], res_blocks: int, z_channels: int,
                 attention: bool = True, norm: NormName = "group", patch_size: int = 1,
                 block_kernels: Kernels = (3, 3)) -> None:
        super().__init__()
        self.z_channels, self.patch_size = z_channels, patch_size
        widths = level_widths(channels, channel_multipliers, patch_size)
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], attention, norm, block_kernels)
        self.up = nn.ModuleList(
            Level(before, width, res_blocks + 1, attention and i == last, norm, block_kernels)
            for i, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)))
        for level, width in zip(self.up[1:], widths[1:], strict=True):
            level.upsample = Upsample(width)
        self.norm_out = make_norm(norm, widths[0])
        self.conv_out = picture_conv(widths[0], patch_size**2)

    def forward(self, z: Tensor) -> Tensor:
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up[1:]):
            h = level.upsample(level(h))
        h = self.conv_out(F.silu(self.norm_out(self.up[0](h))))
        return F.pixel_shuffle(h, self.patch_size)
