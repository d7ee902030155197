"""The non-autoregressive decoder: trains the denoiser to undo the corruption of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from diffsound.diffusion.denoiser import Denoiser
from diffsound.diffusion.fast import FastDenoiser, Precision
from diffsound.diffusion.loss import CrossEntropy, VariationalBound, bound_term
from diffsound.diffusion.sampler import Sampler
from diffsound.diffusion.timesteps import Timesteps
from diffsound.diffusion.transition import Transition
from diffsound.optimizer import optimization
from diffsound.processes import BatchNoise
from diffsound.text_encoder.condition import Condition
from diffsound.text_encoder.module import TextEncoder
from diffsound.token_decoder import TokenDecoder
from diffsound.token_sampler import TokenSampler


class DiscreteDiffusion(TokenDecoder):
    """Learns p(x_0 | x_t, text) over the token grid; `sampler.py` draws from it.

    Diffsound, arXiv:2207.09983. Optimizer defaults as published.

    Args:
        text_encoder: words to condition; trained here if it is trainable.
        denoiser: the network.
        transition: the corruption.
        loss: what is minimised.
        timesteps: how t is drawn.
        text_dropout: share of texts replaced by the null condition in training, for guidance.
        learning_rate, betas, weight_decay, warmup_steps, decay, optimizer: see `diffsound.optimizer.optimization`.
    Raises:
        ValueError: if the parts disagree on codebook_size, num_timesteps or the width of the condition.
    """

    def __init__(self, text_encoder: TextEncoder, denoiser: Denoiser, transition: Transition,
                 loss: VariationalBound | CrossEntropy, timesteps: Timesteps, text_dropout: float = 0.1,
                 learning_rate: float = 4.5e-4, betas: tuple[float, float] = (0.9, 0.96), weight_decay: float = 4.5e-2,
                 warmup_steps: int = 1000, decay: Literal["constant", "cosine", "plateau"] = "constant",
                 optimizer: Literal["adamw", "muon"] = "adamw") -> None:
        super().__init__(text_encoder, denoiser.codebook_size, denoiser.rows, denoiser.max_columns, text_dropout)
        for name, expected, others in [
            ("codebook_size", denoiser.codebook_size, {"transition": transition.codebook_size}),
            ("num_timesteps", denoiser.num_timesteps,
             {"transition": transition.num_timesteps, "timesteps": timesteps.num_timesteps}),
            ("condition_width", denoiser.condition_width, {"text encoder": text_encoder.width}),
        ]:
            for part, value in others.items():
                if value != expected:
                    raise ValueError(f"the denoiser has {name} {expected}, the {part} {value}: "
                                     f"set {name} once at the top of the recipe")
        self.denoiser, self.transition, self.loss, self.timesteps = denoiser, transition, loss, timesteps
        self._laid_out: tuple[tuple, FastDenoiser] | None = None
        self._step_losses: list[tuple[Tensor, Tensor]] = []  # (t, nats) of the step's batches so far
        self.optimization = {"learning_rate": learning_rate, "betas": betas, "weight_decay": weight_decay,
                             "warmup_steps": warmup_steps, "decay": decay, "optimizer": optimizer}

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits (B, L, K) of x_0 from tokens x_t (B, L) at steps t (B,)."""
        return self.denoiser(x_t, t, condition)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        x_0, noise = batch["tokens"], BatchNoise.of_training(self._trainer, batch_idx, batch["tokens"].device)
        t, probability = self.timesteps.sample(len(x_0), noise)
        x_t = self.transition.corrupt(x_0, t, noise)
        logits = self(x_t, t, self.training_condition(batch["text"], noise))
        loss = self.loss(self.transition, logits, x_0, x_t, t, probability)
        self._step_losses.append((t, loss.per_clip))
        self.log("train/loss", loss.total, prog_bar=True)
        return loss.total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.timesteps.update(*(torch.cat(parts) for parts in zip(*self._step_losses, strict=True)))
        self._step_losses.clear()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Bound in nats per token, and accuracy on corrupted tokens by quarter of T; the same noise every time."""
        x_0, steps = batch["tokens"], self.transition.num_timesteps
        noise = BatchNoise.of_evaluation(self._trainer, batch_idx, self.device)
        spread = noise.places(len(x_0)) / (len(x_0) * noise.world_size) + 0.618 * batch_idx
        t = (spread % 1 * steps).long() + 1
        x_t = self.transition.corrupt(x_0, t, noise)
        logits = self(x_t, t, self.condition(batch["text"]))
        terms = bound_term(self.transition, self.loss.unweighted(logits, x_t), x_0, x_t, t)
        bound = terms.mean() * steps + self.transition.prior_divergence()
        self._log(f"{self.phase}/bound", bound, len(x_0), prog_bar=True)
        right, corrupted = logits.argmax(-1) == x_0, x_t != x_0
        for name, group in [("", corrupted)] + [(f"_t{q + 1}of4", corrupted & ((t - 1) * 4 // steps == q)[:, None])
                                                for q in range(4)]:
            count = int(group.sum())  # may be 0 here and not in another process, which waits for this one's share
            self._log(f"{self.phase}/accuracy{name}", (right & group).sum() / max(count, 1), count)

    def _log(self, name: str, value: Tensor, weight: int, **options: Any) -> None:
        # Lightning takes the mean of the processes' weights without its fraction: times their number it has none.
        self.log(name, value, batch_size=weight * self.trainer.world_size, sync_dist=True, **options)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict[str, Any]:
        return optimization(self, **self.optimization)

    @torch.no_grad()
    def generate(self, condition: Condition, columns: int, sampler: Sampler, generators: list[torch.Generator],
                 keep: Tensor | None = None, negative: Condition | None = None,
                 on_step: Callable[[int, Tensor], None] | None = None,
                 begin: tuple[Tensor, int] | None = None,
                 on_logits: Callable[[Tensor, Tensor, Tensor], None] | None = None) -> Tensor:
        """As `TokenDecoder.generate`; `begin` as `Sampler.sample`.

        `on_logits` is called before every step with x_t (B, L), t (B,) and the logits (B, L, K) of x_0 that the
        sampler goes by, guidance included.
        """
        network = self._fast(sampler.precision).prepare(
            self.steering(condition, sampler, columns, generators, negative))

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            if sampler.guided:
                logits, without = network(x_t.repeat(2, 1), t.repeat(2)).chunk(2)
                logits = sampler.steer(logits, without, (1 - t / self.transition.num_timesteps)[:, None, None])
            else:
                logits = network(x_t, t)
            logits = self.loss.unweighted(logits, x_t)
            if on_logits is not None:
                on_logits(x_t, t, logits)
            return logits

        return sampler.sample(denoise, self.transition, self.rows * columns, generators, keep, begin, on_step)

    def num_steps(self, sampler: Sampler, columns: int) -> int:
        return sampler.num_visits(self.transition.num_timesteps, self.rows * columns)

    def check_sampler(self, sampler: TokenSampler) -> None:
        if not isinstance(sampler, Sampler):
            raise ValueError(f"{type(sampler).__name__} cannot draw from {type(self).__name__}: name a "
                             "diffsound.diffusion.StridedSampler under text_to_sound.init_args.sampler")
        sampler.check(self.transition)

    def _fast(self, precision: Precision) -> FastDenoiser:
        """The denoiser laid out for sampling; kept while its weights are frozen and nobody wrote to them.

        (Writing through `parameter.data` leaves no trace: call `requires_grad_(False)` after it.) Several threads may
        ask at once, also for different precisions: each gets the one it asked for.
        """
        parameters = list(self.denoiser.parameters())
        if any(parameter.requires_grad or parameter.is_inference() for parameter in parameters):
            return FastDenoiser(self.denoiser, precision)
        state = precision, [(parameter.data_ptr(), parameter._version) for parameter in parameters]
        laid_out = self._laid_out
        if laid_out is None or laid_out[0] != state:
            self._laid_out = laid_out = state, FastDenoiser(self.denoiser, precision)
        return laid_out[1]

    def requires_grad_(self, requires_grad: bool = True) -> DiscreteDiffusion:
        self._laid_out = None
        return super().requires_grad_(requires_grad)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_laid_out": None}  # a copy has weights of its own
