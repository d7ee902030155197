"""A module that is used, but neither trained, averaged nor saved by the module that holds it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Frozen:
    """Keeps `module` out of its owner's parameters and state; moves it to the owner's device when called."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)

    def __call__(self, *inputs: Any, device: torch.device) -> Any:
        if next(self.module.parameters()).device != device:
            self.module.to(device)
        return self.module(*inputs)

    def __deepcopy__(self, memo: dict) -> Frozen:  # a moving average of the owner must not copy it
        return self
