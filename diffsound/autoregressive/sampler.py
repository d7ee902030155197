"""How the autoregressive decoder draws its tokens."""

from __future__ import annotations

from diffsound.checkpoint import Rebuildable


class AutoregressiveSampler(Rebuildable):
    """One token after the other.

    Args:
        temperature: divides the logits.
        top_p: keep the likeliest tokens until their sum reaches top_p.
        top_k: keep the top_k likeliest tokens (published: 100).
        guidance_scale: 1 is no guidance; above, logits are pushed away from those without text.
    """

    def __init__(self, temperature: float = 1.0, top_p: float | None = None, top_k: int | None = None,
                 guidance_scale: float = 1.0) -> None:
        if temperature <= 0:
            raise ValueError(f"sampler temperature is {temperature}, expected more than 0")
        if top_p is not None and not 0 <= top_p <= 1:
            raise ValueError(f"sampler top_p is {top_p}, expected a probability in [0, 1]")
        if top_k is not None and top_k < 1:
            raise ValueError(f"sampler top_k is {top_k}, expected at least 1")
        self.temperature, self.top_p, self.top_k, self.guidance_scale = temperature, top_p, top_k, guidance_scale
