"""Sound made worse, so that what listens to it in training hears through what a codec and a vocoder leave."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

HISS_DB = (-90.0, -50.0)  # RMS of hiss that must be heard as nothing
NOISE = 0.03  # standard deviation in a mel of 0..1


def rough_mel(waveform: Tensor, log_mel: Callable[[Tensor], Tensor], share: float) -> Tensor:
    """Log-mel of `waveform` (B, N). Each of three faults, hiss, blur and noise, meets a `share` of the clips."""
    hissing, blurred, noisy = (torch.rand(3, len(waveform)) < share).to(waveform.device)
    hiss = hissing * 10 ** (torch.empty(len(waveform)).uniform_(*HISS_DB).to(waveform) / 20)
    mel = log_mel(waveform + hiss[:, None] * torch.randn_like(waveform))
    mel = torch.where(blurred[:, None, None], F.avg_pool2d(mel, 3, stride=1, padding=1), mel)
    return mel + NOISE * noisy[:, None, None] * torch.randn_like(mel)
