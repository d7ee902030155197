"""What happens around training and prediction: one callback a file."""

from __future__ import annotations

import importlib
from typing import Any

_FILES = {"AveragedWeights": "averaged_weights", "ClipWriter": "clip_writer", "LastCheckpoint": "last_checkpoint",
          "MelPictures": "mel_pictures", "SeededSteps": "seeded_steps"}
__all__ = list(_FILES)


def __getattr__(name: str) -> Any:
    """Import a callback when a recipe names it: each belongs to one stage."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"diffsound.callbacks.{_FILES[name]}"), name)
