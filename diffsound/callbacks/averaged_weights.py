"""Exponential moving average of the weights, which checkpoints hold beside the weights as trained."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

EVERY = 5  # steps; at each of them, and weight by weight as Lightning does, it is a tenth of a small decoder's time


class AveragedWeights(WeightAveraging):
    """Lightning's callback, but quicker, and the module keeps the weights as trained when training ends.

    Lightning replaces them by the average before the last checkpoint is written, so that training could not go on from
    there as if it had never stopped.

    Args:
        decay: share of the average that a step keeps. It is updated every fifth step, with the share of five.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay**EVERY))
        self._swapped = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % EVERY == 0

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self._swapped = self._average_model is not None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self._swapped = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._swapped:  # stopped while it validated: the checkpoint written now must not take one for the other
            self._swap_models(pl_module)
            self._swapped = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pass
