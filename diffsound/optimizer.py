"""The optimizer and learning-rate schedule that every stage uses."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule


def adam(module: LightningModule, learning_rate: float, betas: tuple[float, float], weight_decay: float = 0.0,
         warmup_steps: int = 0, decay: Literal["constant", "cosine"] = "constant") -> dict[str, Any]:
    """What `configure_optimizers` returns: AdamW (plain Adam at weight_decay 0), a schedule per step.

    Linear warm-up over `warmup_steps`, then constant, or half a cosine down to zero at the trainer's `max_steps`.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    # On a CPU, unfused AdamW takes a quarter of a small codec's step. Mixed precision wants to clip gradients itself.
    fused = module.trainer.precision == "32-true" and all(p.device.type == "cpu" for p in parameters)
    optimizer = torch.optim.AdamW(parameters, learning_rate, betas=betas, weight_decay=weight_decay,
                                  fused=True if fused else None)
    total = module.trainer.max_steps
    if decay == "cosine" and total < 1:
        raise ValueError(f"decay 'cosine' needs trainer.max_steps, found {total}: set it, or use decay: constant")

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, warmup_steps))
        if decay == "constant":
            return warm
        progress = min(1.0, max(0, step - warmup_steps) / max(1, total - warmup_steps))
        return warm * 0.5 * (1 + math.cos(math.pi * progress))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
