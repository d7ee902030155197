"""From items to batches, and in which order a training run sees them."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

Key = int | tuple[int, int]  # index, or (epoch, index)
Phases = Sequence[tuple[int, np.ndarray | None]]  # (first step, indices of items; None: all)


def item_rng(seed: int, epoch: int, index: int) -> random.Random:
    """What an item draws its text with: a function of seed, epoch (below 2^32) and index (below 2^48), all distinct.

    Python's own generator is made in 4 us, NumPy's in 10.
    """
    return random.Random(seed << 80 | epoch << 48 | index)


class EpochSampler(DistributedSampler):
    """An endless list of (epoch, index), shuffled anew in every epoch, so that an item may draw from both.

    Batch after batch is taken from the list; the last one of an epoch is filled up with the first items of the next, so
    that all batches are whole and every process has equally many rows of each: row i of a batch goes to process
    i % world_size. Step n takes the n-th `batch_size` x accumulate_grad_batches items. Where the list begins thus
    follows from the optimizer steps that the trainer has done: a resumed run goes on with the item an unbroken one
    would see, also on another number of processes, and also if batch_size and accumulate_grad_batches change but not
    their product.

    Lightning leaves a DistributedSampler in place when it trains on several devices.

    Args:
        batch_size: of all processes together.
        trainer: tells processes, accumulation and steps done; None is one process, at the start of the epoch set.
        phases: a curriculum of (first step, items): from that step on epochs are of these items of the dataset.
    Raises:
        ValueError: if the processes cannot share a batch evenly, phases do not begin at 0 and rise, or one is empty.
    """

    def __init__(self, dataset: Dataset, seed: int, batch_size: int, trainer: Trainer | None,
                 phases: Phases | None = None) -> None:
        world = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        super().__init__(dataset, *world, shuffle=True, seed=seed)
        rows_of_process(batch_size, trainer)  # refuses what cannot be shared
        self.trainer = trainer
        self.step_size = batch_size * (trainer.accumulate_grad_batches if trainer else 1)  # items
        everything = np.arange(len(dataset))
        phases = [(0, None)] if phases is None else phases
        _check(phases)
        self._items = [everything if items is None else np.asarray(items) for _, items in phases]
        self._starts = [step * self.step_size for step, _ in phases]  # places in the list
        self._first_epochs = [0]
        for (start, end), items in zip(pairwise(self._starts), self._items, strict=False):
            self._first_epochs.append(self._first_epochs[-1] + math.ceil((end - start) / len(items)))
        self._shuffled: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        """Rows of this process in what Lightning takes for an epoch: whole steps that hold the whole dataset once."""
        return math.ceil(len(self.dataset) / self.step_size) * self.step_size // self.num_replicas

    def __iter__(self) -> Iterator[tuple[int, int]]:
        size = len(self)
        begin = self.trainer.global_step * self.step_size if self.trainer else self.epoch * size * self.num_replicas
        for place in range(begin + self.rank, begin + size * self.num_replicas, self.num_replicas):
            yield self._at(place)

    def _at(self, place: int) -> tuple[int, int]:
        phase = bisect_right(self._starts, place) - 1
        items = self._items[phase]
        epoch, index = divmod(place - self._starts[phase], len(items))
        epoch += self._first_epochs[phase]
        if self._shuffled is None or self._shuffled[0] != epoch:
            order = torch.randperm(len(items), generator=torch.Generator().manual_seed(self.seed + epoch))
            self._shuffled = epoch, items[order.numpy()]
        return epoch, int(self._shuffled[1][index])


def _check(phases: Phases) -> None:
    steps = [step for step, _ in phases]
    if not steps or steps[0] != 0 or any(a >= b for a, b in pairwise(steps)):
        raise ValueError(f"the phases of tokens.init_args.curriculum begin at the steps {steps}: expected 0 first, "
                         "then rising ones")
    for step, items in phases:
        if items is not None and len(items) == 0:
            raise ValueError(f"no clip is left for the phase of tokens.init_args.curriculum from step {step} on: "
                             "let more in")


def rows_of_process(batch_size: int, trainer: Trainer | None) -> int:
    """How many rows of a batch of `batch_size` each process takes. Raises ValueError if they do not come out even."""
    processes = trainer.world_size if trainer else 1
    if batch_size % processes:
        raise ValueError(f"train.STAGE.batch_size {batch_size} is that of all processes together, and {processes} "
                         f"processes cannot share it evenly: choose a multiple of {processes}")
    return batch_size // processes


def collate(items: Sequence[dict[str, Any]] | dict[str, Any]) -> dict[str, Any]:
    """Arrays and tensors become one tensor (B, ...), everything else a list of B. What is a batch already stays."""
    if isinstance(items, dict):
        return items
    columns = {key: [item[key] for item in items] for key in items[0]}
    return {key: torch.stack([torch.as_tensor(value) for value in values])
            if isinstance(values[0], (np.ndarray, torch.Tensor)) else values for key, values in columns.items()}


def training_loader(dataset: Dataset, batch_size: int, num_workers: int, seed: int, trainer: Trainer | None,
                    phases: Phases | None = None) -> DataLoader:
    """Shuffled batches of `batch_size` over all processes; see `EpochSampler`."""
    sampler = EpochSampler(dataset, seed, batch_size, trainer, phases)
    return loader(dataset, batch_size, num_workers, trainer, sampler)


def loader(dataset: Dataset, batch_size: int, num_workers: int, trainer: Trainer | None,
           sampler: Sampler | None = None) -> DataLoader:
    """Batches of `batch_size` over all processes, by default in order: then Lightning shares the items out."""
    return DataLoader(dataset, batch_size=rows_of_process(batch_size, trainer), sampler=sampler,
                      num_workers=num_workers, collate_fn=collate, persistent_workers=num_workers > 0,
                      pin_memory=torch.cuda.is_available())
