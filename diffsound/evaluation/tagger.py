"""The judge: hears which sounds of the scenes occur when, in a waveform."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from diffsound.checkpoint import Checkpointed
from diffsound.evaluation.order import score, summarise
from diffsound.mel import LogMel, MelSettings
from diffsound.optimizer import adam
from diffsound.scenes import SOUNDS, Event, Structure

STRIDE = 4  # mel frames in one frame of the tagger
ONSET_WEIGHT = 4.0  # onsets are rare
GAP = 0.35  # seconds of pause within which a sustained sound is still the same one
SHORTEST = {True: 0.08, False: 0.3}  # seconds of activity that count as a sound, if momentary and if sustained


class ResidualBlock(nn.Module):
    """Two convolutions over time around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1),
            nn.BatchNorm1d(channels), nn.ReLU(), nn.Conv1d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class EventTagger(Checkpointed, LightningModule):
    """For every frame and class: does it sound, and does it begin? Convolutions over time, then a GRU both ways.

    Trained on scenes; it judges whatever claims to sound like them.

    Args:
        mel: the spectrogram it listens to.
        classes: names from `SOUNDS`; all of them by default.
        channels: width; 128 makes 0.6 M parameters.
        noise: standard deviation of what is added to the mel in training, so that the coarser texture of decoded mels
            does not surprise it.
    """

    def __init__(self, mel: MelSettings | dict, classes: list[str] | None = None, channels: int = 128, blocks: int = 4,
                 noise: float = 0.03, learning_rate: float = 2e-3, betas: tuple[float, float] = (0.9, 0.99),
                 warmup_steps: int = 50, decay: Literal["constant", "cosine"] = "cosine") -> None:
        super().__init__()
        self.mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        self.classes = list(classes or SOUNDS)
        if unknown := set(self.classes) - set(SOUNDS):
            raise ValueError(f"tagger.classes holds {sorted(unknown)}: expected names among {', '.join(SOUNDS)}")
        self.log_mel = LogMel(self.mel)
        self.convolutions = nn.Sequential(
            nn.Conv1d(self.mel.n_mels, channels, 5, padding=2), nn.BatchNorm1d(channels), nn.ReLU(),
            nn.Conv1d(channels, channels, STRIDE, STRIDE), *(ResidualBlock(channels) for _ in range(blocks)))
        self.recurrence = nn.GRU(channels, channels // 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(channels, 2 * len(self.classes))
        self.noise = noise
        self.learning_rate, self.betas, self.warmup_steps, self.decay = learning_rate, betas, warmup_steps, decay

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of "sounds" and of "begins", each (B, classes, frames // 4), of a log-mel (B, n_mels, frames)."""
        x = self.convolutions(4 * mel - 1).transpose(1, 2)
        x = x + self.recurrence(x)[0]
        return self.head(x).transpose(1, 2).chunk(2, dim=1)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        mel = self.log_mel(batch["waveform"])
        loss = self._loss(mel + self.noise * torch.randn_like(mel), batch["timeline"])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        size = len(batch["waveform"])
        loss = self._loss(self.log_mel(batch["waveform"]), batch["timeline"])
        self.log("val/loss", loss, batch_size=size, sync_dist=True)
        scores = [score(heard, Structure(**asked))
                  for heard, asked in zip(self.listen(batch["waveform"]), batch["structure"], strict=True)]
        for name, value in summarise(scores).items():
            self.log(f"val/{name}", value, prog_bar=name == "exact", batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> dict:
        return adam(self, self.learning_rate, self.betas, warmup_steps=self.warmup_steps, decay=self.decay)

    @torch.no_grad()
    def listen(self, waveform: Tensor) -> list[list[Event]]:
        """The timeline heard in each clip of `waveform` (B, N), by onset."""
        sounds, begins = (logits.sigmoid().cpu() for logits in self(self.log_mel(waveform)))
        return [timeline(*one, self.classes, self.frame_seconds) for one in zip(sounds, begins, strict=True)]

    @property
    def frame_seconds(self) -> float:
        return STRIDE * self.mel.hop_length / self.mel.sample_rate

    def _loss(self, mel: Tensor, timelines: list[list[dict]]) -> Tensor:
        sounds, begins = self(mel)
        is_sounding, is_beginning = (target.to(mel) for target in self.targets(timelines, sounds.shape[-1]))
        return (F.binary_cross_entropy_with_logits(sounds, is_sounding)
                + F.binary_cross_entropy_with_logits(begins, is_beginning, pos_weight=mel.new_tensor(ONSET_WEIGHT)))

    def targets(self, timelines: list[list[dict]], frames: int) -> tuple[Tensor, Tensor]:
        """What `forward` should say, (B, classes, frames) each: 1 while a class sounds; 1 where it begins, fading
        over the neighbouring frames."""
        is_sounding = torch.zeros(len(timelines), len(self.classes), frames)
        is_beginning = torch.zeros_like(is_sounding)
        centre = torch.arange(frames) + 0.5
        for clip, events in enumerate(timelines):
            for event in events:
                if event["name"] in self.classes:
                    row = self.classes.index(event["name"])
                    onset, offset = event["onset"] / self.frame_seconds, event["offset"] / self.frame_seconds
                    is_sounding[clip, row] += (centre > onset) & (centre < offset)
                    is_beginning[clip, row] += (1 - (centre - onset - 0.5).abs() / 1.5).clamp(min=0)
        return is_sounding.clamp(max=1), is_beginning.clamp(max=1)


def timeline(sounds: Tensor, begins: Tensor, classes: list[str], frame_seconds: float, threshold: float = 0.5
             ) -> list[Event]:
    """Probabilities (classes, frames) of "sounds" and "begins" to events, by onset.

    A sustained class is one event from its first to its last active frame, unless it pauses. A momentary one is cut
    into repetitions where it begins anew.
    """
    events = []
    for name, active, beginning in zip(classes, sounds > threshold, begins, strict=True):
        momentary = SOUNDS[name].momentary
        onsets = _peaks(beginning, threshold) if momentary else []
        for start, stop in _runs(active, gap=1 if momentary else 1 + round(GAP / frame_seconds)):
            if (stop - start) * frame_seconds < SHORTEST[momentary]:
                continue
            cuts = [start, *(onset for onset in onsets if start + 2 < onset < stop - 1), stop]
            events += [Event(name, a * frame_seconds, b * frame_seconds)
                       for a, b in zip(cuts, cuts[1:], strict=False)]
    return sorted(events, key=lambda event: event.onset)


def _runs(active: Tensor, gap: int) -> list[tuple[int, int]]:
    """(start, stop) of the stretches of true frames, joined over fewer than `gap` false ones."""
    runs: list[tuple[int, int]] = []
    for frame in active.nonzero().flatten().tolist():
        if runs and frame - runs[-1][1] < gap:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs


def _peaks(curve: Tensor, threshold: float) -> list[int]:
    """Frames above `threshold` that are the largest within two frames either side."""
    highest = F.max_pool1d(curve[None], 5, stride=1, padding=2)[0]
    return ((curve == highest) & (curve > threshold)).nonzero().flatten().tolist()
