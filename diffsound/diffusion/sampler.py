"""x_T to x_0: which steps are visited, and how each step's tokens are drawn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffsound.checkpoint import Rebuildable
from diffsound.diffusion.transition import Transition
from diffsound.draw import categorical, truncate, uniform_noise


class Sampler(Rebuildable):
    """Draws x_0 by going from t = T to t = 0 through the exact posterior p(x_s | x_t).

    Args:
        temperature: divides the logits of x_0; below 1 is safer, above 1 more varied.
        top_r, top_k: truncation of p(x_0 | x_t), see `truncate`. The published system used top_r 0.85.
        guidance_scale: 1 is no guidance; above, logits are pushed away from those without text.
    """

    def __init__(self, temperature: float = 1.0, top_r: float | None = None, top_k: int | None = None,
                 guidance_scale: float = 1.0) -> None:
        if temperature <= 0:
            raise ValueError(f"sampler temperature is {temperature}, expected more than 0")
        if top_r is not None and not 0 <= top_r <= 1:
            raise ValueError(f"sampler top_r is {top_r}, expected a probability in [0, 1]")
        if top_k is not None and top_k < 1:
            raise ValueError(f"sampler top_k is {top_k}, expected at least 1")
        self.temperature, self.top_r, self.top_k, self.guidance_scale = temperature, top_r, top_k, guidance_scale

    def steps(self, num_timesteps: int) -> list[int]:
        """Visited steps, from T down to 0."""
        raise NotImplementedError

    @torch.no_grad()
    def sample(self, denoise: Callable[[Tensor, Tensor], Tensor], transition: Transition, length: int,
               generators: list[torch.Generator], keep: Tensor | None = None,
               on_step: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """Tokens x_0.

        Args:
            denoise: (x_t (B, L), t (B,)) -> logits (B, L, K), guidance included.
            transition: the forward process the denoiser was trained with.
            length: L.
            generators: one CPU generator a clip; all noise of a clip comes from its own, in a fixed order.
            keep: (B, L) tokens that are given; -1 where they are to be made.
            on_step: called with s and x_s after every step.
        Returns:
            (B, L) int64 in 0..K-1, on the device of `transition`.
        """
        device = transition.bar.device
        x = categorical(transition.prior(), uniform_noise((length,), generators, device))
        visited = self.steps(transition.num_timesteps)
        for t, s in zip(visited, visited[1:], strict=False):
            t_batch, s_batch = (torch.full((len(x),), step, device=device) for step in (t, s))
            logits = denoise(x, t_batch).float() / self.temperature
            p_x_0 = truncate(logits.softmax(-1), self.top_r, self.top_k)
            if keep is not None:
                given = torch.nn.functional.one_hot(keep.clamp(min=0), transition.codebook_size).to(p_x_0)
                p_x_0 = torch.where((keep >= 0)[..., None], given, p_x_0)
            x = transition.draw_earlier(p_x_0, x, t_batch, s_batch, uniform_noise((length, 3), generators, device))
            if on_step is not None:
                on_step(s, x)
        return x if keep is None else torch.where(keep >= 0, keep, x)


class AncestralSampler(Sampler):
    """Every step from T to 0: the process as trained."""

    def steps(self, num_timesteps: int) -> list[int]:
        return list(range(num_timesteps, -1, -1))


class StridedSampler(Sampler):
    """`num_steps` evenly spaced jumps, each with the posterior of the whole jump.

    One call of the network a jump; at `num_steps` = T it is `AncestralSampler`.
    """

    def __init__(self, num_steps: int = 25, temperature: float = 1.0, top_r: float | None = None,
                 top_k: int | None = None, guidance_scale: float = 1.0) -> None:
        super().__init__(temperature, top_r, top_k, guidance_scale)
        if num_steps < 1:
            raise ValueError(f"sampler num_steps is {num_steps}, expected at least 1")
        self.num_steps = num_steps

    def steps(self, num_timesteps: int) -> list[int]:
        if self.num_steps > num_timesteps:
            raise ValueError(f"sampler num_steps is {self.num_steps}, but the decoder was trained with "
                             f"{num_timesteps} steps: lower num_steps")
        return [round(num_timesteps * (1 - i / self.num_steps)) for i in range(self.num_steps + 1)]
