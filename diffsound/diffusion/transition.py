"""Where corrupted tokens go, and Bayes' rule back."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.checkpoint import Rebuildable
from diffsound.diffusion.schedule import Schedule
from diffsound.draw import categorical
from diffsound.processes import BatchNoise

# The least log-probability in the original code: of a class that a one-hot x_0 excludes, and of any other number.
ONE_HOT_FLOOR, FLOOR = 1e-30, math.exp(-70)


class Transition(Rebuildable, nn.Module):
    """Forward corruption of K codes plus one absorbing mask code, whose index is K.

    From step s to step t a code is kept with alpha, redrawn as each of the K codes with beta, and masked with gamma,
    so that alpha + K beta + gamma = 1 (mask-and-replace, VQ-Diffusion, arXiv:2111.14822). Products of steps keep this
    form: three numbers stand for the (K+1, K+1) matrix, which is never built.

    Args:
        codebook_size: K.
        schedule: how fast.
        original: compute as the code that trained the published models does, for their checkpoints. There beta is a
            share of K + 1, not of K, classes, and the posterior gives the mask, which x_0 never is, a weight of its
            own: probabilities sum to 0.95 to 1.03 instead of 1.
    """

    def __init__(self, codebook_size: int, schedule: Schedule, original: bool = False) -> None:
        super().__init__()
        if codebook_size < 2:
            raise ValueError(f"codebook_size is {codebook_size}, expected at least 2")
        self.codebook_size, self.num_timesteps, self.original = codebook_size, schedule.num_timesteps, original
        bar = self.cumulative(schedule)
        t = torch.arange(self.num_timesteps + 1)
        step = self.between((t - 1).clamp(min=0), t, bar)  # in float64: the difference of neighbours cancels
        self.register_buffer("bar", bar.float(), persistent=False)
        self.register_buffer("step", step.float(), persistent=False)

    def cumulative(self, schedule: Schedule) -> Tensor:
        """(3, T+1) float64: alpha, beta and gamma of the way from step 0 to step t; column 0 is the identity."""
        alpha = schedule.alpha_bar()
        gamma = self._gamma_bar(alpha)
        if (gamma < 0).any() or (alpha + gamma > 1 + 1e-12).any():
            raise ValueError(f"{type(self).__name__} masks more than {type(schedule).__name__} corrupts: "
                             "lower mask_start or mask_fraction, or change the schedule")
        return torch.stack([alpha, (1 - alpha - gamma).clamp(min=0) / self.redrawn, gamma])

    @property
    def redrawn(self) -> int:
        """Number of classes among which beta shares what is redrawn: K."""
        return self.codebook_size + self.original

    def _gamma_bar(self, alpha_bar: Tensor) -> Tensor:
        """Probability (T+1,) that a token is masked by step t."""
        raise NotImplementedError

    def between(self, s: Tensor, t: Tensor, bar: Tensor | None = None) -> Tensor:
        """(3, *t.shape): alpha, beta and gamma of the way from step s to step t, s <= t.

        Every difference is taken between numbers that are small where it is, so that float32 keeps small probabilities.
        `bar` is the cumulative table to divide, by default the module's own.
        """
        bar = self.bar if bar is None else bar
        (alpha_s, beta_s, gamma_s), (alpha_t, beta_t, gamma_t) = bar[:, s], bar[:, t]
        keep_s, keep_t = alpha_s + self.redrawn * beta_s, alpha_t + self.redrawn * beta_t
        masked = torch.where(gamma_s < 0.5, gamma_t - gamma_s, keep_s - keep_t)
        beta = (beta_t * alpha_s - alpha_t * beta_s).clamp(min=0) / (alpha_s * keep_s)
        return torch.stack([alpha_t / alpha_s, beta, masked / keep_s])

    def marginal(self, x_0: Tensor, t: Tensor) -> Tensor:
        """q(x_t | x_0): (B, L, K+1) for x_0 (B, L) and t (B,) in 0..T."""
        return self._forward(F.one_hot(x_0, self.codebook_size).float(), self.bar[:, t])

    def corrupt(self, x_0: Tensor, t: Tensor, noise: BatchNoise | None = None) -> Tensor:
        """x_t (B, L) drawn from q(x_t | x_0); three draws a token instead of one from K+1 classes."""
        keep, mask = self.bar[0, t][:, None], self.bar[2, t][:, None]
        noise = noise or BatchNoise(x_0.device)
        u, code = noise.rand(*x_0.shape), noise.randint(self.codebook_size, *x_0.shape)
        return torch.where(u < keep, x_0, torch.where(u < keep + mask, self.codebook_size, code))

    def prior(self) -> Tensor:
        """p(x_T): (K+1,) marginal at the last step of a uniformly drawn code, where sampling starts."""
        p = torch.full_like(self.bar[0, :1], (1 - self.bar[2, -1].item()) / self.codebook_size)
        return torch.cat([p.expand(self.codebook_size), self.bar[2, -1:]])

    def prior_divergence(self) -> Tensor:
        """KL(q(x_T | x_0) || p(x_T)) in nats per token: the same for every x_0, and almost zero."""
        q = self.marginal(torch.zeros(1, 1, dtype=torch.long, device=self.bar.device),
                          torch.full((1,), self.num_timesteps, device=self.bar.device))[0, 0]
        return (torch.xlogy(q, q) - torch.xlogy(q, self.prior())).sum().clamp(min=0)

    def posterior(self, p_x_0: Tensor, x_t: Tensor, t: Tensor, s: Tensor | None = None) -> Tensor:
        """p(x_s | x_t) = sum over x_0 of q(x_t | x_s) q(x_s | x_0) / q(x_t | x_0) p(x_0 | x_t).

        D3PM, arXiv:2107.03006, Eq. 3, mixed as in VQ-Diffusion, arXiv:2111.14822, Eq. 11, for any s < t: with
        s = t - 1 (the default) one step, otherwise the exact jump of a strided sampler.

        Args:
            p_x_0: (B, L, K), a distribution over the codes.
            x_t: (B, L) tokens in 0..K, reachable at step t.
            t: (B,) in 1..T.
            s: (B,) in 0..t-1.
        Returns:
            (B, L, K+1). Where `p_x_0` excludes every code that can lead to x_t, x_t stays as it is.
        """
        if self.original:
            return self._original_posterior(p_x_0.float().clamp(min=FLOOR), FLOOR, x_t, t, s)
        p_x_0 = p_x_0.float()
        e_t = F.one_hot(x_t, self.codebook_size + 1).to(p_x_0)
        q_x_t = self._likelihood(e_t, self.bar[:, t])[..., :-1]  # q(x_t | x_0) for every code x_0
        weight = torch.where(q_x_t > 0, p_x_0 / q_x_t.clamp(min=1e-30), 0.0)
        jump, s = (self.step[:, t], t - 1) if s is None else (self.between(s, t), s)
        p = self._likelihood(e_t, jump) * self._forward(weight, self.bar[:, s])
        total = p.sum(-1, keepdim=True)
        return torch.where(total > 0, p / total.clamp(min=1e-30), e_t)

    def draw_earlier(self, p_x_0: Tensor, x_t: Tensor, t: Tensor, s: Tensor, u: Tensor) -> Tensor:
        """x_s (B, L) drawn from `posterior(p_x_0, x_t, t, s)`, which is never built.

        First x_0 from its distribution, then x_s from q(x_s | x_t, x_0), which has three outcomes: it is x_0,
        any code, or x_t already. One pass over the (B, L, K) probabilities instead of a dozen.

        Args:
            p_x_0, x_t, t, s: as `posterior`.
            u: (B, L, 3) uniform noise in [0, 1).
        """
        if self.original:
            return categorical(self.posterior(p_x_0, x_t, t, s), u[..., 0])
        x_0 = categorical(p_x_0, u[..., 0])
        alpha, beta, gamma = self.between(s, t)[:, :, None]
        alpha_s, beta_s, gamma_s = self.bar[:, s, None]
        masked = x_t == self.codebook_size
        back = torch.where(masked, gamma, beta)  # probability of x_t from another code at step s
        stay = torch.where(masked, gamma_s, alpha * (alpha_s * (x_0 == x_t) + beta_s))
        to_x_0, to_any = back * alpha_s, back * self.codebook_size * beta_s
        place = u[..., 1] * (stay + to_x_0 + to_any)
        code = (u[..., 2] * self.codebook_size).long()
        return torch.where(place < to_x_0, x_0, torch.where(place < to_x_0 + to_any, code, x_t))

    def true_posterior(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """q(x_{t-1} | x_t, x_0): (B, L, K+1) for x_0 (B, L) and x_t (B, L), reachable from it in t (B,) steps."""
        certain = F.one_hot(x_0, self.codebook_size).float()
        if self.original:
            return self._original_posterior(certain.clamp(min=ONE_HOT_FLOOR), ONE_HOT_FLOOR, x_t, t)
        return self.posterior(certain, x_t, t)

    def _original_posterior(self, p_x_0: Tensor, p_mask: float, x_t: Tensor, t: Tensor,
                            s: Tensor | None = None) -> Tensor:
        """As `q_posterior` of yangdongchao/Text-to-sound-Synthesis diffusion_transformer.py, on probabilities."""
        e_t = F.one_hot(x_t, self.codebook_size + 1).to(p_x_0)
        weight = F.pad(p_x_0, (0, 1), value=p_mask) / self._likelihood(e_t, self.bar[:, t]).clamp(min=ONE_HOT_FLOOR)
        jump, s = (self.step[:, t], t - 1) if s is None else (self.between(s, t), s)
        alpha, beta, gamma = self.bar[:, s, None, None]
        total, mask = weight.sum(-1, keepdim=True), weight[..., -1:]
        unmasked = alpha + self.redrawn * beta  # 1 - gamma, but exact where gamma is near 1
        earlier = torch.cat([alpha * weight[..., :-1] + beta * total, gamma * total + unmasked * mask], -1)
        return (self._likelihood(e_t, jump).clamp(min=ONE_HOT_FLOOR) * earlier).clamp(FLOOR, 1)

    def _forward(self, w: Tensor, step: Tensor) -> Tensor:
        """Q w for weights (B, L, K) on the codes: (B, L, K+1)."""
        alpha, beta, gamma = step[:, :, None, None]
        total = w.sum(-1, keepdim=True)
        return torch.cat([alpha * w + beta * total, gamma * total], -1)

    def _likelihood(self, e_t: Tensor, step: Tensor) -> Tensor:
        """Q^T e_t for one-hot x_t (B, L, K+1): the probability of x_t from every class of the earlier step."""
        alpha, beta, gamma = step[:, :, None, None]
        code, mask = e_t[..., :-1], e_t[..., -1:]
        return torch.cat([alpha * code + beta * (1 - mask) + gamma * mask, mask], -1)


class Uniform(Transition):
    """Corrupted tokens become any code; the mask is never used."""

    def _gamma_bar(self, alpha_bar: Tensor) -> Tensor:
        return torch.zeros_like(alpha_bar)


class Mask(Transition):
    """Corrupted tokens become the mask and nothing else."""

    def _gamma_bar(self, alpha_bar: Tensor) -> Tensor:
        return 1 - alpha_bar


class MaskUniform(Transition):
    """Corrupted tokens become the mask, or any code. As published: mask_fraction 0.9 at the last step.

    The masked share goes from `mask_start` at t = 1 to `mask_fraction` at t = T, in step with the schedule.

    Args:
        mask_fraction, mask_start: share of tokens that is masked at t = T and at t = 1.
    """

    def __init__(self, codebook_size: int, schedule: Schedule, mask_fraction: float = 0.9, mask_start: float = 9e-6,
                 original: bool = False) -> None:
        if not 0 < mask_fraction < 1:
            raise ValueError(f"mask_fraction is {mask_fraction}, expected a value between 0 and 1 "
                             "(Uniform and Mask are the ends)")
        self.mask_fraction, self.mask_start = mask_fraction, mask_start
        super().__init__(codebook_size, schedule, original)

    def _gamma_bar(self, alpha_bar: Tensor) -> Tensor:
        if len(alpha_bar) == 2:
            progress = torch.ones_like(alpha_bar[1:])
        else:
            progress = (alpha_bar[1] - alpha_bar[1:]) / (alpha_bar[1] - alpha_bar[-1])
        gamma = self.mask_start + progress * (self.mask_fraction - self.mask_start)
        return torch.cat([torch.zeros_like(gamma[:1]), gamma])
