"""Random numbers of training as a function of the step, so that a resumed run draws what an unbroken one would."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class SeededSteps(Callback):
    """Seeds PyTorch before every training batch by (seed_everything, process, batches done).

    Lightning's checkpoints do not hold the state of the random generators.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        done = trainer.fit_loop.epoch_loop.batch_progress.total.processed  # through all resumptions
        key = [int(os.environ.get("PL_GLOBAL_SEED", "0")), trainer.global_rank, done]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))
