"""How loud a clip is, and the loudness that all clips of a test can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BLOCK = 0.04  # seconds
GATE_DB = 20.0  # a block so far below the loudest one does not count: pauses make a clip no fainter
LEVEL_DB = -23.0  # of all clips, where their peaks leave room for it
PEAK_DB = -1.0  # that no clip exceeds


@dataclass(frozen=True)
class Loudness:
    """In dB re full scale; -inf of silence."""

    level: float  # RMS over the blocks of 40 ms in which the clip sounds
    peak: float  # of the largest sample

    @classmethod
    def of(cls, waveform: np.ndarray, sample_rate: int) -> Loudness:
        """Of samples (N,) in [-1, 1] at `sample_rate` Hz."""
        size = min(round(BLOCK * sample_rate), len(waveform))
        blocks = waveform[: len(waveform) // size * size].reshape(-1, size).astype(np.float64)
        power = np.square(blocks).mean(1)
        sounding = power[power >= power.max() * 10 ** (-GATE_DB / 10)]
        with np.errstate(divide="ignore"):  # of silence
            return cls(float(10 * np.log10(sounding.mean())), float(20 * np.log10(np.abs(waveform).max())))


def common_level(clips: Iterable[Loudness]) -> float:
    """The level, at most -23 dB, to which all can be brought without a peak above -1 dB: the most peaked decides."""
    return min([LEVEL_DB, *(PEAK_DB - (clip.peak - clip.level) for clip in clips if np.isfinite(clip.level))])


def leveled(waveform: np.ndarray, loudness: Loudness, level: float) -> np.ndarray:
    """`waveform` (N,) of this loudness brought to `level` dB; silence stays silent."""
    return waveform * np.float32(10 ** ((level - loudness.level) / 20)) if np.isfinite(loudness.level) else waveform
