"""The average is the one the formula gives, and is never taken for the weights as trained."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from diffsound.callbacks import AveragedWeights, LastCheckpoint
from diffsound.checkpoint import Checkpointed


class Counter(Checkpointed, LightningModule):
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


def average(steps: int, decay: float, every: int = 5, start: int = 1) -> float:
    """Starts from the weight after step `start`, updated after `every` steps more, and so on."""
    value = float(start)
    for weight in range(start + every, steps + 1, every):
        value = decay**every * value + (1 - decay**every) * weight
    return value


def fit(module, folder, steps, *callbacks, ckpt_path=None):
    trainer = Trainer(accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False,
                      enable_model_summary=False, num_sanity_val_steps=0, val_check_interval=4,
                      check_val_every_n_epoch=None, callbacks=[*callbacks, LastCheckpoint(str(folder))])
    trainer.fit(module, DataLoader(range(6)), DataLoader(range(1)), ckpt_path=ckpt_path, weights_only=True)


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


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_from_the_initial_weights_it_is_updated_at_multiples_also_when_resumed(tmp_path):
    published = {"decay": 0.9, "every": 4, "from_initial": True}
    for steps in (1, 4, 7, 13):
        fit(Counter(), tmp_path / str(steps), steps, AveragedWeights(**published))
        assert saved(tmp_path / str(steps)) == pytest.approx((average(steps, 0.9, 4, 0), steps))
    for steps in (1, 4, 7):
        fit(Counter(), tmp_path, 13, AveragedWeights(**published), ckpt_path=tmp_path / str(steps) / "last.ckpt")
        assert saved(tmp_path) == saved(tmp_path / "13")


class Trace(LightningModule):
    """Its weight follows `weights`, one of them a step."""

    def __init__(self, initial, weights):
        super().__init__()
        self.automatic_optimization = False
        self.weight, self.weights = torch.nn.Parameter(initial.clone()), weights

    def training_step(self, batch, batch_idx):
        self.optimizers().step()  # counts the step
        self.weight.data.copy_(self.weights[batch_idx])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


class Averages(Callback):
    """What the average is after each step, when it stands behind `averaged`."""

    def __init__(self, averaged):
        self.averaged, self.seen = averaged, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(self.averaged._average_model.module.weight.detach().clone())


@pytest.mark.golden
def test_the_published_average(golden):
    tensors, settings = golden("k_schedule_ema")
    every, decay = settings["ema"]["update_interval"], settings["ema"]["decay"]
    weights, expected = tensors["ema_weight_at_iteration"], tensors["ema_after_iteration"]
    averaged = AveragedWeights(decay ** (1 / every), every, from_initial=True)
    averages = Averages(averaged)
    trainer = Trainer(accelerator="cpu", max_steps=len(weights), logger=False, enable_progress_bar=False,
                      enable_model_summary=False, enable_checkpointing=False, callbacks=[averaged, averages])
    trainer.fit(Trace(expected[0], weights), DataLoader(range(len(weights))))
    torch.testing.assert_close(torch.stack(averages.seen), expected, rtol=0, atol=1e-6)


class StopInValidation(Callback):
    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if trainer.global_step == 8:
            raise RuntimeError("stop")


def test_stopping_in_validation_does_not_exchange_them(tmp_path):
    with pytest.raises(RuntimeError, match="stop"):
        fit(Counter(), tmp_path, 13, AveragedWeights(0.9), StopInValidation())
    assert saved(tmp_path) == pytest.approx((average(8, 0.9), 8))
