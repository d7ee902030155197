"""Log-mel -> tokens -> log-mel."""

from diffsound.vqvae.losses import PatchDiscriminator, ReconstructionLoss
from diffsound.vqvae.module import VQVAE, trained
from diffsound.vqvae.networks import Decoder, Encoder
from diffsound.vqvae.quantizer import Codebook, EMACodebook, FiniteScalar, Quantized, Quantizer

__all__ = ["VQVAE", "Codebook", "Decoder", "EMACodebook", "Encoder", "FiniteScalar", "PatchDiscriminator",
           "Quantized", "Quantizer", "ReconstructionLoss", "trained"]
