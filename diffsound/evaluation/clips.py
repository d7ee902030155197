"""A set of clips to be judged: what was made, or what it is compared with."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from diffsound.data import manifest
from diffsound.data.audio import load, resample, sample_rate_of

SUFFIXES = (".wav", ".flac")  # what counts as a clip in a folder; lossy formats would add faults of their own


@dataclass(frozen=True)
class ClipSet:
    """Clips of one sample rate, each with an id that no other has.

    Args:
        name: "made", "reference", a folder's name; errors begin with it.
        waveforms: (N,) float32 each, mono; lengths may differ.
        sample_rate: Hz, of all of them.
        texts: one a clip, "" if unknown.
        ids: one a clip; a file's stem.
    Raises:
        ValueError: if there are no clips, the three lists differ in length, two ids are the same, or a clip is not
            finite float32 samples.
    """

    name: str
    waveforms: tuple[Tensor, ...]
    sample_rate: int
    texts: tuple[str, ...]
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in ("waveforms", "texts", "ids"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        self.check()

    def check(self) -> None:
        """See `Raises` above."""
        if not self.waveforms:
            raise ValueError(f"{self.name} holds no clips")
        if not len(self.waveforms) == len(self.texts) == len(self.ids):
            raise ValueError(f"{self.name} has {len(self.waveforms)} waveforms, {len(self.texts)} texts and "
                             f"{len(self.ids)} ids: expected one of each a clip")
        if self.sample_rate <= 0:
            raise ValueError(f"{self.name} has the sample rate {self.sample_rate}, expected one above 0 Hz")
        if repeated := [name for name, times in Counter(self.ids).items() if times > 1]:
            raise ValueError(f"{self.name} has more than one clip named {_some(repeated)}: clips are told apart by the "
                             "stem of their file")
        for name, waveform in zip(self.ids, self.waveforms, strict=True):
            if waveform.ndim != 1 or waveform.dtype != torch.float32:
                raise ValueError(f"{self.name}, clip {name}: {waveform.dtype} of shape {tuple(waveform.shape)}, "
                                 "expected float32 samples (N,)")
            if not len(waveform):
                raise ValueError(f"{self.name}, clip {name}: holds no samples")
            if not waveform.isfinite().all():
                raise ValueError(f"{self.name}, clip {name}: holds NaN or infinite samples")

    @classmethod
    def from_folder(cls, path: str | os.PathLike, sample_rate: int | None = None, name: str | None = None) -> ClipSet:
        """The wav and flac files of a folder, by name. The text of `a.wav` is the key "text" of `a.json`, if there.

        Args:
            sample_rate: Hz to which all are resampled; by default they stay as they are, and must be alike.
        Raises:
            OSError: if there is no such folder.
            ValueError: if it holds no clip, one cannot be read or has another rate, or a sidecar is not JSON.
        """
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(f"no folder of clips at {path}")
        files = sorted(file for file in path.iterdir()
                       if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
        if not files:
            raise ValueError(f"{path} holds no clips: expected files that end in {' or '.join(SUFFIXES)}")
        return cls.from_files(name or path.name, files, sample_rate)

    @classmethod
    def from_files(cls, name: str, files: Sequence[Path], sample_rate: int | None = None) -> ClipSet:
        """The same of files that are named one by one."""
        return cls._read(name, files, [_sidecar_text(file) for file in files], sample_rate)

    @classmethod
    def from_manifest(cls, path: str | os.PathLike, split: str | None = None, sample_rate: int | None = None,
                      name: str | None = None) -> ClipSet:
        """The clips of a manifest (diffsound/data/manifest.py), of one split or all, each with its first caption.

        Raises:
            ValueError: as `from_folder`; and if the manifest is broken or has no clip of `split`.
        """
        clips = manifest.read(path)
        if split is not None:
            splits = sorted({clip.split for clip in clips})
            clips = [clip for clip in clips if clip.split == split]
            if not clips:
                raise ValueError(f"{path} holds no clip of the split {split!r}, only of {', '.join(splits)}")
        return cls._read(name or Path(path).stem, [clip.audio for clip in clips],
                         [next(iter(clip.captions), "") for clip in clips], sample_rate)

    @classmethod
    def _read(cls, name: str, files: Sequence[Path], texts: Sequence[str], sample_rate: int | None) -> ClipSet:
        rate = sample_rate or sample_rate_of(files[0])
        if sample_rate is None:
            for file in files:
                if (other := sample_rate_of(file)) != rate:
                    raise ValueError(f"{file} has a sample rate of {other} Hz, {files[0]} of {rate} Hz: "
                                     "give all clips of a set the same one")
        waveforms = tuple(torch.from_numpy(load(file, rate)) for file in files)
        return cls(name, waveforms, rate, tuple(texts), tuple(file.stem for file in files))

    def __len__(self) -> int:
        return len(self.waveforms)

    @property
    def seconds(self) -> tuple[float, ...]:
        """Length of each clip."""
        return tuple(len(waveform) / self.sample_rate for waveform in self.waveforms)

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits of ids, sample rate and samples; the order of the clips does not matter."""
        digest = hashlib.sha256(f"{self.sample_rate} Hz\n".encode())
        for name, waveform in sorted(zip(self.ids, self.waveforms, strict=True), key=lambda clip: clip[0]):
            digest.update(f"{name} {len(waveform)}\n".encode())
            digest.update(waveform.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def at(self, sample_rate: int) -> ClipSet:
        """The same clips at `sample_rate` Hz."""
        if sample_rate == self.sample_rate:
            return self
        waveforms = tuple(torch.from_numpy(resample(x.numpy(), self.sample_rate, sample_rate)) for x in self.waveforms)
        return replace(self, waveforms=waveforms, sample_rate=sample_rate)

    def take(self, rows: Sequence[int], name: str | None = None) -> ClipSet:
        """Some of the clips, in the order of `rows`."""
        return replace(self, name=name or self.name, waveforms=tuple(self.waveforms[row] for row in rows),
                       texts=tuple(self.texts[row] for row in rows), ids=tuple(self.ids[row] for row in rows))


def paired(made: ClipSet, reference: ClipSet) -> ClipSet:
    """`reference` in the order of `made`, clip by clip of the same id.

    Raises:
        ValueError: if a clip of one has none in the other, with their names.
    """
    return reference.take(paired_rows(made.name, made.ids, reference.name, reference.ids))


def paired_rows(name: str, ids: Sequence[str], other_name: str, other_ids: Sequence[str]) -> list[int]:
    """Where in `other_ids` each of `ids` stands; errors as `paired`."""
    place = {one: row for row, one in enumerate(other_ids)}
    for here, there, mine, theirs in ((name, other_name, ids, other_ids), (other_name, name, other_ids, ids)):
        if missing := sorted(set(mine) - set(theirs)):
            raise ValueError(f"{len(missing)} of {len(mine)} clips of {here} have no partner in {there}: "
                             f"{_some(missing)}; clips belong together by the stem of their file")
    return [place[one] for one in ids]


def _sidecar_text(file: Path) -> str:
    sidecar = file.with_suffix(".json")
    if not sidecar.is_file():
        return ""
    try:
        text = json.loads(sidecar.read_text(encoding="utf-8")).get("text", "")
    except (ValueError, RecursionError, AttributeError) as error:
        raise ValueError(f'{sidecar} is not a sidecar: expected JSON like {{"text": "a dog barks"}}') from error
    if not isinstance(text, str):
        raise ValueError(f"{sidecar}: expected 'text' to be text, found {repr(text)[:100]}")
    return text


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
