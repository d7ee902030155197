"""Where the project lies, and weights among the numbers of the original code."""

from __future__ import annotations

from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def state_dict_of(tensors: dict[str, torch.Tensor], prefix: str = "state_dict.") -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
