"""Clips as tokenising takes them: from one source come one or more items, each of which becomes a row of tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffsound.data import audio
from diffsound.data.clip_table import StoredClip
from diffsound.data.datasets import Window
from diffsound.data.manifest import Clip

if TYPE_CHECKING:
    from diffsound.data.mixing import Mixing


class Item(NamedTuple):
    """What a row of tokens is made from."""

    waveform: np.ndarray  # (num_samples,) float32
    clip: StoredClip


class Draws(NamedTuple):
    """What a data module has to tokenise.

    `sources` can be long: it is indexed, and only what a worker needs is sent to it. `read` makes the items of a source
    and raises `audio.UnreadableAudio`. `identity` is plain data that all of it follows from.
    """

    sources: Sequence[Any]
    read: Callable[[Any], list[Item]]
    identity: dict[str, Any]


@dataclass
class Source:
    """One clip, and for each mixture that is made of it the further clips."""

    number: int
    clip: Clip
    mixtures: list[list[Clip]] = field(default_factory=list)


class ClipSources(Sequence):
    """The clips of manifests; with `mixing`, training clips bring others of the training split along."""

    def __init__(self, clips: Sequence[Clip], seed: int, mixing: Mixing | None) -> None:
        self.clips, self.seed, self.mixing = clips, seed, mixing
        self.candidates = [i for i, clip in enumerate(clips) if clip.split == "train"] if mixing else []
        self.labels = [clip.labels for clip in clips]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, i: int) -> Source:
        clip = _anywhere(self.clips[i])
        if self.mixing is None or clip.split != "train":
            return Source(i, clip)
        draws = [np.random.default_rng((self.seed, i, 0, draw)) for draw in range(self.mixing.per_clip)]
        partners = [self.mixing.partners(i, self.candidates, rng, self.labels) for rng in draws]
        return Source(i, clip, [[_anywhere(self.clips[j]) for j in of_draw] for of_draw in partners])


def _anywhere(clip: Clip) -> Clip:
    """With a path that means the same in a process that was started in another folder."""
    return replace(clip, audio=Path(os.path.abspath(clip.audio)))


class ClipReader:
    """Reads a `Source`: the clip's start, or several crops if it is longer than the window, and then its mixtures.

    Ids are paths seen from `root`, with #1 for another crop and #mix0 for a mixture. Where a crop lies and how clips
    are mixed is a function of (seed, number of the source, number of the draw).
    """

    def __init__(self, window: Window, seed: int, root: str, crops_per_clip: int, mixing: Mixing | None) -> None:
        self.window, self.seed, self.root, self.crops_per_clip, self.mixing = window, seed, root, crops_per_clip, mixing

    def __call__(self, source: Source) -> list[Item]:
        clip = source.clip
        waveform = audio.load(clip.audio, self.window.sample_rate)
        name = Path(os.path.relpath(clip.audio, self.root)).as_posix()
        stored = StoredClip(name, clip.captions, clip.labels, clip.split, clip.group)
        items = [Item(self.window.cut(waveform, None), stored)]
        if self.crops_per_clip > 1 and len(waveform) > self.window.num_samples:
            crops = [np.random.default_rng((self.seed, source.number, draw)) for draw in range(1, self.crops_per_clip)]
            items = [items[0]._replace(clip=replace(stored, id=f"{name}#0"))]
            items += [Item(self.window.cut(waveform, rng), replace(stored, id=f"{name}#{draw}"))
                      for draw, rng in enumerate(crops, 1)]
        for draw, others in enumerate(source.mixtures):
            try:
                parts = [(waveform, clip),
                         *((audio.load(other.audio, self.window.sample_rate), other) for other in others)]
            except audio.UnreadableAudio:  # reported as a source of its own
                continue
            rng = np.random.default_rng((self.seed, source.number, 1, draw))
            mixed = self.mixing.mix(parts, self.window.num_samples, self.window.sample_rate, rng)
            items.append(Item(self.window.cut(mixed.waveform, None), replace(
                stored, id=f"{name}#mix{draw}", captions=mixed.captions, labels=mixed.labels)))
        return items
