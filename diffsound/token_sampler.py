"""What every way of drawing tokens has: temperature, truncation, and how strongly the text steers."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from torch import Tensor

from diffsound.checkpoint import Rebuildable, rebuild
from diffsound.draw import truncate


class TokenSampler(Rebuildable):
    """Base of the samplers of both decoders.

    Args:
        temperature: divides the logits; below 1 is safer, above 1 more varied.
        top_r, top_p: two names of one truncation: the likeliest codes until their sum reaches it, see `truncate`. The
            published system used top_r 0.85.
        top_k: keep the top_k likeliest codes (published for the autoregressive decoder: 100).
        guidance_scale: 1 is no guidance; above, logits are pushed away from those without text
            (arXiv:2207.12598).
        guidance_trend: how the scale runs while a clip is made, over the share of its way that is done when the
            network is asked (1 - t / T, so never quite 1): "constant"; "linear" from 1 towards guidance_scale;
            "annealed" from guidance_scale down towards 1 by half a cosine.
    """

    def __init__(self, temperature: float = 1.0, top_r: float | None = None, top_p: float | None = None,
                 top_k: int | None = None, guidance_scale: float = 1.0,
                 guidance_trend: Literal["constant", "linear", "annealed"] = "constant") -> None:
        if temperature <= 0:
            raise ValueError(f"sampler temperature is {temperature}, expected more than 0")
        for name, value in (("top_r", top_r), ("top_p", top_p)):
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"sampler {name} is {value}, expected a probability in (0, 1]")
        if top_r is not None and top_p is not None:
            raise ValueError(f"sampler top_r is {top_r} and top_p {top_p}: they are the same truncation, give one")
        if top_k is not None and top_k < 1:
            raise ValueError(f"sampler top_k is {top_k}, expected at least 1")
        if guidance_scale < 0:
            raise ValueError(f"sampler guidance_scale is {guidance_scale}, expected at least 0 (1 is no guidance)")
        if guidance_trend not in ("constant", "linear", "annealed"):
            raise ValueError(f"sampler guidance_trend is {guidance_trend!r}, expected constant, linear or annealed")
        self.temperature, self.top_r, self.top_k = temperature, top_p if top_r is None else top_r, top_k
        self.guidance_scale, self.guidance_trend = guidance_scale, guidance_trend

    def changed(self, **settings: object) -> Self:
        """The same with other values of some of its arguments.

        Raises:
            ValueError: if it takes no such argument, or not that value.
        """
        own = self.spec["init_args"]
        for name in settings.keys() - own.keys():
            raise ValueError(f"{type(self).__name__} has no {name}, expected one of {', '.join(sorted(own))}")
        return rebuild({**self.spec, "init_args": own | settings})

    @property
    def guided(self) -> bool:
        """Whether the logits without text are needed."""
        return self.guidance_scale != 1

    def guidance(self, progress: float | Tensor) -> float | Tensor:
        """The scale when a share `progress` (0 to 1) of a clip's steps is done."""
        if self.guidance_trend == "constant":
            return self.guidance_scale
        progress = torch.as_tensor(progress)
        share = progress if self.guidance_trend == "linear" else (1 + torch.cos(math.pi * progress)) / 2
        return 1 + (self.guidance_scale - 1) * share

    def steer(self, logits: Tensor, without: Tensor, progress: float | Tensor) -> Tensor:
        """Logits (..., K) steered away from those `without` the text; `progress` broadcasts."""
        return torch.lerp(without.float(), logits.float(), self.guidance(progress))

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., K), after temperature and truncation."""
        return truncate((logits.float() / self.temperature).softmax(-1), self.top_r, self.top_k)


def check_numbers(broken: Tensor) -> None:
    """Raise if some probability was NaN. Asked once a clip, since asking waits for the accelerator."""
    if broken:
        raise ValueError("the decoder computed NaN: its weights are broken (by a training that diverged), or its "
                         "numbers overflowed (use trainer.precision 32-true)")
