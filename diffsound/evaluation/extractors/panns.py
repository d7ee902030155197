"""Cnn14 of PANNs (arXiv:1912.10211), trained on AudioSet, for its published checkpoints."""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.checkpoint import fingerprint
from diffsound.evaluation.extractors.base import Heard, NetworkExtractor
from diffsound.evaluation.extractors.state import fill, read_state, sizes_of

SAMPLE_RATES = {1024: 32000, 512: 16000, 256: 8000}  # by the window of the three published ones; a hop is 5/16 of it
POOLINGS = 5  # halvings of time before the last block


class Kernel(nn.Module):
    """One weight under the name that the checkpoint gives it."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))


class STFT(nn.Module):
    """A Fourier transform written as two convolutions: the checkpoint holds cosines and sines times the window."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window, self.hop = window, window * 5 // 16
        self.conv_real = Kernel(window // 2 + 1, 1, window)
        self.conv_imag = Kernel(window // 2 + 1, 1, window)

    def power(self, waveform: Tensor) -> Tensor:
        """(B, N) to (B, frames, window / 2 + 1)."""
        x = F.pad(waveform[:, None], (self.window // 2, self.window // 2), mode="reflect")
        real, imaginary = (F.conv1d(x, part.weight, stride=self.hop) for part in (self.conv_real, self.conv_imag))
        return (real.square() + imaginary.square()).transpose(1, 2)


class Spectrogram(nn.Module):
    def __init__(self, window: int) -> None:
        super().__init__()
        self.stft = STFT(window)


class LogMelFilters(nn.Module):
    """Mel power in dB."""

    def __init__(self, bins: int, bands: int) -> None:
        super().__init__()
        self.melW = nn.Parameter(torch.zeros(bins, bands))

    def forward(self, power: Tensor) -> Tensor:
        return 10 * (power @ self.melW).clamp(min=1e-10).log10()


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions, then the mean of squares of `pool`."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, pool: int) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return F.avg_pool2d(x, pool) if pool > 1 else x


class Cnn14(nn.Module):
    """(B, N) samples to an embedding and class logits. Published: channels 64, 128, ... 2048, 64 bands, 527 classes."""

    def __init__(self, window: int = 1024, bands: int = 64, channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
                 width: int = 2048, classes: int = 527) -> None:
        super().__init__()
        self.spectrogram_extractor = Spectrogram(window)
        self.logmel_extractor = LogMelFilters(window // 2 + 1, bands)
        self.bn0 = nn.BatchNorm2d(bands)
        for number, (inputs, outputs) in enumerate(zip((1, *channels), channels, strict=False), 1):
            setattr(self, f"conv_block{number}", ConvBlock(inputs, outputs))
        self.fc1 = nn.Linear(channels[-1], width)
        self.fc_audioset = nn.Linear(width, classes)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        mel = self.logmel_extractor(self.spectrogram_extractor.stft.power(waveform))[:, None]  # (B, 1, frames, bands)
        x = self.bn0(mel.transpose(1, 3)).transpose(1, 3)
        for number in range(1, POOLINGS + 2):
            x = getattr(self, f"conv_block{number}")(x, pool=2 if number <= POOLINGS else 1)
        x = x.mean(3)  # over frequency
        x = self.fc1(x.amax(2) + x.mean(2)).relu()
        return x, self.fc_audioset(x)


class PANNsExtractor(NetworkExtractor):
    """Features: the embedding before the classes (2048). Logits: of 527 AudioSet classes.

    Sizes and sample rate (32 kHz; 16 and 8 kHz are published too) are read off the weights.

    Args:
        checkpoint: such as Cnn14_mAP=0.431.pth; read with weights_only=True.
    Raises:
        MissingWeights: if there is no such file.
        ValueError: if it does not hold a Cnn14.
    """

    def __init__(self, checkpoint: str | os.PathLike, batch_size: int = 8, device: str | torch.device = "cpu") -> None:
        state = read_state(checkpoint, "PANNs Cnn14", "--panns")
        sizes = _sizes(state, checkpoint)
        with sizes_of(state, "PANNs Cnn14", "--panns"):
            network = Cnn14(**sizes)
        fill(network, state, "PANNs Cnn14", "--panns")
        stft = network.spectrogram_extractor.stft
        shortest = stft.hop * 2**POOLINGS
        super().__init__("panns", network, SAMPLE_RATES[stft.window], fingerprint(network, {"network": "Cnn14"}),
                         shortest, batch_size, device)

    def hear(self, waveform: Tensor) -> Heard:
        return Heard(*self.network(waveform))


def _sizes(state: dict[str, Tensor], checkpoint: str | os.PathLike) -> dict:
    try:
        sizes = {"window": state["spectrogram_extractor.stft.conv_real.weight"].shape[-1],
                 "bands": state["logmel_extractor.melW"].shape[1],
                 "channels": tuple(len(state[f"conv_block{number}.conv1.weight"]) for number in range(1, POOLINGS + 2)),
                 "width": len(state["fc1.weight"]), "classes": len(state["fc_audioset.weight"])}
    except (KeyError, IndexError) as error:
        raise ValueError(f"{checkpoint}, given by --panns, is not a Cnn14: expected the weight {error}") from error
    if sizes["window"] not in SAMPLE_RATES:
        raise ValueError(f"{checkpoint}, given by --panns, has windows of {sizes['window']} samples: expected one of "
                         f"{', '.join(map(str, SAMPLE_RATES))}")
    return sizes
