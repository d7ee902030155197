"""Text to sound by discrete diffusion over mel-spectrogram tokens."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffsound.text_to_sound import TextToSound

__all__ = ["TextToSound"]


def __getattr__(name: str) -> Any:  # the command's help must not wait for torch
    if name == "TextToSound":
        from diffsound.text_to_sound import TextToSound

        return TextToSound
    raise AttributeError(f"module 'diffsound' has no attribute {name!r}")
