"""Sound to text: says what it hears, so that captions can be compared with what was asked for."""

from diffsound.captioner.module import Captioner
from diffsound.captioner.networks import MelEncoder, TextDecoder

__all__ = ["Captioner", "MelEncoder", "TextDecoder"]
