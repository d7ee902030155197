"""Exponential moving average of the weights, which checkpoints hold beside the weights as trained."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging


class AveragedWeights(EMAWeightAveraging):
    """Lightning's callback, but the module keeps the weights as trained when training ends.

    Lightning replaces them by the average before the last checkpoint is written, so that training could not go on from
    there as if it had never stopped.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pass
