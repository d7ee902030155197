"""Log-mel to waveform."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.func import functional_call

from diffsound.checkpoint import Checkpointed
from diffsound.mel import RANGE_DB, LogMel, MelSettings
from diffsound.optimizer import optimization
from diffsound.processes import BatchNoise
from diffsound.vocoder.losses import (
    LONGEST_WINDOW,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    multi_resolution_stft,
)
from diffsound.vocoder.networks import Discriminator, Generator

SILENCE = 0.02  # a frame whose loudest band is below this (-78 dB) fades out, and is silent at 0


class MelGAN(Checkpointed, LightningModule):
    """Vocoder of arXiv:1910.06711, trained on random segments of real waveforms.

    Args:
        mel: the spectrogram that it inverts.
        generator: its hop length and mel bands must be those of `mel`.
        discriminator: None trains without an adversary; give `mel_weight` or `stft_weight` then.
        segment: samples of one training example, a multiple of the hop length.
        discriminator_start: step at which the adversary comes in.
        adversarial_weight, feature_matching_weight: of the two losses that it gives.
        mel_weight, stft_weight: weights of the L1 distance of log-mels and of the multi-resolution STFT distance. Not
            in the paper: a small generator learns from them in minutes what the adversary takes days to teach.
        random_gain: scale every clip by U(0.3, 1).
        learning_rate, betas, warmup_steps, decay: see `diffsound.optimizer.optimization`.
        fade_silence: make samples silent where the mel is, which a network alone does not do. The published one has
            no such gate.
    Raises:
        ValueError: if generator, mel and segment do not fit, or if nothing is left to learn from.
    """

    def __init__(self, mel: MelSettings | dict, generator: Generator, discriminator: Discriminator | None = None,
                 segment: int = 8192, discriminator_start: int = 0, adversarial_weight: float = 1.0,
                 feature_matching_weight: float = 10.0, mel_weight: float = 0.0, stft_weight: float = 0.0,
                 random_gain: bool = False, learning_rate: float = 1e-4, betas: tuple[float, float] = (0.5, 0.9),
                 warmup_steps: int = 0, decay: Literal["constant", "cosine"] = "constant",
                 fade_silence: bool = True) -> None:
        super().__init__()
        self.mel = mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        if (generator.hop_length, generator.n_mels) != (mel.hop_length, mel.n_mels):
            raise ValueError(f"the vocoder makes {generator.hop_length} samples of a frame of {generator.n_mels} bands "
                             f"but mel.hop_length is {mel.hop_length} and mel.n_mels {mel.n_mels}: change "
                             "generator.ratios (their product is the hop length) and generator.n_mels")
        longest = max(mel.n_fft, LONGEST_WINDOW if stft_weight else 0)
        if segment % mel.hop_length or segment < longest:
            raise ValueError(f"vocoder.segment {segment} must be a multiple of mel.hop_length = {mel.hop_length} and "
                             f"at least {longest}, the longest window of its losses")
        if not (mel_weight or stft_weight) and (discriminator is None or discriminator_start):
            raise ValueError("the vocoder has nothing to learn from at first: set vocoder.mel_weight or stft_weight, "
                             "or a vocoder.discriminator with discriminator_start 0")
        self.log_mel = LogMel(mel)
        self.generator, self.discriminator = generator, discriminator
        self.segment, self.discriminator_start, self.random_gain = segment, discriminator_start, random_gain
        self.adversarial_weight, self.feature_matching_weight = adversarial_weight, feature_matching_weight
        self.mel_weight, self.stft_weight, self.fade_silence = mel_weight, stft_weight, fade_silence
        self.learning_rate, self.betas, self.warmup_steps, self.decay = learning_rate, betas, warmup_steps, decay

    def forward(self, mel: Tensor) -> Tensor:
        """Waveform (B, frames * hop_length) of a log-mel (B, n_mels, frames) in [0, 1].

        Silent where the mel is 0, if `fade_silence`.
        """
        if not self.fade_silence:
            return self.generator(mel).float()
        loudness = (mel.amax(1, keepdim=True) / SILENCE).clamp(0, 1)
        gate = F.interpolate(loudness.float(), scale_factor=self.mel.hop_length, mode="linear").squeeze(1)
        # Interpolation puts frame i at the middle of its hop, the spectrogram at its start: half a hop earlier.
        gate = F.pad(gate, (0, self.mel.hop_length // 2), mode="replicate")[:, -gate.shape[-1]:]
        return self.generator(mel).float() * gate

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        noise = BatchNoise.of_training(self._trainer, batch_idx, torch.device("cpu"))
        real, mel = self._segments(batch["waveform"], noise)
        fake = self(mel)
        terms = {}
        if self.mel_weight:
            terms["mel"] = self.mel_weight * F.l1_loss(self.log_mel(fake), self.log_mel(real))
        if self.stft_weight:
            terms["stft"] = self.stft_weight * multi_resolution_stft(fake, real)
        if self.discriminator is not None and self.global_step >= self.discriminator_start:
            terms |= self._adversarial_terms(fake, real)
        for name, value in terms.items():
            self.log(f"train/{name}", value)
        loss = sum(terms.values())
        if self.discriminator is not None and self.global_step < self.discriminator_start:
            loss = loss + sum(0.0 * weight.sum() for weight in self.discriminator.parameters())  # DDP waits for them
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        mel = self.log_mel(batch["waveform"])
        error = (self.log_mel(self(mel)) - mel).abs().mean() * RANGE_DB
        self.log(f"{self.phase}/mel_db", error, prog_bar=True, batch_size=len(mel), sync_dist=True)

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict:
        return optimization(self, self.learning_rate, self.betas, warmup_steps=self.warmup_steps, decay=self.decay)

    def _adversarial_terms(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Both players' losses, to be added up and stepped by one optimizer.

        Each must leave the other alone: the generator is judged by a discriminator whose parameters are detached, the
        discriminator sees detached samples. One optimizer lets Lightning count, accumulate, clip and resume as usual.
        """
        judge = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        judged = functional_call(self.discriminator, judge, (fake,))
        maps_fake, maps_real = self.discriminator(fake.detach()), self.discriminator(real)
        return {"adversarial": self.adversarial_weight * generator_hinge(judged),
                "feature_matching": self.feature_matching_weight * feature_matching(judged, maps_real),
                "discriminator": discriminator_hinge(maps_fake, maps_real)}

    def _segments(self, waveform: Tensor, noise: BatchNoise) -> tuple[Tensor, Tensor]:
        """A random (B, segment) of each clip and its mel, cut from the whole clip's so that its edges have context."""
        if self.random_gain:
            gain = 0.3 + 0.7 * noise.rand(len(waveform), 1)
            waveform = waveform * gain.to(waveform)
        mel, hop = self.log_mel(waveform), self.mel.hop_length
        frames = min(self.segment // hop, mel.shape[-1])
        start = noise.randint(mel.shape[-1] - frames + 1, len(mel), 1).to(mel.device)
        frame = start + torch.arange(frames, device=mel.device)
        sample = start * hop + torch.arange(frames * hop, device=mel.device)
        return waveform.gather(1, sample), mel.gather(2, frame[:, None].expand(-1, mel.shape[1], -1))
