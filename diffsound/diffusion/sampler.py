"""x_T to x_0 by Bayes' rule: which steps are visited, and how each step's tokens are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from diffsound.diffusion.fast import Precision
from diffsound.diffusion.transition import Mask, Transition
from diffsound.draw import categorical, uniform_noise
from diffsound.token_sampler import TokenSampler, check_numbers


class Visit(NamedTuple):
    """One call of the network: from tokens at step t to tokens at step s."""

    t: Tensor  # (B,) in 1..T
    s: Tensor  # (B,) in 0..t
    masked: Tensor | None = None  # (B,) how many tokens are left masked, for samplers that count them


class Sampler(TokenSampler):
    """Draws x_0 by going from t = T to t = 0 through the posterior p(x_s | x_t). Base of all samplers of diffusion.

    Args:
        start: x_T is drawn from the "prior", the marginal of the corruption (uniform codes, masks, or both), or is
            all "mask", as published.
        precision: of the network's matrix products, see `FastDenoiser`. "int8" is about twice as fast at the
            published size on CPUs with AVX512-VNNI, no faster at small ones, and draws from nearly the same
            distribution.
        options: see `TokenSampler`.
    """

    def __init__(self, start: Literal["prior", "mask"] = "prior", precision: Precision = "float32",
                 **options: object) -> None:
        super().__init__(**options)
        if precision not in get_args(Precision):
            raise ValueError(f"sampler precision is {precision!r}, expected {', '.join(get_args(Precision))}")
        self.precision = precision
        if start not in ("prior", "mask"):
            raise ValueError(f"sampler start is {start!r}, expected prior or mask")
        self.start = start

    def steps(self, num_timesteps: int) -> list[int]:
        """Steps at which the network is asked, from T down; each leads to the next, the last to 0."""
        raise NotImplementedError

    def visits(self, transition: Transition, x: Tensor, begin: int, generators: list[torch.Generator]
               ) -> Iterator[Visit]:
        """The way of tokens x (B, L) from step `begin` down to 0."""
        steps = [begin, *(step for step in self.steps(transition.num_timesteps) if step < begin), 0]
        for t, s in pairwise(steps):
            yield Visit(*(torch.full((len(x),), step, device=x.device) for step in (t, s)))

    def num_visits(self, num_timesteps: int, length: int) -> int:
        """How often the network is asked for `length` tokens, at most."""
        return len(self.steps(num_timesteps))

    def draw(self, transition: Transition, p_x_0: Tensor, x: Tensor, visit: Visit, generators: list[torch.Generator]
             ) -> Tensor:
        """x_s (B, L) from p(x_0 | x_t) (B, L, K) and x_t (B, L)."""
        noise = uniform_noise((x.shape[1], 3), generators, x.device)
        return transition.draw_earlier(p_x_0, x, visit.t, visit.s, noise)

    def check(self, transition: Transition) -> None:
        """Raise ValueError if this sampler cannot undo that corruption."""
        if self.start == "mask" and transition.bar[2, -1] == 0:
            raise ValueError(f"sampler start is mask, but {type(transition).__name__} has no mask: use start: prior")

    @torch.no_grad()
    def sample(self, denoise: Callable[[Tensor, Tensor], Tensor], transition: Transition, length: int,
               generators: list[torch.Generator], keep: Tensor | None = None,
               begin: tuple[Tensor, int] | None = None,
               on_step: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """Tokens x_0.

        Args:
            denoise: (x_t (B, L), t (B,)) -> logits (B, L, K), guidance included.
            transition: the forward process the denoiser was trained with.
            length: L.
            generators: one CPU generator a clip; all noise of a clip comes from its own, in a fixed order.
            keep: (B, L) tokens that are given; -1 where they are to be made.
            begin: tokens x_t (B, L) and the step t that they are at, to go on from instead of the start at T.
            on_step: called after every step with the number of steps done and x_s.
        Returns:
            (B, L) int64 in 0..K-1, on the device of `transition`.
        Raises:
            ValueError: if the sampler does not fit the transition, or the logits are not finite.
        """
        self.check(transition)
        device, mask = transition.bar.device, transition.codebook_size
        if begin is not None:
            x, first = begin
            if x.shape != (len(generators), length):
                raise ValueError(f"sampling cannot begin from tokens {tuple(x.shape)}, expected "
                                 f"{(len(generators), length)}")
            if not 1 <= first <= transition.num_timesteps:
                raise ValueError(f"sampling cannot begin at step {first}, expected 1 to {transition.num_timesteps}")
        else:
            first = transition.num_timesteps
            x = categorical(transition.prior(), uniform_noise((length,), generators, device))
            if self.start == "mask":
                x = torch.full_like(x, mask)
        if keep is not None:
            given = F.one_hot(keep.clamp(min=0), mask).float()
            x = torch.where((keep >= 0) & (x == mask), keep, x)  # the given code for its mask tells no lie
        broken = torch.zeros((), dtype=torch.bool, device=device)
        for number, visit in enumerate(self.visits(transition, x, first, generators), 1):
            p_x_0 = self.probabilities(denoise(x, visit.t))
            broken |= p_x_0.isnan().any()
            if keep is not None:
                p_x_0 = torch.where((keep >= 0)[..., None], given, p_x_0)
            x = self.draw(transition, p_x_0, x, visit, generators)
            if keep is not None:
                x = torch.where((keep >= 0) & (x == mask), keep, x)
            if on_step is not None:
                on_step(number, x)
        check_numbers(broken)
        return x if keep is None else torch.where(keep >= 0, keep, x)


class AncestralSampler(Sampler):
    """Every step from T to 0: the process as trained."""

    def steps(self, num_timesteps: int) -> list[int]:
        return list(range(num_timesteps, 0, -1))


class StridedSampler(Sampler):
    """Fewer, longer jumps, each with the exact posterior of the whole jump; with all T steps, `AncestralSampler`.

    Args:
        num_steps: how many, evenly spaced.
        steps: instead of num_steps, the steps to ask the network at, from T down, such as [100, 80, 50, 20, 5].
        original: leave each step as the published fast sampler does: by a single step of the posterior, the last of
            the jump, as if the tokens were there already. Too few tokens lose their mask, so most do in the step at
            t = 1, which is always visited.
        options: see `Sampler`.
    """

    def __init__(self, num_steps: int = 25, steps: list[int] | None = None, original: bool = False,
                 **options: object) -> None:
        super().__init__(**options)
        if steps is not None and (not steps or min(steps) < 1 or any(a <= b for a, b in pairwise(steps))):
            raise ValueError(f"sampler steps are {steps}, expected steps of 1 or more, each less than the one before")
        self.num_steps, self.listed, self.original = at_least_one(num_steps), steps, original

    def steps(self, num_timesteps: int) -> list[int]:
        steps = self.listed
        if steps is None:
            if self.num_steps > num_timesteps:
                raise ValueError(f"sampler num_steps is {self.num_steps}, but the decoder was trained with "
                                 f"{num_timesteps} steps: lower num_steps")
            steps = [round(num_timesteps * (1 - i / self.num_steps)) for i in range(self.num_steps)]
        if steps[0] != num_timesteps:
            raise ValueError(f"sampler steps begin at {steps[0]}, but the decoder was trained with {num_timesteps} "
                             "steps, where sampling has to begin")
        return [*steps, 1] if self.original and steps[-1] > 1 else steps

    def check(self, transition: Transition) -> None:
        super().check(transition)
        self.steps(transition.num_timesteps)

    def draw(self, transition: Transition, p_x_0: Tensor, x: Tensor, visit: Visit, generators: list[torch.Generator]
             ) -> Tensor:
        if self.original:
            visited = [*self.steps(transition.num_timesteps), 0]
            late = visited[0] - visited[1] - 1  # so many steps later than where the tokens are
            t = torch.where(visit.t - 1 > late, visit.t - late, visit.t)
            visit = Visit(t, t - 1)
        return super().draw(transition, p_x_0, x, visit, generators)


class RemaskingSampler(StridedSampler):
    """Jumps that may also take a code back, so that later steps can mend it (ReMDM, arXiv:2503.00307). For `Mask` only.

    Tokens at every step have the same distribution given x_0 as in the process that was trained.

    Args:
        strength: 0 never takes a code back; 1 as often as is possible.
        cap: the most that one jump takes back of the codes, at most.
        options: see `StridedSampler`.
    """

    def __init__(self, num_steps: int = 25, strength: float = 1.0, cap: float = 0.04, **options: object) -> None:
        super().__init__(num_steps, **options)
        if self.original:
            raise ValueError("sampler original is true, but nothing published takes codes back")
        for name, value in (("strength", strength), ("cap", cap)):
            if not 0 <= value <= 1:
                raise ValueError(f"sampler {name} is {value}, expected a share in [0, 1]")
        self.strength, self.cap = strength, cap

    def check(self, transition: Transition) -> None:
        super().check(transition)
        only_mask(self, transition)

    def draw(self, transition: Transition, p_x_0: Tensor, x: Tensor, visit: Visit, generators: list[torch.Generator]
             ) -> Tensor:
        alpha_t, alpha_s = (transition.bar[0, step][:, None] for step in (visit.t, visit.s))
        most = ((1 - alpha_s) / alpha_t.clamp(min=1e-30)).clamp(max=1)  # Eq. 7: with more, too few codes at step s
        remask = (self.strength * most).clamp(max=self.cap)
        reveal = (alpha_s - (1 - remask) * alpha_t) / (1 - alpha_t)
        noise = uniform_noise((x.shape[1], 2), generators, x.device)
        masked = x == transition.codebook_size
        changes = noise[..., 1] < torch.where(masked, reveal, remask)
        other = torch.where(masked, categorical(p_x_0, noise[..., 0]), transition.codebook_size)
        return torch.where(changes, other, x)


def at_least_one(num_steps: int) -> int:
    if num_steps < 1:
        raise ValueError(f"sampler num_steps is {num_steps}, expected at least 1")
    return num_steps


def only_mask(sampler: Sampler, transition: Transition) -> None:
    if not isinstance(transition, Mask):
        raise ValueError(f"{type(sampler).__name__} undoes the corruption of Mask, the decoder was trained with "
                         f"{type(transition).__name__}: use StridedSampler")
