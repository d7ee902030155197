"""The optimizer and learning-rate schedule that every stage uses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau


class WarmUpThenPlateau(ReduceLROnPlateau):
    """The published schedule: a linear warm-up, then a smaller rate whenever the training loss stops falling.

    Stepped after every optimizer step with that step's loss. Same numbers as yangdongchao/Text-to-sound-Synthesis
    `Diffsound/sound_synthesis/engine/lr_scheduler.py`; the defaults are its settings.

    Args:
        optimizer: its rate is where the warm-up ends.
        warmup_steps: how long the rate rises from `start_rate`; meanwhile the loss is not looked at.
        start_rate: of the first step; the optimizer's rate if that is lower.
        factor, patience: after more than `patience` steps in a row without improvement the rate is times `factor`.
        threshold: an improvement is a loss below (1 - threshold) of the best so far.
        min_rate: the rate never falls below.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, warmup_steps: int, start_rate: float = 3e-6,
                 factor: float = 0.5, patience: int = 25_000, threshold: float = 0.1, min_rate: float = 1e-6) -> None:
        super().__init__(optimizer, factor=factor, patience=patience, threshold=threshold, min_lr=min_rate)
        self.warmup_steps, self.start_rate = warmup_steps, start_rate
        self.end_rates = [group["lr"] for group in optimizer.param_groups]
        if warmup_steps:
            self._warm_up()

    def step(self, loss: Tensor | float) -> None:
        if self.last_epoch < self.warmup_steps:
            self.last_epoch += 1
            self._warm_up()
        else:
            super().step(loss)

    def _warm_up(self) -> None:
        for group, end in zip(self.optimizer.param_groups, self.end_rates, strict=True):
            start = min(self.start_rate, end)
            group["lr"] = start + self.last_epoch / self.warmup_steps * (end - start)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon for some matrices and AdamW for the other parameters, as one optimizer.

    Muon, arXiv:2502.16982: the step is the orthogonalised momentum, of the size that AdamW's would have.

    Args:
        matrices: two-dimensional parameters.
        others: parameters of any shape.
        learning_rate, weight_decay: of both.
        betas: of AdamW; Muon's momentum is 0.95.
        fused: as torch.optim.AdamW has it.
    """

    def __init__(self, matrices: list[nn.Parameter], others: list[nn.Parameter], learning_rate: float,
                 betas: tuple[float, float], weight_decay: float = 0.0, fused: bool | None = None) -> None:
        self._parts = (
            torch.optim.Muon(matrices, learning_rate, weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, learning_rate, betas=betas, weight_decay=weight_decay, fused=fused))
        super().__init__([group for part in self._parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.state, part.param_groups = self.state, [group]  # both are replaced when a checkpoint is loaded
            part.step()
        return loss


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """The trainable matrices in the repeated blocks of `module`; not those that scale and shift a norm."""
    weights = {layer.weight: None for blocks in module.modules() if isinstance(blocks, nn.ModuleList)
               for name, layer in blocks.named_modules()
               if isinstance(layer, nn.Linear) and not name.endswith("modulation")}
    return [weight for weight in weights if weight.requires_grad]


def optimization(module: LightningModule, learning_rate: float, betas: tuple[float, float], weight_decay: float = 0.0,
                 warmup_steps: int = 0, decay: Literal["constant", "cosine", "plateau"] = "constant",
                 optimizer: Literal["adamw", "muon"] = "adamw") -> dict[str, Any]:
    """What `configure_optimizers` returns: an optimizer, and a schedule per step.

    Linear warm-up over `warmup_steps`, then constant, or half a cosine down to zero at the trainer's `max_steps`, or
    halved on a plateau of the training loss, which the module then hands on in `lr_scheduler_step`.

    Args:
        optimizer: "adamw" (plain Adam at weight_decay 0), or "muon": `Muon` for the hidden matrices of `module`.
    Raises:
        ValueError: if a cosine has no `max_steps` to end at, or there is no optimizer of that name.
    """
    if optimizer not in ("adamw", "muon"):
        raise ValueError(f"optimizer is {optimizer!r}, expected adamw or muon")
    parameters = [p for p in module.parameters() if p.requires_grad]
    # On a CPU, unfused AdamW takes a quarter of a small codec's step. Mixed precision wants to clip gradients itself.
    fused = (module.trainer.precision == "32-true" and all(p.device.type == "cpu" for p in parameters)) or None
    if optimizer == "muon":
        matrices = hidden_matrices(module)
        ids = {id(matrix) for matrix in matrices}
        method = Muon(matrices, [p for p in parameters if id(p) not in ids], learning_rate, betas, weight_decay, fused)
    else:
        method = torch.optim.AdamW(parameters, learning_rate, betas=betas, weight_decay=weight_decay, fused=fused)
    total = module.trainer.max_steps
    if decay == "cosine" and total < 1:
        raise ValueError(f"decay 'cosine' needs trainer.max_steps, found {total}: set it, or use decay: constant")

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, warmup_steps))
        if decay == "constant":
            return warm
        progress = min(1.0, max(0, step - warmup_steps) / max(1, total - warmup_steps))
        return warm * 0.5 * (1 + math.cos(math.pi * progress))

    if decay == "plateau":
        schedule = WarmUpThenPlateau(method, warmup_steps)
    else:
        schedule = torch.optim.lr_scheduler.LambdaLR(method, factor)
    return {"optimizer": method, "lr_scheduler": {"scheduler": schedule, "interval": "step",
                                                        # Lightning would step it after the step's checkpoint.
                                                        "reduce_on_plateau": False}}
