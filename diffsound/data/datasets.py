"""Single items: what one clip, or one row of tokens, gives to a batch."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from diffsound.data import audio
from diffsound.data.loading import Key, item_rng
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

    The text is a caption or, with `label_text`, made of the row's labels; that of validation is drawn like a text of
    seed 0 and epoch 0.
    """

    def __init__(self, store: TokenStore, rows: np.ndarray, seed: int | None,
                 label_text: Callable[[Sequence[str], random.Random], str] | None = None) -> None:
        self.store, self.rows, self.seed, self.label_text = store, rows, seed, label_text

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        row = int(self.rows[index])
        return {"tokens": self.store.tokens(row).astype(np.int64), "text": self._text(epoch, row)}

    def __getitems__(self, keys: Sequence[Key]) -> dict[str, Any]:
        """The batch of these items: {"tokens": (B, L) int64, "text": list[str]}. torch's loaders ask for batches."""
        keys = [key if isinstance(key, tuple) else (0, key) for key in keys]
        rows = self.rows[[index for _, index in keys]].tolist()
        tokens = np.stack([self.store.tokens(row) for row in rows])
        return {"tokens": torch.from_numpy(tokens.astype(np.int64)),
                "text": [self._text(epoch, row) for (epoch, _), row in zip(keys, rows, strict=True)]}

    def _text(self, epoch: int, row: int) -> str:
        if self.label_text is not None:
            return self._text_of_labels(row, item_rng(self.seed or 0, epoch, row))
        captions = self.store.captions(row)
        if self.seed is None or len(captions) < 2:
            return captions[0] if captions else ""
        return item_rng(self.seed, epoch, row).choice(captions)

    def _text_of_labels(self, row: int, rng: random.Random) -> str:
        try:
            return self.label_text(self.store.labels(row), rng)
        except ValueError as error:
            raise ValueError(f"clip {self.store.clip(row).id} of {self.store.folder}: {error}") from error


def _generator(seed: int | None, key: Key) -> tuple[np.random.Generator | None, int]:
    epoch, index = key if isinstance(key, tuple) else (0, key)
    return None if seed is None else np.random.default_rng((seed, epoch, index)), index


def _pick(captions: Sequence[str], rng: np.random.Generator | None) -> str:
    if not captions:
        return ""
    return captions[0 if rng is None else int(rng.integers(len(captions)))]
