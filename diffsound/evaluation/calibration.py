"""What a score is worth: the same score of sounds of which it is known what they deserve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from diffsound.evaluation.clips import ClipSet
from diffsound.scenes import Structure, render
from diffsound.vqvae import VQVAE

NOISE_RMS = 0.1


def true_renderings(structures: Sequence[Structure], like: ClipSet, rooms: float, seed: int) -> ClipSet:
    """Other sounds that are true to `structures`, as long as those of `like`; what a perfect system might make.

    Raises:
        ValueError: if a clip is too short for what its text asks for, with its name.
    """
    waveforms = []
    for index, (structure, waveform) in enumerate(zip(structures, like.waveforms, strict=True)):
        rng = np.random.default_rng([seed, 1, index])
        in_room = bool(rng.random() < rooms)
        try:
            scene = render(structure, rng, len(waveform), like.sample_rate, like.texts[index], in_room)
        except ValueError as error:
            raise ValueError(f"{like.name}, clip {like.ids[index]}: nothing of {like.seconds[index]:.2f} s is true to "
                             f"{like.texts[index]!r} ({error})") from error
        waveforms.append(torch.from_numpy(scene.waveform))
    return ClipSet("ceiling", tuple(waveforms), like.sample_rate, like.texts, like.ids)


@torch.no_grad()
def rebuilt(clips: ClipSet, codec: VQVAE, vocoder: nn.Module, batch: int = 16) -> ClipSet:
    """`clips` through tokens and back: what no decoder can do better. They must be of one length."""
    waveforms: list[Tensor] = []
    for first in range(0, len(clips), batch):
        tokens = codec.encode(torch.stack(clips.waveforms[first:first + batch]).to(codec.device))
        waveforms += vocoder(codec.decode(tokens, tokens.shape[1] // codec.rows)).cpu().unbind()
    return ClipSet("rebuilt", tuple(waveforms), clips.sample_rate, clips.texts, clips.ids)


def silence(like: ClipSet) -> ClipSet:
    waveforms = tuple(torch.zeros_like(waveform) for waveform in like.waveforms)
    return ClipSet("silence", waveforms, like.sample_rate, like.texts, like.ids)


def noise(like: ClipSet, seed: int) -> ClipSet:
    """Another white noise for every clip."""
    waveforms = [NOISE_RMS * torch.randn(len(waveform), generator=torch.Generator().manual_seed(seed + index))
                 for index, waveform in enumerate(like.waveforms)]
    return ClipSet("noise", tuple(waveforms), like.sample_rate, like.texts, like.ids)


def shuffled(number: int, seed: int) -> list[int]:
    """A random order of 0..number-1 in which nothing keeps its place (where there are two at least)."""
    order = np.random.default_rng(seed).permutation(number)
    result = np.empty(number, int)
    result[order] = np.roll(order, 1)  # one long cycle
    return result.tolist()
