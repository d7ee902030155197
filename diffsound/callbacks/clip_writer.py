"""Writes what `predict` made: a wav, a picture of the mel and a sidecar for every clip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from diffsound.clip import Clip
from diffsound.mel_picture import save_mel


class ClipWriter(BasePredictionWriter):
    """Clip i of prompt "A dog!" becomes 000-a-dog.wav, .png and .json in `folder`.

    The json is written last: where it stands, the clip is complete.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(write_interval="batch")
        self.folder = Path(folder)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def write_on_batch_end(self, trainer: Trainer, pl_module: LightningModule, prediction: list[Clip],
                           batch_indices: Any, batch: dict[str, Any], batch_idx: int, dataloader_idx: int) -> None:
        for index, text, clip in zip(batch["index"], batch["text"], prediction, strict=True):
            write_clip(clip, self.folder / clip_name(index, text))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            print(f"clips are in {self.folder}/")


def clip_name(index: int, text: str, digits: int = 3) -> str:
    """000-a-dog-barks: the number, and as much of the text as makes a good file name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48].strip("-")
    return f"{index:0{digits}d}-{words}" if words else f"{index:0{digits}d}"


def write_clip(clip: Clip, stem: Path) -> None:
    """`stem`.wav, .png and .json, each under a temporary name until it is whole."""
    save_mel(stem.with_name(stem.name + ".png"), clip.mel.numpy(), clip.mel_settings, clip.sidecar["text"])
    clip.save(stem.with_name(stem.name + ".wav"))
