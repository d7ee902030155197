"""The autoregressive decoder: the baseline over the same tokens and the same condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from diffsound.autoregressive.networks import GPT
from diffsound.autoregressive.sampler import AutoregressiveSampler
from diffsound.draw import categorical, uniform_noise
from diffsound.optimizer import optimization
from diffsound.processes import BatchNoise
from diffsound.text_encoder.condition import Condition
from diffsound.text_encoder.module import TextEncoder
from diffsound.token_decoder import TokenDecoder
from diffsound.token_sampler import TokenSampler, check_numbers


class Autoregressive(TokenDecoder):
    """Learns p(token | tokens before, text) by teacher forcing.

    Args:
        text_encoder: words to condition; trained here if it is trainable.
        network: the GPT.
        text_dropout: share of texts replaced by the null condition in training, for guidance.
        learning_rate, betas, weight_decay, warmup_steps, decay, optimizer: see `diffsound.optimizer.optimization`.
    Raises:
        ValueError: if the network's condition_width is not the text encoder's.
    """

    def __init__(self, text_encoder: TextEncoder, network: GPT, text_dropout: float = 0.1,
                 learning_rate: float = 1e-4, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.01,
                 warmup_steps: int = 1000, decay: Literal["constant", "cosine", "plateau"] = "constant",
                 optimizer: Literal["adamw", "muon"] = "adamw") -> None:
        super().__init__(text_encoder, network.codebook_size, network.rows, network.max_columns, text_dropout)
        if network.condition_width != text_encoder.width:
            raise ValueError(f"the network has condition_width {network.condition_width}, the text encoder "
                             f"{text_encoder.width}: set condition_width once at the top of the recipe")
        self.network = network
        self.optimization = {"learning_rate": learning_rate, "betas": betas, "weight_decay": weight_decay,
                             "warmup_steps": warmup_steps, "decay": decay, "optimizer": optimizer}

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Logits (B, L, K) of every token (B, L) from those before it."""
        return self.network(tokens[:, :-1], condition)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        noise = BatchNoise.of_training(self._trainer, batch_idx, batch["tokens"].device)
        logits = self(batch["tokens"], self.training_condition(batch["text"], noise))
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch["tokens"].flatten())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Negative log-likelihood in nats per token (the same unit as the diffusion bound), and accuracy."""
        tokens = batch["tokens"]
        logits = self(tokens, self.condition(batch["text"]))
        loss = F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten())
        self.log(f"{self.phase}/bound", loss, batch_size=len(tokens), sync_dist=True, prog_bar=True)
        accuracy = (logits.argmax(-1) == tokens).float().mean()
        self.log(f"{self.phase}/accuracy", accuracy, batch_size=len(tokens), sync_dist=True)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict[str, Any]:
        return optimization(self, **self.optimization)

    @torch.no_grad()
    def generate(self, condition: Condition, columns: int, sampler: AutoregressiveSampler,
                 generators: list[torch.Generator], keep: Tensor | None = None,
                 negative: Condition | None = None,
                 on_step: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """As `TokenDecoder.generate`; a step is a token, `on_step` sees those up to it."""
        conditions = self.steering(condition, sampler, columns, generators, negative)
        length = self.rows * columns
        logits, caches = self.network.start_state(conditions)
        broken = torch.zeros((), dtype=torch.bool, device=self.device)
        tokens: list[Tensor] = []
        for position in range(length):
            if sampler.guided:
                logits = sampler.steer(*logits.chunk(2), position / length)
            p = sampler.probabilities(logits)
            broken |= p.isnan().any()
            token = categorical(p, uniform_noise((), generators, self.device))
            if keep is not None:
                token = torch.where(keep[:, position] >= 0, keep[:, position], token)
            tokens.append(token)
            if on_step is not None:
                on_step(len(tokens), torch.stack(tokens, 1))
            if position + 1 < length:
                token = token.repeat(2) if sampler.guided else token
                logits = self.network.next_logits(token, position, caches, conditions)
        check_numbers(broken)
        return torch.stack(tokens, 1)

    def num_steps(self, sampler: AutoregressiveSampler, columns: int) -> int:
        return self.rows * columns

    def check_sampler(self, sampler: TokenSampler) -> None:
        if not isinstance(sampler, AutoregressiveSampler):
            raise ValueError(f"{type(sampler).__name__} cannot draw from {type(self).__name__}: name an "
                             "AutoregressiveSampler under text_to_sound.init_args.sampler")
