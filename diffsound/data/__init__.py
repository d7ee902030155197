"""Files to batches: {"waveform": (B, N), "text": list[str]}, or {"tokens": (B, L), "text": list[str]}."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffsound.data.joined import JoinedDataModule
    from diffsound.data.label_text import LabelText
    from diffsound.data.mixing import Mixing
    from diffsound.data.modules import AudioTextDataModule, TokenDataModule
    from diffsound.data.prompts import PromptDataModule

__all__ = ["AudioTextDataModule", "JoinedDataModule", "LabelText", "Mixing", "PromptDataModule", "TokenDataModule"]
_FILES = {"JoinedDataModule": "joined", "LabelText": "label_text", "Mixing": "mixing", "PromptDataModule": "prompts"}


def __getattr__(name: str) -> Any:
    """Import the classes when they are named: `diffsound manifest` needs neither torch nor Lightning."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"diffsound.data.{_FILES.get(name, 'modules')}"), name)
