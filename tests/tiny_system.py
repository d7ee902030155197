"""A system of random weights, as small as it can be."""

from __future__ import annotations

from typing import Any

import torch

from diffsound.diffusion import (
    CrossEntropy,
    Denoiser,
    DiscreteDiffusion,
    LinearSchedule,
    Mask,
    StridedSampler,
    UniformTimesteps,
)
from diffsound.mel import MelSettings
from diffsound.text_encoder import SmallTextEncoder
from diffsound.text_to_sound import TextToSound
from diffsound.vocoder import GriffinLim
from diffsound.vqvae import VQVAE, Decoder, Encoder, FiniteScalar, ReconstructionLoss


def tiny_codec(mel: MelSettings) -> VQVAE:
    """16 codes."""
    torch.manual_seed(1)
    size = {"channels": 8, "channel_multipliers": [1], "res_blocks": 1, "z_channels": 8, "attention": False,
            "norm": "position", "patch_size": 16}
    return VQVAE(mel, Encoder(**size), Decoder(**size), FiniteScalar([4, 4]), 2, ReconstructionLoss()).eval()


def tiny_decoder(codec: VQVAE, encoder: torch.nn.Module | None = None, **options: Any) -> DiscreteDiffusion:
    """Of 6 steps and at most 4 columns; `options` of the denoiser."""
    torch.manual_seed(2)
    denoiser = Denoiser(16, 6, 5, 4, **{"layers": 1, "width": 32, "heads": 2, "condition_width": 16} | options)
    decoder = DiscreteDiffusion(encoder or SmallTextEncoder(width=16, layers=1), denoiser, Mask(16, LinearSchedule(6)),
                                CrossEntropy(), UniformTimesteps(6)).eval()
    decoder.facts = {"codec": codec.fingerprint}
    return decoder


def tiny_system(mel: MelSettings, encoder: torch.nn.Module | None = None, vocoder: torch.nn.Module | None = None
                ) -> TextToSound:
    codec = tiny_codec(mel)
    return TextToSound(tiny_decoder(codec, encoder), codec, vocoder or GriffinLim(mel, iterations=2),
                       StridedSampler(3, guidance_scale=1.5), columns=4)
