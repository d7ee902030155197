"""What every extractor has in common: it turns clips of any sample rate and length into rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.data.audio import resample

WINDOW_SECONDS = 1.0  # of the Frechet audio distance; arXiv:1812.08466 takes 0.96


class MissingWeights(OSError):
    """There are no weights on this machine. The message says where they are expected and what to give."""


class Heard(NamedTuple):
    """Of B clips."""

    features: Tensor  # (B, D) float32, on the CPU
    logits: Tensor | None  # (B, C) float32, or None where the network has no classes
    unbiased: Tensor | None = None  # the logits without the last layer's bias, where a published score takes those


@runtime_checkable
class Extractor(Protocol):
    """A judge that standard scores can be computed with."""

    name: str  # short, as in "FD (tagger)"
    sample_rate: int  # Hz that it listens at
    fingerprint: str  # changes with weights and settings

    def __call__(self, waveforms: Sequence[Tensor], sample_rate: int) -> Heard:
        """Of clips (N,) at `sample_rate` Hz, whatever their lengths."""

    def windows(self, waveforms: Sequence[Tensor], sample_rate: int) -> tuple[Tensor, Tensor]:
        """Features (W, D) of the seconds of the clips, and the clip (W,) that each belongs to."""


class NetworkExtractor:
    """An `Extractor` around a network: a subclass says what it hears in a batch of clips of one length.

    Only clips of the same length share a batch, so nothing is padded and the batch around a clip changes nothing.

    Args:
        shortest: samples at `sample_rate`; a shorter clip is followed by silence.
    """

    def __init__(self, name: str, network: nn.Module, sample_rate: int, fingerprint: str, shortest: int,
                 batch_size: int = 16, device: str | torch.device = "cpu") -> None:
        self.name, self.sample_rate, self.fingerprint = name, sample_rate, fingerprint
        self.network = network.eval().requires_grad_(False).to(device)
        self.shortest, self.batch_size, self.device = shortest, batch_size, torch.device(device)

    def hear(self, waveform: Tensor) -> Heard:
        """Of (B, N) samples at `sample_rate`, on the device."""
        raise NotImplementedError

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[Tensor], sample_rate: int) -> Heard:
        return self._hear_all([self._own_rate(waveform, sample_rate) for waveform in waveforms])

    @torch.inference_mode()
    def windows(self, waveforms: Sequence[Tensor], sample_rate: int) -> tuple[Tensor, Tensor]:
        """Features of every second. What is left over at the end counts, with silence after it, from half a second on;
        a clip has one window at least."""
        size = round(WINDOW_SECONDS * self.sample_rate)
        pieces, owner = [], []
        for clip, waveform in enumerate(waveforms):
            waveform = self._own_rate(waveform, sample_rate)
            number = max(1, int(len(waveform) / size + 0.5))
            pieces += F.pad(waveform, (0, number * size - len(waveform))).split(size)  # a negative pad cuts
            owner += [clip] * number
        return self._hear_all(pieces).features, torch.tensor(owner)

    def _own_rate(self, waveform: Tensor, sample_rate: int) -> Tensor:
        if sample_rate == self.sample_rate:
            return waveform
        return torch.from_numpy(resample(waveform.cpu().numpy(), sample_rate, self.sample_rate))

    def _hear_all(self, waveforms: Sequence[Tensor]) -> Heard:
        if not len(waveforms):
            raise ValueError(f"{self.name} was given no clips")
        waveforms = [F.pad(waveform, (0, max(0, self.shortest - len(waveform)))) for waveform in waveforms]
        rows = sorted(range(len(waveforms)), key=lambda row: len(waveforms[row]))
        batches: list[list[int]] = []
        for row in rows:
            alike = batches and len(waveforms[batches[-1][0]]) == len(waveforms[row])
            if alike and len(batches[-1]) < self.batch_size:
                batches[-1].append(row)
            else:
                batches.append([row])
        heard = [self.hear(torch.stack([waveforms[row] for row in batch]).to(self.device)) for batch in batches]
        order = torch.tensor(rows).argsort()
        return Heard(*(None if parts[0] is None else torch.cat(parts).float().cpu()[order]
                       for parts in zip(*heard, strict=True)))
