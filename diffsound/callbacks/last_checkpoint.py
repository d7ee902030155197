"""Keeps one checkpoint of a stage: always the newest, also after Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.optim import Optimizer

from diffsound.checkpoint import read_checkpoint


class WholeFiles(TorchCheckpointIO):
    """Writes beside the old checkpoint and renames: Lightning moves from the system's temporary folder, and leaves half
    a file in the place of a good one when the disk is full. Reads as all of this package does."""

    def load_checkpoint(self, path: str, map_location: Any | None = None, weights_only: bool | None = None
                        ) -> dict[str, Any]:
        return read_checkpoint(path)

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

    A plain `ModelCheckpoint` that counts steps leaves out the steps after the last multiple. This one is always of a
    whole step: Ctrl-C waits while the weights change, and of a step of several batches (accumulate_grad_batches) whose
    gradients are lost no batch is counted as done.

    Args:
        folder: of the checkpoint.
        every_n_steps: how often it is written meanwhile.
    """

    def __init__(self, folder: str, every_n_steps: int = 500) -> None:
        super().__init__(dirpath=folder, filename="last", every_n_train_steps=every_n_steps, save_on_exception=True,
                         enable_version_counter=False)
        self._handler: Any = None  # of Ctrl-C, while it waits
        self._interrupted = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # sharded strategies bring their own
            trainer.strategy.checkpoint_io = WholeFiles()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._wait)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
                           batch_idx: int) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self._stop_waiting()
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._last_global_step_saved != trainer.global_step:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt")
            self._last_global_step_saved = trainer.global_step

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop_waiting()
        super().on_exception(trainer, pl_module, exception)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Inside a batch or a step, tell Lightning that the last batch of the step before has just ended."""
        loop = checkpoint["loops"]["fit_loop"]
        progress = loop["epoch_loop.batch_progress"]
        total, current = progress["total"], progress["current"]
        done = current["processed"]
        whole = done if done == trainer.num_training_batches else done - done % trainer.accumulate_grad_batches
        if whole == done == current["ready"]:
            return
        for counts, batches in ((total, total["processed"] - done + whole), (current, whole)):
            counts.update(ready=batches, started=batches, processed=batches, completed=batches - 1)
        progress["is_last_batch"] = False
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # Lightning counts it after the batch has ended

    def _wait(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True

    def _stop_waiting(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None
