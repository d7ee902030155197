"""Keeps one checkpoint of a stage: always the newest, also after Ctrl-C."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO


class WholeFiles(TorchCheckpointIO):
    """Writes beside the old checkpoint and renames: Lightning moves from the system's temporary folder, and leaves half
    a file in the place of a good one when the disk is full."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        content = io.BytesIO()  # torch reports a full disk as an internal error, Python as what it is
        torch.save(checkpoint, content)
        try:
            part.write_bytes(content.getbuffer())
            os.replace(part, path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            part.unlink(missing_ok=True)


class LastCheckpoint(ModelCheckpoint):
    """Writes `folder`/last.ckpt every `every_n_steps`, when training ends, and when it is interrupted.

    A plain `ModelCheckpoint` that counts steps leaves out the steps after the last multiple.
    """

    def __init__(self, folder: str, every_n_steps: int = 500) -> None:
        super().__init__(dirpath=folder, filename="last", every_n_train_steps=every_n_steps, save_on_exception=True,
                         enable_version_counter=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # sharded strategies bring their own
            trainer.strategy.checkpoint_io = WholeFiles()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._last_global_step_saved != trainer.global_step:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt")
            self._last_global_step_saved = trainer.global_step
