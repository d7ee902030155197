"""The autoregressive decoder: the baseline over the same tokens and the same condition."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from diffsound.autoregressive.networks import GPT
from diffsound.autoregressive.sampler import AutoregressiveSampler
from diffsound.draw import categorical, truncate, uniform_noise
from diffsound.optimizer import adam
from diffsound.text_encoder.condition import Condition
from diffsound.text_encoder.module import TextEncoder
from diffsound.token_decoder import TokenDecoder


class Autoregressive(TokenDecoder):
    """Learns p(token | tokens before, text) by teacher forcing.

    Args:
        text_encoder: words to condition; trained here if it is trainable.
        network: the GPT.
        text_dropout: share of texts replaced by the null condition in training, for guidance.
        learning_rate, betas, weight_decay, warmup_steps, decay: of AdamW, see `diffsound.optimizer.adam`.
    Raises:
        ValueError: if the network's condition_width is not the text encoder's.
    """

    def __init__(self, text_encoder: TextEncoder, network: GPT, text_dropout: float = 0.1,
                 learning_rate: float = 1e-4, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.01,
                 warmup_steps: int = 1000, decay: Literal["constant", "cosine", "plateau"] = "constant") -> None:
        super().__init__(text_encoder, network.codebook_size, network.rows, network.max_columns, text_dropout)
        if network.condition_width != text_encoder.width:
            raise ValueError(f"the network has condition_width {network.condition_width}, the text encoder "
                             f"{text_encoder.width}: set condition_width once at the top of the recipe")
        self.network = network
        self.optimization = {"learning_rate": learning_rate, "betas": betas, "weight_decay": weight_decay,
                             "warmup_steps": warmup_steps, "decay": decay}

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Logits (B, L, K) of every token (B, L) from those before it."""
        return self.network(tokens[:, :-1], condition)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        logits = self(batch["tokens"], self.training_condition(batch["text"]))
        loss = F.cross_entropy(logits.float().transpose(1, 2), batch["tokens"])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Negative log-likelihood in nats per token (the same unit as the diffusion bound), and accuracy."""
        tokens = batch["tokens"]
        logits = self(tokens, self.condition(batch["text"]))
        loss = F.cross_entropy(logits.float().transpose(1, 2), tokens)
        self.log(f"{self.phase}/bound", loss, batch_size=len(tokens), sync_dist=True, prog_bar=True)
        accuracy = (logits.argmax(-1) == tokens).float().mean()
        self.log(f"{self.phase}/accuracy", accuracy, batch_size=len(tokens), sync_dist=True)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict[str, Any]:
        return adam(self, **self.optimization)

    @torch.no_grad()
    def generate(self, condition: Condition, columns: int, sampler: AutoregressiveSampler,
                 generators: list[torch.Generator], keep: Tensor | None = None,
                 negative: Condition | None = None) -> Tensor:
        """As `TokenDecoder.generate`. With guidance, `negative` is what to steer away from (default: no text)."""
        if not 1 <= columns <= self.max_columns:
            raise ValueError(f"{columns} columns asked for, this decoder makes 1 to {self.max_columns}")
        conditions = [condition]
        if sampler.guidance_scale != 1:
            conditions.append(self.null.like(condition) if negative is None else negative)
        states = [self.network.start_state(each) for each in conditions]
        logits, caches = [state[0] for state in states], [state[1] for state in states]
        tokens: list[Tensor] = []
        for position in range(self.rows * columns):
            p = truncate((self._guided(logits, sampler.guidance_scale) / sampler.temperature).softmax(-1),
                         sampler.top_p, sampler.top_k)
            token = categorical(p, uniform_noise((), generators, self.device))
            if keep is not None:
                token = torch.where(keep[:, position] >= 0, keep[:, position], token)
            tokens.append(token)
            if position + 1 < self.rows * columns:
                logits = [self.network.next_logits(token, position, cache, each)
                          for cache, each in zip(caches, conditions, strict=True)]
        return torch.stack(tokens, 1)

    @staticmethod
    def _guided(logits: list[Tensor], scale: float) -> Tensor:
        """Logits, pushed away from those of the second condition if there is one."""
        logits = [each.float().log_softmax(-1) for each in logits]
        return logits[0] if len(logits) == 1 else logits[1] + scale * (logits[0] - logits[1])
