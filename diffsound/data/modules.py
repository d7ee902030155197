"""The LightningDataModules that a recipe can name."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from diffsound.data import audio, manifest
from diffsound.data.datasets import AudioText, Draw, Draws, TokenText, Window
from diffsound.data.loading import loader, training_loader
from diffsound.data.manifest import Clip
from diffsound.data.token_store import StoredClip, TokenStore
from diffsound.data.unreadable import UnreadableReport, durations
from diffsound.mel import MelSettings

log = logging.getLogger(__name__)


class AudioTextDataModule(LightningDataModule):
    """Audio files with text, from one or more manifests.

    Batches are {"waveform": (B, frames * hop_length) float32, "text": list[str]}. In training each epoch draws another
    caption and another crop of a clip, a function of (seed, epoch, clip); validation takes the first caption and the
    clip's start. Short clips are padded with zeros.

    For prediction (tokenising) every clip of every split comes in order, with id, captions, labels, split and group.

    A clip that cannot be read is left out and named in `unreadable.txt` in the trainer's `default_root_dir`. Training
    looks at the headers first and puts the next clip in the place of one that breaks off later; prediction decodes
    every file once beforehand, so that its list of clips is exact.

    Args:
        manifest: path, or several.
        mel: sets sample rate and hop length.
        frames: mel frames of an item.
        crops_per_clip: for prediction, draws of each clip that is longer than an item; their ids end in #0, #1, ...
        val_split: the split to validate on; training always takes "train".
        peak: scale each clip to this largest magnitude; None leaves it as recorded.
        in_memory: keep the training clips once decoded, in the training process itself instead of in workers: faster
            where they fit (0.44 MB for 5 s) and cores are few.
    """

    def __init__(self, manifest: str | list[str], mel: MelSettings | dict, frames: int, batch_size: int = 16,
                 num_workers: int = 2, seed: int = 0, crops_per_clip: int = 1, val_split: str = "val",
                 peak: float | None = None, in_memory: bool = False) -> None:
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
        clips = [clip for path in self.manifests for clip in manifest.read(path)]
        measure = audio.decoded_duration if stage == "predict" else audio.duration
        seconds = durations([clip.audio for clip in clips], measure, self.report)
        self.clips = [clip for clip, length in zip(clips, seconds, strict=True) if length is not None]
        if not self.clips:
            raise ValueError(f"none of the {len(clips)} clips of {self._names} can be read, see {self.report.path}: "
                             "is the audio where the manifest says?")
        if stage == "predict":
            self.draws = self._draws(clips, seconds)

    def train_dataloader(self) -> DataLoader:
        dataset = AudioText(self._of_split("train"), self.window, self.seed, self.report, self.in_memory)
        workers = 0 if self.in_memory else self.num_workers
        return training_loader(dataset, self.batch_size, workers, self.seed, self.trainer)

    def val_dataloader(self) -> DataLoader:
        return self._loader(AudioText(self._of_split(self.val_split), self.window, None, self.report))

    def test_dataloader(self) -> DataLoader:
        return self._loader(AudioText(self._of_split("test"), self.window, None, self.report))

    def predict_dataloader(self) -> DataLoader:
        return self._loader(Draws(self.draws, self.window, self.seed))

    def teardown(self, stage: str) -> None:
        unreadable = self.report.lines()
        if unreadable:
            log.warning("%d clips could not be read and were left out: see %s", len(unreadable), self.report.path)

    @property
    def _names(self) -> str:
        return ", ".join(map(str, self.manifests))

    def _of_split(self, split: str) -> list[Clip]:
        _require(split, Counter(clip.split for clip in self.clips), self._names, "audio")
        return [clip for clip in self.clips if clip.split == split]

    def _draws(self, clips: list[Clip], seconds: list[float | None]) -> list[Draw]:
        """Ids are paths seen from the folder that all manifests share: unique, and the same on every machine."""
        root = os.path.commonpath([os.path.abspath(path.parent) for path in self.manifests])
        draws = []
        for index, (clip, length) in enumerate(zip(clips, seconds, strict=True)):
            if length is None:
                continue
            name = Path(os.path.relpath(clip.audio, root)).as_posix()
            stored = StoredClip(name, clip.captions, clip.labels, clip.split, clip.group)
            if self.crops_per_clip == 1 or length * self.window.sample_rate <= self.window.num_samples:
                draws.append(Draw(clip, stored, (index, 0)))
            else:
                draws += [Draw(clip, replace(stored, id=f"{name}#{draw}"), (index, draw))
                          for draw in range(self.crops_per_clip)]
        return draws

    def _loader(self, dataset: Dataset) -> DataLoader:
        return loader(dataset, self.batch_size, self.num_workers, self.trainer)


class TokenDataModule(LightningDataModule):
    """Rows of a token store: {"tokens": (B, rows * columns) int64, "text": list[str]}.

    In training each epoch draws another caption of a row, a function of (seed, epoch, row); validation takes the first.
    With `text_from: labels` the text is made of a row's labels and random masks, for pretraining (`label_text`); the
    mask is the text encoder's own. After `setup`: `rows`, `columns`, `codebook_size`, `codec_fingerprint` as the codec
    left them in the store.
    """

    def __init__(self, store: str, batch_size: int = 64, num_workers: int = 0, seed: int = 0,
                 val_split: str = "val", text_from: Literal["captions", "labels"] = "captions") -> None:
        super().__init__()
        self.folder, self.text_from = Path(store), text_from
        self.batch_size, self.num_workers, self.seed, self.val_split = batch_size, num_workers, seed, val_split

    def setup(self, stage: str) -> None:
        """Raises ValueError if the store is absent or damaged."""
        self.store = TokenStore(self.folder)
        self.rows, self.columns = self.store.rows, self.store.columns
        self.codebook_size, self.codec_fingerprint = self.store.codebook_size, self.store.codec_fingerprint

    def train_dataloader(self) -> DataLoader:
        dataset = self._dataset("train", self.seed)
        return training_loader(dataset, self.batch_size, self.num_workers, self.seed, self.trainer)

    def val_dataloader(self) -> DataLoader:
        return loader(self._dataset(self.val_split, None), self.batch_size, self.num_workers, self.trainer)

    def test_dataloader(self) -> DataLoader:
        return loader(self._dataset("test", None), self.batch_size, self.num_workers, self.trainer)

    def _dataset(self, split: str, seed: int | None) -> TokenText:
        _require(split, self.store.splits(), str(self.folder), "tokens")
        mask = self.trainer.lightning_module.encoder.mask_token if self.text_from == "labels" else None
        return TokenText(self.store, self.store.indices(split), seed, mask)


def _require(split: str, found: dict[str, int], source: str, key: str) -> None:
    if not found.get(split):
        counts = ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
        raise ValueError(f"no clips of the split '{split}' in {source} (found: {counts}): "
                         "name one so in the manifest"
                         + (f", or change {key}.init_args.val_split" if split not in ("train", "test") else ""))
