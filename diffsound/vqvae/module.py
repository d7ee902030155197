"""The codec: log-mel -> tokens -> log-mel, and its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.func import functional_call

from diffsound.checkpoint import Checkpointed, fingerprint
from diffsound.mel import RANGE_DB, LogMel, MelSettings
from diffsound.optimizer import optimization
from diffsound.vqvae.losses import (
    SOUNDING,
    PatchDiscriminator,
    ReconstructionLoss,
    discriminator_loss,
    generator_loss,
)
from diffsound.vqvae.networks import CELL, Decoder, Encoder
from diffsound.vqvae.quantizer import Quantized, Quantizer, perplexity


class VQVAE(Checkpointed, LightningModule):
    """Mel-spectrogram codec of Diffsound (arXiv:2207.09983), after SpecVQGAN (arXiv:2110.08791).

    Tokens are time-major: token `column * rows + row`, row 0 the lowest band, stands for 16 mel bins by 16 frames.
    Where the quantizer has several streams, so many rows beside each other stand for one band together.

    Args:
        mel: the spectrogram that it codes.
        encoder, decoder: networks of the same size.
        quantizer: what turns vectors into codes.
        embed_dim: length of the code vectors; must be the quantizer's.
        reconstruction: what the rebuilt mel is held to.
        train_encoder: false to train the way back alone: tokens stay what they are, and so do the decoders of them.
        discriminator: sharpens the rebuilt mels from step `discriminator_start` on; None trains without. Its weight is
            the constant that the published code arrives at: it clamps its adaptive weight to 1 and multiplies by 0.8.
        discriminator_start: step at which it comes in.
        discriminator_weight: of the loss that it gives the codec.
        learning_rate, betas, warmup_steps, decay: see `diffsound.optimizer.optimization`.
    """

    training_only = ("train_encoder",)

    def __init__(self, mel: MelSettings | dict, encoder: Encoder, decoder: Decoder, quantizer: Quantizer,
                 embed_dim: int, reconstruction: ReconstructionLoss, discriminator: PatchDiscriminator | None = None,
                 discriminator_start: int = 0, discriminator_weight: float = 0.8, learning_rate: float = 6.4e-5,
                 betas: tuple[float, float] = (0.5, 0.9), warmup_steps: int = 0,
                 decay: Literal["constant", "cosine"] = "constant", train_encoder: bool = True) -> None:
        super().__init__()
        self.mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        if self.mel.n_mels % CELL:
            raise ValueError(f"mel.n_mels {self.mel.n_mels} must be a multiple of {CELL}, the height of a token")
        if quantizer.embed_dim != embed_dim:
            raise ValueError(f"embed_dim is {embed_dim}, but the codes of {type(quantizer).__name__} have "
                             f"{quantizer.embed_dim} numbers: set the codec's embed_dim to {quantizer.embed_dim}")
        self.log_mel = LogMel(self.mel)
        self.encoder, self.decoder, self.quantize = encoder, decoder, quantizer
        self.quant_conv = nn.Conv2d(encoder.z_channels, embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, decoder.z_channels, 1)
        self.reconstruction, self.discriminator = reconstruction, discriminator
        self.to(memory_format=torch.channels_last)  # convolutions are a fifth faster on a CPU
        self.discriminator_start, self.discriminator_weight = discriminator_start, discriminator_weight
        self.learning_rate, self.betas = learning_rate, tuple(betas)
        self.warmup_steps, self.decay = warmup_steps, decay
        self.train_encoder = train_encoder
        if not train_encoder:
            self.encoder.requires_grad_(False)
            self.quant_conv.requires_grad_(False)
            self.quantize.requires_grad_(False)

    def train(self, mode: bool = True) -> VQVAE:
        super().train(mode)
        self.quantize.train(mode and self.train_encoder)  # else the codes stay, without noise
        return self

    @property
    def codebook_size(self) -> int:
        return self.quantize.codebook_size

    @property
    def rows(self) -> int:
        return self.mel.n_mels // CELL * self.quantize.streams

    @property
    def fingerprint(self) -> str:
        """16 hex digits of what tokens depend on: sizes and weights from the mel to the codes, and the mel.

        Decoders and token stores go with every codec that has the same: it may sound better than their own.
        """
        return self._fingerprint("encoder", "quant_conv", "quantize")

    @property
    def whole_fingerprint(self) -> str:
        """16 hex digits of what tokens and rebuilt mels depend on, not of how they were trained."""
        return self._fingerprint("encoder", "quant_conv", "quantize", "post_quant_conv", "decoder")

    def _fingerprint(self, *names: str) -> str:
        parts = nn.ModuleDict({name: getattr(self, name) for name in names})
        arguments = {"encoder": "encoder", "decoder": "decoder", "quantize": "quantizer"}
        kept = ("mel", *(arguments[name] for name in names if name in arguments))
        parts.spec = {key: value for key, value in self.spec["init_args"].items() if key in kept}
        return fingerprint(parts)

    def forward(self, mel: Tensor) -> tuple[Tensor, Quantized]:
        """Rebuilds `mel`.

        Args:
            mel: (B, n_mels, frames) in [0, 1], frames a multiple of 16.
        Returns:
            the rebuilt mel of the same shape, not clipped to [0, 1], and the codes on the way.
        """
        quantized = self.quantize(self._latent(mel))
        return self._picture(quantized.z_q), quantized

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """Tokens of `waveform`.

        Args:
            waveform: (B, N) mono samples in [-1, 1] at `mel.sample_rate` Hz.
        Returns:
            (B, rows * columns) int64 in 0..codebook_size - 1, with columns = N // hop_length // 16.
        Raises:
            ValueError: if N is shorter than one column of tokens.
        """
        return self.encode_mel(self.log_mel(waveform))

    @torch.no_grad()
    def encode_mel(self, mel: Tensor) -> Tensor:
        """Tokens (B, rows * columns) of a mel (B, n_mels, frames) in [0, 1]; frames beyond the last column are cut.

        Raises:
            ValueError: if there are fewer than 16 frames, or not `n_mels` bands.
        """
        if mel.shape[1] != self.mel.n_mels:
            raise ValueError(f"a mel of {mel.shape[1]} bands came to a codec of mel.n_mels = {self.mel.n_mels}")
        with torch.autocast(mel.device.type, enabled=False):  # the same tokens whatever the trainer's precision
            codes = self.quantize.lookup(self._latent(whole_columns(mel.float())))
        return codes.transpose(1, 2).flatten(1)

    @torch.no_grad()
    def decode(self, tokens: Tensor, columns: int) -> Tensor:
        """The mel that `tokens` stand for.

        Args:
            tokens: (B, rows * columns) int64 in 0..codebook_size - 1; the mask code is no code.
        Returns:
            (B, n_mels, 16 * columns) float32 in [0, 1].
        Raises:
            ValueError: if the length does not fit `columns`, or a token is out of range.
        """
        if tokens.shape[-1] != self.rows * columns:
            raise ValueError(f"{tokens.shape[-1]} tokens do not fill {columns} columns of {self.rows} rows: expected "
                             f"{self.rows * columns}; set the decoder's rows to {self.rows}")
        if tokens.numel() and not 0 <= tokens.min() <= tokens.max() < self.codebook_size:
            raise ValueError(f"tokens from {int(tokens.min())} to {int(tokens.max())} came to a codec with codes "
                             f"0..{self.codebook_size - 1}: check codebook_size, and that no mask is left")
        codes = tokens.unflatten(1, (columns, self.rows)).transpose(1, 2)
        with torch.autocast(tokens.device.type, enabled=False):
            return self._picture(self.quantize.embed(codes)).clamp(0, 1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        mel = whole_columns(self.log_mel(batch["waveform"]))
        rebuilt, quantized = self(mel)
        error = self.reconstruction(rebuilt, mel)
        loss = error + quantized.loss
        counts = torch.bincount(quantized.indices.flatten(), minlength=self.codebook_size)
        logs = {"train/reconstruction": error, "train/quantizer": quantized.loss,
                "train/perplexity": perplexity(counts)}
        if self.discriminator is not None:
            generator, discriminator = self._adversarial_losses(mel, rebuilt)
            loss = loss + self.discriminator_weight * generator + discriminator
            logs |= {"train/generator": generator, "train/discriminator": discriminator}
        self.log_dict({"train/loss": loss} | logs, batch_size=len(mel))
        return loss

    def _adversarial_losses(self, mel: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor]:
        """What codec and discriminator each minimise.

        One optimizer trains both, so that `global_step` counts batches, and accumulation, clipping, precision and
        resuming stay Lightning's. Detaching keeps them apart: the codec meets a discriminator with constant weights,
        the discriminator meets constant pictures.
        """
        real, fake = (2 * x[:, None] - 1 for x in (mel, rebuilt))
        weights = dict(self.discriminator.named_parameters())
        if self.global_step < self.discriminator_start:  # zero, yet with a gradient: DDP waits for every weight's
            return fake.new_zeros(()), sum(weight.sum() * 0.0 for weight in weights.values())
        constant = {name: weight.detach() for name, weight in weights.items()}
        generator = generator_loss(functional_call(self.discriminator, constant, fake))
        return generator, discriminator_loss(self.discriminator(real), self.discriminator(fake.detach()))

    def on_validation_epoch_start(self) -> None:
        # no buffer: the averaging callback exchanges buffers at both ends of a validation
        self._code_counts = torch.zeros(self.codebook_size, device=self.device)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        waveform = batch["waveform"]
        mel = whole_columns(self.log_mel(waveform))
        rebuilt, quantized = self(mel)
        self._code_counts += torch.bincount(quantized.indices.flatten(), minlength=self.codebook_size)
        tokens, louder = self.encode(waveform), self.encode(waveform * 10 ** (0.1 / 20))
        error_db = RANGE_DB * (rebuilt.clamp(0, 1) - mel).abs()
        sounding = mel > SOUNDING
        self.log_dict({
            f"{self.phase}/loss": self.reconstruction(rebuilt, mel) + quantized.loss,
            f"{self.phase}/mel_db": error_db.mean(),
            f"{self.phase}/mel_db_sounding": (error_db * sounding).sum() / sounding.sum().clamp(min=1),
            f"{self.phase}/flip_rate": (tokens != louder).float().mean(),  # tokens that another 0.1 dB of gain changes
        }, batch_size=len(mel), on_epoch=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        counts = self.trainer.strategy.reduce(self._code_counts, reduce_op="sum")
        self.log_dict({f"{self.phase}/perplexity": perplexity(counts),
                       f"{self.phase}/codes_used": (counts > 0).sum().float()}, sync_dist=True)

    def on_test_epoch_start(self) -> None:
        self.on_validation_epoch_start()

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self.on_validation_epoch_end()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A discriminator begins anew where the checkpoint has none."""
        state = checkpoint.get("state_dict", {})
        if state and not any(name.startswith("discriminator.") for name in state):
            own = {name: value for name, value in self.state_dict().items() if name.startswith("discriminator.")}
            checkpoint["state_dict"] = state | own
        super().on_load_checkpoint(checkpoint)

    def configure_optimizers(self) -> dict[str, Any]:
        return optimization(self, self.learning_rate, self.betas, warmup_steps=self.warmup_steps, decay=self.decay)

    def _latent(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) in [0, 1] -> (B, embed_dim, rows, columns), not quantised."""
        return self.quant_conv(self.encoder(2 * mel[:, None] - 1))

    def _picture(self, z_q: Tensor) -> Tensor:
        """Inverse of `_latent`: (B, n_mels, frames), about [0, 1]."""
        return (self.decoder(self.post_quant_conv(z_q))[:, 0].float() + 1) / 2


def whole_columns(mel: Tensor) -> Tensor:
    """`mel` (B, n_mels, frames) without the frames that do not fill a column of tokens.

    Raises:
        ValueError: if there is not even one column.
    """
    columns = mel.shape[-1] // CELL
    if columns == 0:
        raise ValueError(f"a mel of {mel.shape[-1]} frames is shorter than one column of tokens ({CELL} frames): "
                         "use longer clips (frames), or pad them")
    return mel[..., : CELL * columns]


def trained(path: str) -> VQVAE:
    """The codec of a checkpoint, or of a bundle (see `diffsound.pretrained.find`), as a recipe can name it.

    Args:
        path: a checkpoint of stage vqvae, or a bundle's folder, name or hub id.
    """
    if Path(path).is_file() or path.endswith(".ckpt"):
        return VQVAE.from_checkpoint(path)
    from diffsound.bundle import read_bundle  # which needs this module
    from diffsound.pretrained import find

    return read_bundle(find(path).folder).codec
