"""How the autoregressive decoder draws its tokens."""

from __future__ import annotations

from diffsound.token_sampler import TokenSampler


class AutoregressiveSampler(TokenSampler):
    """One token after the other; see `TokenSampler` for the arguments."""
