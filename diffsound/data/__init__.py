"""Files to batches: {"waveform": (B, N), "text": list[str]}, or {"tokens": (B, L), "text": list[str]}."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffsound.data.label_text import LabelText
    from diffsound.data.modules import AudioTextDataModule, TokenDataModule
    from diffsound.data.prompts import PromptDataModule

__all__ = ["AudioTextDataModule", "LabelText", "PromptDataModule", "TokenDataModule"]


def __getattr__(name: str) -> Any:
    """Import the data modules when they are named: `diffsound manifest` needs neither torch nor Lightning."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file = {"PromptDataModule": "prompts", "LabelText": "label_text"}.get(name, "modules")
    return getattr(importlib.import_module(f"diffsound.data.{file}"), name)
