"""Keeps one checkpoint of a stage: always the newest, also after Ctrl-C."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Writes `folder`/last.ckpt every `every_n_steps`, when training ends, and when it is interrupted.

    A plain `ModelCheckpoint` that counts steps leaves out the steps after the last multiple.
    """

    def __init__(self, folder: str, every_n_steps: int = 500) -> None:
        super().__init__(dirpath=folder, filename="last", every_n_train_steps=every_n_steps, save_on_exception=True,
                         enable_version_counter=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._last_global_step_saved != trainer.global_step:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt")
            self._last_global_step_saved = trainer.global_step
