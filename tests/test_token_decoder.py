"""What both decoders share when they train."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from diffsound.optimizer import WarmUpThenPlateau
from diffsound.text_encoder import SmallTextEncoder
from diffsound.token_decoder import TokenDecoder


class Decoder(TokenDecoder):
    """Its loss is the number of steps done, plus one."""

    def __init__(self):
        super().__init__(SmallTextEncoder(width=4, layers=1), codebook_size=2, rows=1, max_columns=1, text_dropout=0.0)
        self.best = []

    def on_fit_start(self):
        pass

    def training_step(self, batch, batch_idx):
        loss = sum(p.sum() for p in self.parameters()) * 0 + self.global_step + 1
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": WarmUpThenPlateau(optimizer, 1, patience=1),
                                                        "interval": "step", "reduce_on_plateau": False}}

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.best.append((self.lr_schedulers().best, self.lr_schedulers().optimizer.param_groups[0]["lr"]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("other", [None, 9.0])
def test_a_plateau_is_one_of_the_mean_loss_of_all_processes(other, monkeypatch):
    trainer = Trainer(accelerator="cpu", max_steps=4, logger=False, enable_progress_bar=False,
                      enable_model_summary=False, enable_checkpointing=False)
    if other is not None:  # what a second process would do with its loss
        monkeypatch.setattr(trainer.strategy, "reduce", lambda value, reduce_op: (
            value.add_(other).div_(2) if reduce_op == "mean" else value))
    decoder = Decoder()
    trainer.fit(decoder, DataLoader(range(8)))
    best = 2.0 if other is None else (2 + other) / 2  # the first after the warm-up
    # Read in the hook before checkpoints are written.
    assert decoder.best == [(float("inf"), 1.0), (best, 1.0), (best, 1.0), (best, 0.5)]
    assert trainer.callback_metrics["train/loss"] == 4  # still this process' own
