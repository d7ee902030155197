"""The autoregressive baseline over the same tokens and condition."""

from diffsound.autoregressive.module import Autoregressive
from diffsound.autoregressive.networks import GPT
from diffsound.autoregressive.sampler import AutoregressiveSampler

__all__ = ["GPT", "Autoregressive", "AutoregressiveSampler"]
