"""Log-mel to waveform: MelGAN, and Griffin-Lim for when there is nothing trained yet."""

from diffsound.vocoder.griffin_lim import GriffinLim
from diffsound.vocoder.module import MelGAN
from diffsound.vocoder.networks import Discriminator, Generator

__all__ = ["Discriminator", "Generator", "GriffinLim", "MelGAN"]
