"""Exponential moving average of the weights, which checkpoints hold beside the weights as trained."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.strategies import FSDPStrategy, ModelParallelStrategy
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights(WeightAveraging):
    """Lightning's callback, but quicker, and the module keeps the weights as trained when training ends.

    Lightning replaces them by the average before the last checkpoint is written, so that training could not go on from
    there as if it had never stopped.

    Args:
        decay: share of the average that a step keeps.
        every: steps between updates, each with the share of that many steps. Updated at each step, and weight by weight
            as Lightning does, it is a tenth of a small decoder's time.
        from_initial: start from the initial weights, and update after steps `every`, 2 `every` and so on; otherwise
            start from the weights after step 1, and update after steps 1 + `every`, 1 + 2 `every` and so on.
            Published: true, with `every` 25 and `decay` 0.99 ** (1 / 25) = 0.999598.
    """

    def __init__(self, decay: float = 0.999, every: int = 5, from_initial: bool = False) -> None:
        if every < 1:
            raise ValueError(f"AveragedWeights has every = {every}, expected at least 1 step")
        super().__init__(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(decay**every))
        self.every, self.from_initial = every, from_initial
        self._swapped = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy):
            raise ValueError("AveragedWeights copies whole weights, of which this strategy holds shards: leave it out "
                             "of trainer.callbacks (configs/trainer/fsdp.yaml does), or use configs/trainer/ddp.yaml")
        pl_module.trainer = None  # Lightning copies the module: a trainer of several processes cannot be copied with it
        super().setup(trainer, pl_module, stage)
        pl_module.trainer = trainer

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and (step_idx + self.from_initial) % self.every == 0  # step_idx counts from 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.from_initial and self._average_model.n_averaged == 0:  # not resumed: the first update is a copy
            self._average_model.update_parameters(pl_module)

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
