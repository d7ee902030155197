"""The average is the one the formula gives, and is never taken for the weights as trained."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from diffsound.callbacks import AveragedWeights, LastCheckpoint


class Counter(LightningModule):
    """Its one weight is the number of steps done."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        return -self.weight

    def validation_step(self, batch, batch_idx):
        self.seen.append(self.weight.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0)


def average(steps: int, decay: float) -> float:
    """Updated after steps 1 (which it starts from), 6, 11 and so on."""
    value = 1.0
    for weight in range(6, steps + 1, 5):
        value = decay**5 * value + (1 - decay**5) * weight
    return value


def fit(module, folder, steps, *callbacks):
    trainer = Trainer(accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False,
                      enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=4,
                      check_val_every_n_epoch=None, callbacks=[*callbacks, LastCheckpoint(str(folder))])
    trainer.fit(module, DataLoader(range(6)), DataLoader(range(1)))


def saved(folder) -> tuple[float, float]:
    """(average, weight as trained) of the checkpoint."""
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"]["weight"].item(), checkpoint["current_model_state"]["weight"].item()


@pytest.mark.parametrize("steps", [1, 6, 13])
def test_the_checkpoint_holds_the_average_and_the_weights_as_trained(steps, tmp_path):
    module = Counter()
    fit(module, tmp_path, steps, AveragedWeights(0.9))
    assert saved(tmp_path) == pytest.approx((average(steps, 0.9), steps))
    assert module.weight.item() == steps
    assert module.seen == pytest.approx([average(n, 0.9) for n in range(4, steps + 1, 4)])


class StopInValidation(Callback):
    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.global_step == 8:
            raise RuntimeError("stop")


def test_stopping_in_validation_does_not_exchange_them(tmp_path):
    with pytest.raises(RuntimeError, match="stop"):
        fit(Counter(), tmp_path, 13, AveragedWeights(0.9), StopInValidation())
    assert saved(tmp_path) == pytest.approx((average(8, 0.9), 8))
