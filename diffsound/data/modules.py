"""The LightningDataModules that a recipe can name."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import zlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from diffsound.data import manifest
from diffsound.data.datasets import AudioText, TokenText, Window
from diffsound.data.draws import ClipReader, ClipSources, Draws
from diffsound.data.label_text import LabelText
from diffsound.data.loading import Phases, loader, training_loader
from diffsound.data.manifest import Clip
from diffsound.data.mixing import Mixing
from diffsound.data.token_store import TokenStore
from diffsound.data.unreadable import UnreadableReport, durations
from diffsound.mel import MelSettings

log = logging.getLogger(__name__)


class AudioTextDataModule(LightningDataModule):
    """Audio files with text, from one or more manifests.

    Batches are {"waveform": (B, frames * hop_length) float32, "text": list[str]}. In training each epoch draws another
    caption and another crop of a clip, a function of (seed, epoch, clip); validation takes the first caption and the
    clip's start. Short clips are padded with zeros.

    A clip that cannot be read is left out and named in `unreadable.txt` in the trainer's `default_root_dir`. Training
    looks at the headers first and puts the next clip in the place of one that breaks off later.

    Args:
        manifest: path, or several.
        mel: sets sample rate and hop length.
        frames: mel frames of an item.
        batch_size: of all processes together.
        num_workers: processes that read ahead, of each training process.
        seed: of captions and crops.
        crops_per_clip: for tokenising, draws of each clip that is longer than an item; their ids end in #0, #1, ...
        mixing: for tokenising, further draws of training clips that are mixed with others; their ids end in #mix0, ...
        val_split: the split to validate on; training always takes "train".
        peak: scale each clip to this largest magnitude; None leaves it as recorded.
        in_memory: keep the training clips once decoded, in the training process itself instead of in workers: faster
            where they fit (0.44 MB for 5 s) and cores are few.
    """

    def __init__(self, manifest: str | list[str], mel: MelSettings | dict, frames: int, batch_size: int = 16,
                 num_workers: int = 2, seed: int = 0, crops_per_clip: int = 1, val_split: str = "val",
                 peak: float | None = None, in_memory: bool = False, mixing: Mixing | None = None) -> None:
        super().__init__()
        mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        if frames * mel.hop_length < mel.n_fft:
            raise ValueError(f"audio.init_args.frames {frames} x mel.hop_length {mel.hop_length} is shorter than one "
                             f"window, mel.n_fft {mel.n_fft}: take more frames")
        if crops_per_clip < 1:
            raise ValueError(f"audio.init_args.crops_per_clip {crops_per_clip} must be at least 1")
        if peak is not None and not 0 < peak <= 1:
            raise ValueError(f"audio.init_args.peak {peak} must be in (0, 1], or null")
        self.manifests = [Path(manifest)] if isinstance(manifest, str) else [Path(path) for path in manifest]
        self.window = Window(mel.sample_rate, frames * mel.hop_length, peak)
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.crops_per_clip, self.val_split, self.in_memory = crops_per_clip, val_split, in_memory
        self.mixing = mixing

    @property
    def report(self) -> UnreadableReport:
        return UnreadableReport(Path(self.trainer.default_root_dir if self.trainer else ".") / "unreadable.txt")

    def prepare_data(self) -> None:
        self.report.clear()

    def setup(self, stage: str) -> None:
        """Read the manifests and look at every file.

        Raises:
            ValueError: if a manifest is absent, empty or malformed, or no file in it can be read.
        """
        clips = self._listed()
        seconds = durations([clip.audio for clip in clips], self.report)
        self.clips = [clip for clip, length in zip(clips, seconds, strict=True) if length is not None]
        if not self.clips:
            raise ValueError(f"none of the {len(clips)} clips of {self._names} can be read, see {self.report.path}: "
                             "is the audio where the manifest says?")

    def train_dataloader(self) -> DataLoader:
        dataset = AudioText(self._of_split("train"), self.window, self.seed, self.report, self.in_memory)
        workers = 0 if self.in_memory else self.num_workers
        return training_loader(dataset, self.batch_size, workers, self.seed, self.trainer)

    def val_dataloader(self) -> DataLoader:
        return self._loader(AudioText(self._of_split(self.val_split), self.window, None, self.report))

    def test_dataloader(self) -> DataLoader:
        return self._loader(AudioText(self._of_split("test"), self.window, None, self.report))

    def draws(self) -> Draws:
        """All clips of the manifests in their order, for tokenising. Ids are paths seen from the folder that all
        manifests share: unique, and the same on every machine."""
        clips = self._listed()
        root = os.path.commonpath([os.path.abspath(path.parent) for path in self.manifests])
        digest = hashlib.sha256()
        for clip in clips:
            digest.update(repr((os.path.relpath(clip.audio, root), clip.captions, clip.labels, clip.split, clip.group)
                               ).encode())
        identity = {"manifest": digest.hexdigest(), "window": asdict(self.window), "seed": self.seed,
                    "crops_per_clip": self.crops_per_clip, "mixing": self.mixing and vars(self.mixing)}
        return Draws(ClipSources(clips, self.seed, self.mixing),
                     ClipReader(self.window, self.seed, root, self.crops_per_clip, self.mixing), identity)

    def teardown(self, stage: str) -> None:
        unreadable = self.report.lines()
        if unreadable:
            log.warning("%d clips could not be read and were left out: see %s", len(unreadable), self.report.path)

    def _listed(self) -> list[Clip]:
        return [clip for path in self.manifests for clip in manifest.read(path)]

    @property
    def _names(self) -> str:
        return ", ".join(map(str, self.manifests))

    def _of_split(self, split: str) -> list[Clip]:
        _require(split, Counter(clip.split for clip in self.clips), self._names, "audio")
        return [clip for clip in self.clips if clip.split == split]

    def _loader(self, dataset: Dataset) -> DataLoader:
        return loader(dataset, self.batch_size, self.num_workers, self.trainer)


class TokenDataModule(LightningDataModule):
    """Rows of a token store: {"tokens": (B, rows * columns) int64, "text": list[str]}.

    In training each epoch draws another caption of a row, a function of (seed, epoch, row); validation takes the first.
    With `text_from: labels` the text is made of a row's labels and random masks by `label_text`, for pretraining; the
    mask is the text encoder's own. After `setup`: `rows`, `columns`, `codebook_size`, `codec_fingerprint` as the codec
    left them in the store.

    Args:
        store: folder of the token store; its checksums are compared before training.
        batch_size: of all processes together.
        num_workers: processes that read ahead, of each training process.
        seed: of the texts.
        val_split: the split to validate on; training always takes "train".
        text_from: what of a row becomes its text.
        label_text: how, if from labels.
        share: trains on this share of the groups of clips, chosen by a hash of the group's name.
        curriculum: used with `text_from: labels`: which clips are trained on, by how many labels they have: from step
            on -> at most so many, null for all. `{0: 1, 2000: 3, 6000: null}` begins with clips of one label.
    """

    def __init__(self, store: str, batch_size: int = 64, num_workers: int = 0, seed: int = 0,
                 val_split: str = "val", text_from: Literal["captions", "labels"] = "captions",
                 label_text: LabelText | None = None, share: float = 1.0,
                 curriculum: dict[int, int | None] | None = None) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"tokens.init_args.share is {share}, expected a share in (0, 1]")
        self.folder, self.text_from, self.label_text = Path(store), text_from, label_text or LabelText()
        self.batch_size, self.num_workers, self.seed, self.val_split = batch_size, num_workers, seed, val_split
        self.share, self.curriculum = share, curriculum or {0: None}

    def prepare_data(self) -> None:
        """Compare the store with its checksums, in one process a machine: 1.3 GB take seconds, a training hours."""
        if self.trainer is None or self.trainer.training:
            TokenStore(self.folder).verify()

    def setup(self, stage: str) -> None:
        """Raises ValueError if the store is absent or damaged."""
        self.store = TokenStore(self.folder)
        self.rows, self.columns = self.store.rows, self.store.columns
        self.codebook_size, self.codec_fingerprint = self.store.codebook_size, self.store.codec_fingerprint

    def train_dataloader(self) -> DataLoader:
        dataset = self._dataset("train", self.seed)
        phases = self._phases(dataset.rows) if self.text_from == "labels" else None
        return training_loader(dataset, self.batch_size, self.num_workers, self.seed, self.trainer, phases)

    def val_dataloader(self) -> DataLoader:
        return loader(self._dataset(self.val_split, None), self.batch_size, self.num_workers, self.trainer)

    def test_dataloader(self) -> DataLoader:
        return loader(self._dataset("test", None), self.batch_size, self.num_workers, self.trainer)

    def _dataset(self, split: str, seed: int | None) -> TokenText:
        _require(split, self.store.splits(), str(self.folder), "tokens")
        rows, label_text = self.store.indices(split), None
        if split == "train" and self.share < 1:
            rows = rows[[zlib.crc32(self.store.group(row).encode()) < self.share * 2**32 for row in rows.tolist()]]
            if not len(rows):
                raise ValueError(f"tokens.init_args.share {self.share} leaves none of the training clips of "
                                 f"{self.folder}: take more")
        if self.text_from == "labels":
            label_text = functools.partial(self.label_text, mask=self.trainer.lightning_module.encoder.mask_token)
            silent = rows[self.store.label_counts()[rows] == 0]
            if len(silent):
                raise ValueError(f"{len(silent)} clips of the split '{split}' in {self.folder} have no labels, the "
                                 f"first is {self.store.clip(int(silent[0])).id}: give them labels in the manifest or "
                                 "take them out, or take tokens.init_args.text_from: captions")
        return TokenText(self.store, rows, seed, label_text)

    def _phases(self, rows: np.ndarray) -> Phases:
        """The curriculum as (first step, indices of `rows`)."""
        if set(self.curriculum.values()) == {None}:
            return [(step, None) for step in self.curriculum]
        counts = self.store.label_counts()[rows]
        return [(step, None if most is None else np.flatnonzero(counts <= most))
                for step, most in self.curriculum.items()]


def _require(split: str, found: dict[str, int], source: str, key: str) -> None:
    if not found.get(split):
        counts = ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
        raise ValueError(f"no clips of the split '{split}' in {source} (found: {counts}): "
                         "name one so in the manifest"
                         + (f", or change {key}.init_args.val_split" if split not in ("train", "test") else ""))
