"""One generated sound, and how it becomes a file."""

from __future__ import annotations

import base64
import html
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from diffsound.data.audio import encode, save
from diffsound.listening_test.loudness import PEAK_DB
from diffsound.mel import MelSettings
from diffsound.mel_picture import mel_png
from diffsound.whole_file import write_text

BLOCK = 0.4  # seconds, of BS.1770


@dataclass
class Clip:
    """One generated sound. `sidecar` is plain data, enough to make the same clip again."""

    waveform: Tensor  # (N,) in [-1, 1]
    mel: Tensor  # (n_mels, frames) in [0, 1]
    mel_settings: MelSettings
    tokens: Tensor  # (rows * columns,)
    sidecar: dict[str, Any]

    @property
    def sample_rate(self) -> int:
        """Hz, of the waveform."""
        return self.mel_settings.sample_rate

    def save(self, path: str | os.PathLike, loudness: float | None = None) -> None:
        """Write the sound as wav, flac, ogg or mp3, by the suffix of `path`, and then the sidecar beside it (.json).

        Both appear under their names only when they are whole.

        Args:
            loudness: LUFS to bring the sound to (see `loudness_gain`); by default it stays as it is.
        Raises:
            ValueError: if the suffix is another one, or loudness cannot be measured; nothing is written then.
        """
        path = Path(path)
        gain = 0.0 if loudness is None else loudness_gain(self.waveform, self.sample_rate, loudness)
        told = None if loudness is None else {"lufs": loudness, "gain_db": gain}
        save(path, self.amplified(gain).numpy(), self.sample_rate)
        write_text(path.with_suffix(".json"), self.sidecar_json(told))

    def sidecar_json(self, loudness: dict[str, float] | None = None) -> str:
        """What stands in the sidecar of the file of a sound that was brought to a loudness, or left as it is."""
        return json.dumps(self.sidecar | {"loudness": loudness}, indent=1, ensure_ascii=False)

    def amplified(self, gain_db: float) -> Tensor:
        """The waveform (N,), louder by so many dB; itself at 0."""
        return self.waveform * 10 ** (gain_db / 20) if gain_db else self.waveform

    def _repr_html_(self) -> str:
        """What a notebook shows: the text, a player and the mel spectrogram."""
        sound, picture = (base64.b64encode(data).decode() for data in (
            encode(self.waveform.numpy(), self.sample_rate, ".wav"), mel_png(self.mel.numpy(), self.mel_settings)))
        return (f'<figure><figcaption>{html.escape(self.sidecar["text"])}</figcaption>'
                f'<audio controls src="data:audio/wav;base64,{sound}"></audio><br>'
                f'<img alt="mel spectrogram" src="data:image/png;base64,{picture}"></figure>')


def loudness_gain(waveform: Tensor, sample_rate: int, lufs: float) -> float:
    """dB that bring `waveform` (N,) to integrated loudness `lufs` (ITU-R BS.1770-4, by torchaudio).

    Less where a peak would rise above -1 dB; 0 where nothing is heard (below the standard's gate of -70 LUFS).

    Raises:
        ValueError: if `lufs` is not in -70 to 0, or the sound is shorter than the 0.4 s that are measured at once.
    """
    from torchaudio.functional import loudness

    check_lufs(lufs)
    if len(waveform) < BLOCK * sample_rate:
        raise ValueError(f"loudness {lufs} was asked for, but a sound of {len(waveform) / sample_rate:.2f} s is too "
                         f"short to be measured: make at least {BLOCK} s, or leave loudness out")
    # Its filters clip at 1, and amplify by up to 4 dB: at half the level nothing is clipped.
    level = float(loudness(waveform[None] / 2, sample_rate)) + 20 * math.log10(2)
    if not math.isfinite(level):
        return 0.0
    return min(lufs - level, PEAK_DB - 20 * math.log10(float(waveform.abs().max())))


def check_lufs(lufs: float) -> None:
    """Raise ValueError unless a sound can be as loud as that."""
    if not -70 <= lufs <= 0:
        raise ValueError(f"loudness is {lufs}, expected LUFS from -70 to 0, such as -23")
