"""Single items: what one clip, or one row of tokens, gives to a batch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from diffsound.data import audio
from diffsound.data.label_text import label_text
from diffsound.data.loading import Key
from diffsound.data.manifest import Clip
from diffsound.data.token_store import TokenStore
from diffsound.data.unreadable import UnreadableReport


@dataclass(frozen=True)
class Window:
    """What every waveform is cut to: `num_samples` at `sample_rate` Hz. `peak` scales the clip before it is cut."""

    sample_rate: int
    num_samples: int
    peak: float | None = None

    def read(self, clip: Clip, rng: np.random.Generator | None) -> np.ndarray:
        """(num_samples,) float32, a random crop with `rng`. Raises audio.UnreadableAudio."""
        return self.cut(audio.load(clip.audio, self.sample_rate), rng)

    def cut(self, waveform: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """(num_samples,) float32 of a whole clip (n,), which is scaled to `peak` first; a random crop with `rng`."""
        loudest = np.abs(waveform).max(initial=0.0)
        if self.peak is not None and loudest > 0:
            waveform = waveform * np.float32(self.peak / loudest)
        return audio.fit_length(waveform, self.num_samples, rng)


class AudioText(Dataset):
    """{"waveform": (num_samples,) float32, "text": str} of a clip.

    With a `seed` caption and crop are drawn from (seed, epoch, index); without one they are the first caption and the
    clip's start. For a file that turns out to be broken the next clip stands in, so that batches stay whole. With
    `in_memory` every file is decoded once and kept.
    """

    def __init__(self, clips: Sequence[Clip], window: Window, seed: int | None, report: UnreadableReport,
                 in_memory: bool = False) -> None:
        self.clips, self.window, self.seed, self.report = clips, window, seed, report
        self.load = functools.cache(audio.load) if in_memory else audio.load

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        rng, index = _generator(self.seed, key)
        for step in range(len(self.clips)):
            clip = self.clips[(index + step) % len(self.clips)]
            try:
                waveform = self.load(clip.audio, self.window.sample_rate)
                return {"waveform": self.window.cut(waveform, rng), "text": _pick(clip.captions, rng)}
            except audio.UnreadableAudio as error:
                self.report.add([error])
        raise audio.UnreadableAudio(f"none of {len(self.clips)} clips can be read, see {self.report.path}")


class TokenText(Dataset):
    """{"tokens": (L,) int64, "text": str} of a row of a token store; `seed` as for AudioText.

    The text is a caption or, with a `mask` token, made from the row's labels by `label_text`.
    """

    def __init__(self, store: TokenStore, rows: np.ndarray, seed: int | None, mask: str | None = None) -> None:
        self.store, self.rows, self.seed, self.mask = store, rows, seed, mask

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        rng, index = _generator(self.seed, key)
        row = int(self.rows[index])
        if self.mask is None:
            text = _pick(self.store.captions(row), rng)
        else:
            text = label_text(self.store.clip(row).labels, rng or np.random.default_rng(index), self.mask)
        return {"tokens": self.store.tokens(row).astype(np.int64), "text": text}


def _generator(seed: int | None, key: Key) -> tuple[np.random.Generator | None, int]:
    epoch, index = key if isinstance(key, tuple) else (0, key)
    return None if seed is None else np.random.default_rng((seed, epoch, index)), index


def _pick(captions: Sequence[str], rng: np.random.Generator | None) -> str:
    if not captions:
        return ""
    return captions[0 if rng is None else int(rng.integers(len(captions)))]
