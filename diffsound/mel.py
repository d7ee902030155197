"""Waveform to log-mel spectrogram: the one file that knows n_fft, hop_length and n_mels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class MelSettings:
    """The numbers on which codec, vocoder and data must agree.

    Args:
        sample_rate: samples a second.
        n_fft: samples of a window.
        hop_length: samples from window to window: those of a frame.
        n_mels: bands; a multiple of 16 for the codec.
        f_min, f_max: where the lowest band begins and the highest ends, in Hz.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    f_min: float = 125.0
    f_max: float = 7600.0

    def __post_init__(self) -> None:
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(f"mel.f_min {self.f_min} and mel.f_max {self.f_max} must satisfy "
                             f"0 <= f_min < f_max <= sample_rate / 2 = {self.sample_rate / 2}")
        if not 0 < self.hop_length <= self.n_fft:
            raise ValueError(f"mel.hop_length {self.hop_length} must be in 1..n_fft = {self.n_fft}")


FLOOR = 1e-5      # smallest mel magnitude that is told from silence
FLOOR_DB = -80.0  # maps to 0
RANGE_DB = 100.0  # FLOOR_DB + RANGE_DB maps to 1


class LogMel(nn.Module):
    """Log-magnitude mel spectrogram in [0, 1].

    Hann window of `n_fft` samples, reflect padding, magnitude (not power), Slaney scale and area normalisation. Same
    numbers as yangdongchao/Text-to-sound-Synthesis `Codebook/feature_extraction/extract_mel_spectrogram.py`.
    """

    def __init__(self, settings: MelSettings) -> None:
        super().__init__()
        from torchaudio.functional import melscale_fbanks

        self.settings = settings
        filters = melscale_fbanks(settings.n_fft // 2 + 1, settings.f_min, settings.f_max, settings.n_mels,
                                  settings.sample_rate, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)  # (n_mels, n_fft // 2 + 1)
        self.register_buffer("window", torch.hann_window(settings.n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel spectrogram of `waveform`.

        Args:
            waveform: (B, N) mono samples in [-1, 1] at `sample_rate` Hz.
        Returns:
            (B, n_mels, N // hop_length); -80..20 dB re magnitude 1, mapped to [0, 1] and clipped.
        Raises:
            ValueError: if N is shorter than one window (`n_fft` samples).
        """
        return to_unit(self.magnitude(waveform))

    def magnitude(self, waveform: Tensor) -> Tensor:
        """(B, n_mels, N // hop_length) mel magnitudes, before logarithm and clipping."""
        s = self.settings
        if waveform.shape[-1] < s.n_fft:
            raise ValueError(f"a waveform of {waveform.shape[-1]} samples is shorter than one window "
                             f"(mel.n_fft = {s.n_fft}): pad it")
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(waveform.float(), s.n_fft, s.hop_length, window=self.window, center=True,
                                  pad_mode="reflect", return_complex=True).abs()
            return self.filters @ spectrum[..., : waveform.shape[-1] // s.hop_length]


def to_unit(magnitude: Tensor) -> Tensor:
    """Mel magnitude to [0, 1]: 0 at -80 dB and below, 1 at 20 dB and above."""
    return ((20 * magnitude.clamp(min=FLOOR).log10() - FLOOR_DB) / RANGE_DB).clamp(0, 1)


def from_unit(mel: Tensor) -> Tensor:
    """Inverse of `to_unit` within its range: [0, 1] to mel magnitude."""
    return 10 ** ((mel * RANGE_DB + FLOOR_DB) / 20)
