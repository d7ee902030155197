"""What makes training on many processes training on one: noise of the whole batch, and sums over all processes."""

from __future__ import annotations

import os
from typing import Self

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor, distributed


class BatchNoise:
    """Random numbers for the rows that this process has of a batch.

    All processes draw alike for all rows of an optimizer step, and each keeps its own: rows `rank`, `rank + world_size`
    and so on of the batch at hand. So the noise of a clip depends neither on the number of processes nor on how many
    batches a step is made of.

    Args:
        generator: of `device`; PyTorch's own if there is none.
        world_size, rank: of the processes, which have equally many rows.
        batches, batch: of how many batches the step is made, and which of them this is.
    """

    def __init__(self, device: torch.device | str = "cpu", generator: torch.Generator | None = None,
                 world_size: int = 1, rank: int = 0, batches: int = 1, batch: int = 0) -> None:
        self.device, self.generator = device, generator
        self.world_size, self.rank, self.batches, self.batch = world_size, rank, batches, batch

    @classmethod
    def of_training(cls, trainer: Trainer | None, batch_idx: int, device: torch.device) -> Self:
        """Of the step at hand, by (seed_everything, steps done); PyTorch's own where there is no trainer."""
        if trainer is None:
            return cls(device)
        key = [int(os.environ.get("PL_GLOBAL_SEED", "0")), trainer.global_step]
        # The spawn key keeps it apart from the seeds of `SeededSteps`.
        seed = int(np.random.SeedSequence(key, spawn_key=(1,)).generate_state(1, np.uint64)[0] >> np.uint64(1))
        batches = trainer.accumulate_grad_batches
        return cls(device, torch.Generator(device).manual_seed(seed), trainer.world_size, trainer.global_rank, batches,
                   batch_idx % batches)

    @classmethod
    def of_evaluation(cls, trainer: Trainer | None, batch_idx: int, device: torch.device) -> Self:
        """Of batch `batch_idx`: the same every time."""
        world = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        return cls(device, torch.Generator(device).manual_seed(batch_idx), *world)

    def rand(self, rows: int, *shape: int) -> Tensor:
        """(rows, *shape), uniform in [0, 1)."""
        return self._own(torch.rand(self._all(rows), *shape, device=self.device, generator=self.generator))

    def randint(self, high: int, rows: int, *shape: int) -> Tensor:
        """(rows, *shape) int64, uniform in 0..high - 1."""
        size = (self._all(rows), *shape)
        return self._own(torch.randint(high, size, device=self.device, generator=self.generator))

    def multinomial(self, p: Tensor, rows: int) -> Tensor:
        """(rows,) int64 drawn from p (N,), which must be the same on all processes."""
        return self._own(torch.multinomial(p, self._all(rows), replacement=True, generator=self.generator))

    def places(self, rows: int) -> Tensor:
        """(rows,): which rows of the batch these are, 0..rows * world_size - 1."""
        return torch.arange(rows, device=self.device) * self.world_size + self.rank

    def _all(self, rows: int) -> int:
        return rows * self.world_size * self.batches

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self.batches)[self.batch][self.rank :: self.world_size]


def summed_over_processes(x: Tensor) -> Tensor:
    """`x`, now the sum of all processes' (in place)."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(x)
    return x


def process_count() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
