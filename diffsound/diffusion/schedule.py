"""How fast tokens are corrupted: the share of codes that is still intact after t steps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffsound.checkpoint import Rebuildable


class Schedule(Rebuildable):
    """`alpha_bar()` is (T+1,) float64 and falls from exactly 1 at t = 0 (clean) to `end` at t = T.

    Args:
        num_timesteps: T.
        end: share of codes that is still intact at T.
    """

    def __init__(self, num_timesteps: int, end: float) -> None:
        if num_timesteps < 1:
            raise ValueError(f"num_timesteps is {num_timesteps}, expected at least 1")
        if not 0 <= end < 1:
            raise ValueError(f"schedule end is {end}, expected a probability in [0, 1)")
        self.num_timesteps, self.end = num_timesteps, end

    def alpha_bar(self) -> Tensor:
        raise NotImplementedError


class LinearSchedule(Schedule):
    """From `start` at t = 1 to `end` at t = T in equal steps, as published (VQ-Diffusion, arXiv:2111.14822).

    Args:
        start: share of codes that is still intact at t = 1.
    """

    def __init__(self, num_timesteps: int = 100, start: float = 0.99999, end: float = 9e-6) -> None:
        super().__init__(num_timesteps, end)
        if not end < start < 1:
            raise ValueError(f"schedule start is {start}, expected a value between end = {end} and 1")
        self.start = start

    def alpha_bar(self) -> Tensor:
        progress = torch.arange(self.num_timesteps, dtype=torch.float64) / max(1, self.num_timesteps - 1)
        if self.num_timesteps == 1:
            progress += 1  # a single step goes all the way
        return torch.cat([torch.ones(1, dtype=torch.float64), self.start + progress * (self.end - self.start)])


class CosineSchedule(Schedule):
    """1 - sin(pi/2 t/T): more time at high corruption, as MaskGIT trains (arXiv:2202.04200)."""

    def __init__(self, num_timesteps: int = 100, end: float = 9e-6) -> None:
        super().__init__(num_timesteps, end)

    def alpha_bar(self) -> Tensor:
        progress = torch.arange(self.num_timesteps + 1, dtype=torch.float64) / self.num_timesteps
        return self.end + (1 - self.end) * (1 - torch.sin(progress * math.pi / 2))
