"""Which step t each training clip is corrupted to, and with what probability it was chosen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffsound.checkpoint import Rebuildable
from diffsound.processes import BatchNoise, summed_over_processes


class Timesteps(Rebuildable, nn.Module):
    """Draws t in 1..T. Base of the choices a recipe can name.

    Args:
        num_timesteps: T.
        last_step_probability: share of clips put at t = T, where the text alone decides, on top of the other draws.
    """

    def __init__(self, num_timesteps: int, last_step_probability: float = 0.0) -> None:
        super().__init__()
        if not 0 <= last_step_probability < 1:
            raise ValueError(f"last_step_probability is {last_step_probability}, expected a value in [0, 1)")
        self.num_timesteps, self.last_step_probability = num_timesteps, last_step_probability

    def proposal(self) -> Tensor:
        """(T,) probabilities of t = 1..T before the extra share of the last step."""
        raise NotImplementedError

    def sample(self, batch_size: int, noise: BatchNoise | None = None) -> tuple[Tensor, Tensor]:
        """t (B,) int64 in 1..T, and the probability (B,) with which each was chosen."""
        p = self.proposal() * (1 - self.last_step_probability)
        p[-1] += self.last_step_probability
        t = (noise or BatchNoise(p.device)).multinomial(p, batch_size)
        return t + 1, p[t]

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Learn from the loss (B,) of a step's clips at t (B,), not yet divided by their probability."""


class UniformTimesteps(Timesteps):
    """Every step equally often."""

    def __init__(self, num_timesteps: int, last_step_probability: float = 0.0) -> None:
        super().__init__(num_timesteps, last_step_probability)
        self.register_buffer("uniform", torch.full((num_timesteps,), 1 / num_timesteps), persistent=False)

    def proposal(self) -> Tensor:
        return self.uniform.clone()


class ImportanceTimesteps(Timesteps):
    """Steps in proportion to the root of their mean squared loss, once each was seen `warmup` times; before, uniform.

    Improved DDPM, arXiv:2102.09672, Eq. 18, as VQ-Diffusion uses it. The first step takes the weight of the second.
    Clips of one step that share t count by their mean, and every process sees the clips of all: the statistics do not
    depend on how a step is spread.

    Args:
        warmup: how often each step is seen before.
        decay: of the running mean of the squared loss.
    """

    def __init__(self, num_timesteps: int, last_step_probability: float = 0.0, warmup: int = 10,
                 decay: float = 0.9) -> None:
        super().__init__(num_timesteps, last_step_probability)
        self.warmup, self.decay = warmup, decay
        self.register_buffer("history", torch.zeros(num_timesteps))  # running mean of loss^2
        self.register_buffer("count", torch.zeros(num_timesteps))

    def proposal(self) -> Tensor:
        if (self.count <= self.warmup).any():
            return torch.full_like(self.history, 1 / self.num_timesteps)
        weight = (self.history + 1e-10).sqrt() + 1e-4
        if self.num_timesteps > 1:
            weight[0] = weight[1]
        return weight / weight.sum()

    @torch.no_grad()
    def update(self, t: Tensor, loss: Tensor) -> None:
        total, count = torch.zeros_like(self.history), torch.zeros_like(self.count)
        total.index_add_(0, t - 1, loss.detach().to(total) ** 2)
        count.index_add_(0, t - 1, torch.ones_like(loss, dtype=count.dtype))
        total, count = summed_over_processes(total), summed_over_processes(count)
        seen = count > 0
        mean = total[seen] / count[seen]
        self.history[seen] = self.decay * self.history[seen] + (1 - self.decay) * mean
        self.count += count
