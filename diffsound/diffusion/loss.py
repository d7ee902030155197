"""What the denoiser is trained on."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.checkpoint import Rebuildable
from diffsound.diffusion.transition import Transition
from diffsound.processes import process_count, summed_over_processes


class Loss(NamedTuple):
    """`total` is what is minimised; `per_clip` (B,) the nats of each clip, not divided by the probability of its t."""

    total: Tensor
    per_clip: Tensor


def bound_term(transition: Transition, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of each token: (B, L) in nats.

    At t = 1 the true posterior is certain, so the same expression is -log p(x_0 | x_1), the last term of the bound.
    `logits` is (B, L, K); D3PM, arXiv:2107.03006, Eq. 1.
    """
    with torch.autocast(logits.device.type, enabled=False):
        model = transition.posterior(logits.float().softmax(-1), x_t, t)
        true = transition.true_posterior(x_0, x_t, t)
        return (torch.special.xlogy(true, true) - true * model.clamp(min=1e-30).log()).sum(-1)


def token_cross_entropy(logits: Tensor, x_0: Tensor) -> Tensor:
    """-log p(x_0) of each token, (B, L) in nats, from logits (B, L, K); flat, a quarter of the time over (B, K, L)."""
    return F.cross_entropy(logits.float().flatten(0, 1), x_0.flatten(), reduction="none").view_as(x_0)


class VariationalBound(Rebuildable, nn.Module):
    """The variational bound, plus a small cross entropy on x_0 itself at every step.

    Args:
        auxiliary_weight: weight of the cross entropy (published: 5e-4).
        auxiliary_trend: how that weight runs over t: "falling" 2 - t/T (VQ-Diffusion), "rising" 1 + t/T (the
            original Diffsound), or "constant".
        code_weight: weight of the tokens that are codes at step t, where masked ones weigh 1; not at t = 1. Other than
            1 it is no bound.
    """

    def __init__(self, auxiliary_weight: float = 5e-4,
                 auxiliary_trend: Literal["falling", "rising", "constant"] = "falling",
                 code_weight: float = 1.0) -> None:
        super().__init__()
        self.auxiliary_weight, self.auxiliary_trend = auxiliary_weight, auxiliary_trend
        self.code_weight = code_weight

    def unweighted(self, logits: Tensor, x_t: Tensor) -> Tensor:
        """Logits of p(x_0 | x_t) from those that were trained: the same."""
        return logits

    def forward(self, transition: Transition, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor,
                probability: Tensor) -> Loss:
        """Loss of a batch: an unbiased estimate of the whole bound, whatever t was drawn from.

        Args:
            logits: (B, L, K). x_0, x_t: (B, L). t: (B,) in 1..T. probability: (B,), with which t was drawn.
        """
        weight = torch.where((x_t < transition.codebook_size) & (t > 1)[:, None], self.code_weight, 1.0)
        bound = weight * bound_term(transition, logits, x_0, x_t, t)
        cross_entropy = weight * token_cross_entropy(logits, x_0)
        progress = t / transition.num_timesteps
        trend = {"falling": 2 - progress, "rising": 1 + progress, "constant": 1.0}[self.auxiliary_trend]
        total = (bound.mean(-1) + self.auxiliary_weight * trend * cross_entropy.mean(-1)) / probability
        return Loss(total.mean(), bound.detach().sum(-1))


class CrossEntropy(Rebuildable, nn.Module):
    """Cross entropy of x_0 at the tokens that differ from it, every step alike: what masked models train on.

    A re-weighted bound (MaskGIT, arXiv:2202.04200): quicker at small size than `VariationalBound`, no likelihood.

    Args:
        intact_weight: weight of the tokens that are still as in x_0 (with `Mask` they need not be predicted).
    """

    def __init__(self, intact_weight: float = 0.0) -> None:
        super().__init__()
        if not 0 <= intact_weight <= 1:
            raise ValueError(f"intact_weight is {intact_weight}, expected a weight in [0, 1]")
        self.intact_weight = intact_weight

    def unweighted(self, logits: Tensor, x_t: Tensor) -> Tensor:
        """Logits (B, L, K) of p(x_0 | x_t) from those that were trained; x_t (B, L) in 0..K.

        A loss that weighs intact tokens by w is least where the odds of x_0 = x_t are w times the true ones: so they
        are divided by w. At `intact_weight` 0 nothing was learned of intact tokens, and nothing is changed.
        """
        if self.intact_weight in (0, 1):
            return logits
        visible = (x_t < logits.shape[-1])[..., None].to(logits)
        code = x_t.clamp(max=logits.shape[-1] - 1)[..., None]
        return logits.scatter_add(-1, code, -math.log(self.intact_weight) * visible)

    def forward(self, transition: Transition, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor,
                probability: Tensor) -> Loss:
        """As `VariationalBound.forward`; `probability` is not used."""
        cross_entropy = token_cross_entropy(logits, x_0)
        weight = torch.where(x_t == x_0, self.intact_weight, 1.0)
        # Of the whole batch: the mean over processes, which training takes, is then the whole batch's loss.
        share = summed_over_processes(weight.sum()).clamp(min=1) / process_count()
        total = (weight * cross_entropy).sum() / share
        return Loss(total, cross_entropy.detach().sum(-1))
