"""Keeps one checkpoint of a stage: always the newest, also after Ctrl-C."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


class LastCheckpoint(ModelCheckpoint):
    """Writes `folder`/last.ckpt every `every_n_steps`, when training ends, and when it is interrupted.

    A plain `ModelCheckpoint` that counts steps leaves out those after the last multiple. The state of torch's random
    numbers is kept too: on a CPU, a run of one process that is resumed at the end of an epoch goes on as if it had
    never stopped.
    """

    def __init__(self, folder: str, every_n_steps: int = 500) -> None:
        self._random_state: Tensor | None = None
        super().__init__(dirpath=folder, filename="last", every_n_train_steps=every_n_steps, save_on_exception=True,
                         enable_version_counter=False)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "random_state": torch.get_rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._random_state = state_dict.get("random_state")
        super().load_state_dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self._random_state is not None and trainer.world_size == 1:  # the processes' own states differ
            torch.set_rng_state(self._random_state.cpu())
            self._random_state = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.global_step == trainer.max_steps:  # at the very end, averaging has replaced the weights
            self._save_now(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_now(trainer)

    def _save_now(self, trainer: Trainer) -> None:
        if self._last_global_step_saved != trainer.global_step:
            trainer.save_checkpoint(f"{self.dirpath}/last.ckpt")
            self._last_global_step_saved = trainer.global_step
