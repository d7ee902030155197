"""From items to batches, and in which order a training run sees them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

Key = int | tuple[int, int]  # index, or (epoch, index)


def item_rng(seed: int, epoch: int, index: int) -> random.Random:
    """What an item draws its text with: a function of seed, epoch (below 2^32) and index (below 2^48), all distinct.

    Python's own generator is made in 4 us, NumPy's in 10.
    """
    return random.Random(seed << 80 | epoch << 48 | index)


def batches_done(trainer: Trainer) -> int:
    """Training batches since the very start of a run, through all its resumptions."""
    return trainer.fit_loop.epoch_loop.batch_progress.total.processed


class EpochSampler(DistributedSampler):
    """Shuffles anew in every epoch and yields (epoch, index), so that an item may draw from both.

    Items are then a function of (seed, epoch, index), whatever the number of workers. Where the list begins follows
    from the batches that the trainer has done, so that a resumed run goes on with the batch an unbroken one would see.
    With limit_train_batches the next epoch takes up the list where the last one left it. Lightning leaves a
    DistributedSampler in place when it trains on several devices.
    """

    def __init__(self, dataset: Dataset, seed: int, batch_size: int, trainer: Trainer | None) -> None:
        world = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        super().__init__(dataset, *world, shuffle=True, seed=seed)
        self.batch_size, self.trainer = batch_size, trainer

    def __iter__(self) -> Iterator[tuple[int, int]]:
        skip = 0
        if self.trainer:  # its own count of epochs is wrong after resuming at the end of one
            self.epoch, skip = divmod(batches_done(self.trainer), math.ceil(len(self) / self.batch_size))
        return zip(repeat(self.epoch), islice(super().__iter__(), skip * self.batch_size, None))


def collate(items: Sequence[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
    """Arrays and tensors become one tensor (B, ...), everything else a list of B. What is a batch already stays."""
    if isinstance(items, dict):
        return items
    columns = {key: [item[key] for item in items] for key in items[0]}
    return {key: torch.stack([torch.as_tensor(value) for value in values])
            if isinstance(values[0], (np.ndarray, torch.Tensor)) else values for key, values in columns.items()}


def loader(dataset: Dataset, batch_size: int, num_workers: int, sampler: Sampler | None = None) -> DataLoader:
    return DataLoader(dataset, batch_size=batch_size, sampler=sampler, num_workers=num_workers, collate_fn=collate,
                      persistent_workers=num_workers > 0, pin_memory=torch.cuda.is_available())
