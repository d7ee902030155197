"""Samplers that count: how many tokens lose their mask in a step is fixed, which ones is chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from diffsound.diffusion.sampler import Sampler, StridedSampler, Visit, at_least_one, only_mask
from diffsound.diffusion.transition import Transition
from diffsound.draw import categorical, uniform_noise


class UnmaskingSampler(Sampler):
    """Base: of the masked tokens, those with the highest score are drawn."""

    def weights(self, p_x_0: Tensor) -> Tensor:
        """What codes are drawn from, (B, L, K)."""
        return p_x_0

    def score(self, p_x_0: Tensor, code: Tensor, visit: Visit, transition: Transition, u: Tensor) -> Tensor:
        """(B, L), for every token `code` (B, L) drawn from p_x_0 (B, L, K); u (B, L) is uniform noise."""
        raise NotImplementedError

    def check(self, transition: Transition) -> None:
        if transition.bar[2, -1] == 0:
            raise ValueError(f"{type(self).__name__} chooses among masked tokens, but {type(transition).__name__} has "
                             "no mask: use StridedSampler")
        super().check(transition)

    def draw(self, transition: Transition, p_x_0: Tensor, x: Tensor, visit: Visit, generators: list[torch.Generator]
             ) -> Tensor:
        noise = uniform_noise((x.shape[1], 5), generators, x.device)
        masked = x == transition.codebook_size
        code = categorical(self.weights(p_x_0), noise[..., 0])
        score = self.score(p_x_0, code, visit, transition, noise[..., 1]).masked_fill(~masked, -math.inf)
        rank = score.argsort(dim=-1, descending=True, stable=True).argsort(-1)
        revealed = masked & (rank < masked.sum(-1, keepdim=True) - visit.masked[:, None])
        revised = self.revise(transition, p_x_0, x, visit, noise[..., 2:])
        return torch.where(revealed, code, torch.where(masked, x, revised))

    def revise(self, transition: Transition, p_x_0: Tensor, x: Tensor, visit: Visit, u: Tensor) -> Tensor:
        """What becomes of tokens that are codes already: as the posterior has it, which for `Mask` is nothing."""
        return transition.draw_earlier(p_x_0, x, visit.t, visit.s, u)


class ConfidenceSampler(UnmaskingSampler):
    """The surest tokens first, few at the start and more later (MaskGIT, arXiv:2202.04200). Quick, less varied.

    A token that was drawn stays.

    Args:
        num_steps: how many.
        choice_temperature: noise in the choice, which fades to none at the last step.
        start: all masks; as `Sampler` for `Mask`, whose prior is no other.
        options: see `Sampler`.
    """

    def __init__(self, num_steps: int = 12, choice_temperature: float = 4.5,
                 start: Literal["prior", "mask"] = "mask", **options: object) -> None:
        super().__init__(start=start, **options)
        if choice_temperature < 0:
            raise ValueError(f"sampler choice_temperature is {choice_temperature}, expected at least 0")
        self.num_steps, self.choice_temperature = at_least_one(num_steps), choice_temperature

    def num_visits(self, num_timesteps: int, length: int) -> int:
        return self.num_steps

    def check(self, transition: Transition) -> None:
        super().check(transition)
        if self.start == "prior":
            only_mask(self, transition)

    def visits(self, transition: Transition, x: Tensor, begin: int, generators: list[torch.Generator]
               ) -> Iterator[Visit]:
        masked, first = (x == transition.codebook_size).sum(-1), transition.bar[2, begin].expand(len(x))
        t = torch.full((len(x),), begin, device=x.device)
        for i in range(1, self.num_steps + 1):
            share = math.cos(math.pi / 2 * i / self.num_steps) if i < self.num_steps else 0.0
            s = _step_with(transition, share * first).clamp(max=t)
            yield Visit(t, s, (masked * share).long())
            t = s.clamp(min=1)

    def revise(self, transition: Transition, p_x_0: Tensor, x: Tensor, visit: Visit, u: Tensor) -> Tensor:
        return x

    def score(self, p_x_0: Tensor, code: Tensor, visit: Visit, transition: Transition, u: Tensor) -> Tensor:
        confidence = p_x_0.gather(-1, code[..., None])[..., 0].log()
        fading = visit.s / transition.num_timesteps
        return confidence + self.choice_temperature * fading[:, None] * _gumbel(u)


class PuritySampler(UnmaskingSampler):
    """Tokens in proportion to the probability of their likeliest code (Improved VQ-Diffusion, arXiv:2205.16007).

    How many follows from the schedule that was trained.

    Args:
        num_steps, steps: as `StridedSampler`.
        sharpness: raises p(x_0 | x_t) of a token to the power 1 + sharpness * purity.
        options: see `Sampler`.
    """

    def __init__(self, num_steps: int = 25, steps: list[int] | None = None, sharpness: float = 0.0,
                 **options: object) -> None:
        super().__init__(**options)
        if sharpness < 0:
            raise ValueError(f"sampler sharpness is {sharpness}, expected at least 0")
        self.sharpness, self._strided = sharpness, StridedSampler(num_steps, steps)

    def steps(self, num_timesteps: int) -> list[int]:
        return self._strided.steps(num_timesteps)

    def check(self, transition: Transition) -> None:
        super().check(transition)
        self._strided.check(transition)

    def visits(self, transition: Transition, x: Tensor, begin: int, generators: list[torch.Generator]
               ) -> Iterator[Visit]:
        masked, share = (x == transition.codebook_size).sum(-1), transition.bar[2]
        for t, s, _ in super().visits(transition, x, begin, generators):
            yield Visit(t, s, (masked * share[s] / share[begin]).round().long())

    def weights(self, p_x_0: Tensor) -> Tensor:
        return p_x_0 ** (1 + self.sharpness * p_x_0.amax(-1, keepdim=True)) if self.sharpness else p_x_0

    def score(self, p_x_0: Tensor, code: Tensor, visit: Visit, transition: Transition, u: Tensor) -> Tensor:
        return p_x_0.amax(-1).log() + _gumbel(u)


class FirstHittingSampler(UnmaskingSampler):
    """One token after the other, each at the random time at which the process reveals it (arXiv:2409.02908).

    For `Mask` only; exact, whatever T is, at one call of the network for every token that is to be made.
    """

    def check(self, transition: Transition) -> None:
        only_mask(self, transition)

    def num_visits(self, num_timesteps: int, length: int) -> int:
        return length

    def visits(self, transition: Transition, x: Tensor, begin: int, generators: list[torch.Generator]
               ) -> Iterator[Visit]:
        left = (x == transition.codebook_size).sum(-1)
        share = transition.bar[2, begin].expand(len(x)).clone()  # of tokens that are masked at the present time
        for _ in range(int(left.max())):
            u = uniform_noise((), generators, x.device)
            share = share * u ** (1 / left.clamp(min=1))  # the first of so many independent times
            t = _step_with(transition, share).clamp(min=1)
            left = (left - 1).clamp(min=0)
            yield Visit(t, t, left)

    def score(self, p_x_0: Tensor, code: Tensor, visit: Visit, transition: Transition, u: Tensor) -> Tensor:
        return u


def _step_with(transition: Transition, masked: Tensor) -> Tensor:
    """The step (B,) at which a share `masked` (B,) of tokens, as nearly as possible, is masked."""
    return (transition.bar[2] - masked[:, None]).abs().argmin(-1)


def _gumbel(u: Tensor) -> Tensor:
    """Noise whose addition to log-weights makes the largest a draw in proportion to the weights."""
    return -(-u.clamp(1e-9, 1 - 1e-7).log()).log()
