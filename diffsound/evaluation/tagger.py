"""The judge: hears which sounds of the scenes occur when, in a waveform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from diffsound.checkpoint import Checkpointed
from diffsound.evaluation.order import score, summarise
from diffsound.evaluation.rough_mel import rough_mel
from diffsound.mel import LogMel, MelSettings
from diffsound.optimizer import optimization
from diffsound.scenes import SOUNDS, Event, Structure

STRIDE = 4  # mel frames in one frame of the tagger
ONSET_WEIGHT = 4.0  # onsets are rare
MANNER_WEIGHT = 1.0
SAID, SAID_WEIGHT = 1 / 6, 4.0  # positions this far from the middle have a word; most are ordinary, with none
UNDER_DB = (-14.0, 0.0)  # level of a clip mixed under another in training
# Seconds of pause within which a sound is still the same one, and seconds of activity that count as a sound.
MOMENTARY_LIMITS, SUSTAINED_LIMITS = (0.0, 0.08), (0.35, 0.3)
MANNER = ("pitch", "rate", "level", "distance")  # what it estimates of a sound; length and number are in the timeline


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
    """For every frame and class: does it sound, does it begin, and is it high, fast, loud, far?

    Trained on scenes, it judges what claims to be one.

    Two convolutions over frequency and time find lines and edges at any pitch, which stand out from a background too;
    residual convolutions over time and a GRU both ways tell what they are.

    Args:
        mel: the spectrogram it listens to.
        classes: names from `SOUNDS`; all of them by default.
        channels, blocks: width and depth; 128 and 4 make 0.6 M parameters.
        mix: the share of training clips under which another one is mixed, for few scenes have sounds that overlap.
        roughen: the share of training clips that get hiss, a blurred mel and a noisy one, so that it hears through
            what a codec and a vocoder leave.
        learning_rate, betas, warmup_steps, decay: see `diffsound.optimizer.optimization`.
    """

    def __init__(self, mel: MelSettings | dict, classes: list[str] | None = None, channels: int = 128, blocks: int = 4,
                 mix: float = 0.5, roughen: float = 0.5, learning_rate: float = 2e-3,
                 betas: tuple[float, float] = (0.9, 0.99), warmup_steps: int = 50,
                 decay: Literal["constant", "cosine"] = "cosine") -> None:
        super().__init__()
        self.mel = MelSettings(**mel) if isinstance(mel, dict) else mel
        self.classes = list(classes or SOUNDS)
        if unknown := set(self.classes) - set(SOUNDS):
            raise ValueError(f"tagger.init_args.classes holds {sorted(unknown)}: expected names among "
                             f"{', '.join(SOUNDS)}")
        self.log_mel = LogMel(self.mel)
        rows = math.ceil(self.mel.n_mels / STRIDE)
        self.stem = nn.Sequential(
            nn.Unflatten(1, (1, self.mel.n_mels)),
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(1, 2), nn.Conv1d(32 * rows, channels, 1))
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.recurrence = nn.GRU(channels, channels // 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(channels, 2 * len(self.classes))
        self.manner = nn.Sequential(nn.Linear(channels, channels), nn.ReLU())
        self.manner_of_any = nn.Linear(channels, len(MANNER))  # loud is loud: learnt from all classes together
        self.manner_of_each = nn.Linear(channels, len(MANNER) * len(self.classes))
        self.mix, self.roughen = mix, roughen
        self.learning_rate, self.betas, self.warmup_steps, self.decay = learning_rate, betas, warmup_steps, decay

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What it hears in a log-mel (B, n_mels, frames).

        Returns:
            logits of "sounds" and of "begins", (B, classes, frames / 4) each; logits of the positions of a sound, if
            there is one, in the ranges of its class, (B, 4, classes, frames / 4) in the order of `MANNER`.
        """
        hidden = self.hidden(mel)
        sounds, begins = self.head(hidden).transpose(1, 2).chunk(2, dim=1)
        manner = self.manner(hidden)
        each = self.manner_of_each(manner).transpose(1, 2).unflatten(1, (len(MANNER), len(self.classes)))
        return sounds, begins, self.manner_of_any(manner).transpose(1, 2).unsqueeze(2) + each

    def hidden(self, mel: Tensor) -> Tensor:
        """(B, frames / 4, channels), all that the answers of `forward` are read from."""
        x = self.blocks(self.stem(mel)).transpose(1, 2)
        return x + self.recurrence(x)[0]

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        waveform, timelines = self._mixed(batch["waveform"], batch["timeline"])
        loss = self._loss(rough_mel(waveform, self.log_mel, self.roughen), timelines)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        size = len(batch["waveform"])
        loss = self._loss(self.log_mel(batch["waveform"]), batch["timeline"])
        self.log(f"{self.phase}/loss", loss, batch_size=size, sync_dist=True)
        scores = [score(heard, Structure.from_dict(asked))
                  for heard, asked in zip(self.listen(batch["waveform"]), batch["structure"], strict=True)]
        summary = summarise(scores)
        for name in ("f1", "exact"):  # not every batch asks for an order or an overlap
            self.log(f"{self.phase}/{name}", summary[name], prog_bar=True, batch_size=size, sync_dist=True)

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict:
        return optimization(self, self.learning_rate, self.betas, warmup_steps=self.warmup_steps, decay=self.decay)

    @torch.no_grad()
    def listen(self, waveform: Tensor) -> list[list[Event]]:
        """The timeline heard in each clip of `waveform` (B, N), by onset."""
        return self.listen_to_mel(self.log_mel(waveform))

    def listen_to_mel(self, mel: Tensor) -> list[list[Event]]:
        """The same from log-mels (B, n_mels, frames)."""
        return [events for (events,) in self.listen_at((0.5,), mel)]

    @torch.no_grad()
    def listen_at(self, thresholds: Sequence[float], mel: Tensor) -> list[list[list[Event]]]:
        """For each log-mel the timelines of what is likelier than each of `thresholds`."""
        heard = (logits.sigmoid().cpu() for logits in self(mel))
        return [[timeline(*one, self.classes, self.frame_seconds, threshold) for threshold in thresholds]
                for one in zip(*heard, strict=True)]

    @property
    def frame_seconds(self) -> float:
        return STRIDE * self.mel.hop_length / self.mel.sample_rate

    def _loss(self, mel: Tensor, timelines: list[list[dict]]) -> Tensor:
        sounds, begins, manner = self(mel)
        is_sounding, is_beginning, position = (target.to(mel) for target in self.targets(timelines, sounds.shape[-1]))
        known = ~position.isnan()
        error = (manner.sigmoid() - position)[known].square()
        weight = torch.where((position[known] - 0.5).abs() > SAID, SAID_WEIGHT, 1.0)
        return (F.binary_cross_entropy_with_logits(sounds, is_sounding)
                + F.binary_cross_entropy_with_logits(begins, is_beginning, pos_weight=mel.new_tensor(ONSET_WEIGHT))
                + MANNER_WEIGHT * (weight * error).sum() / weight.sum().clamp(min=1))

    def _mixed(self, waveform: Tensor, timelines: list[list[dict]]) -> tuple[Tensor, list[list[dict]]]:
        """Clips with, in some, their neighbour in the batch underneath."""
        chosen = torch.rand(len(waveform)) < self.mix
        gain = chosen * 10 ** (torch.empty(len(waveform)).uniform_(*UNDER_DB) / 20)
        mixed = waveform + gain.to(waveform)[:, None] * waveform.roll(1, dims=0)
        under = [[{**event, "positions": {}} for event in events] for events in timelines]  # no longer as loud or near
        return mixed, [own + under[i - 1] if chosen[i] else own for i, own in enumerate(timelines)]

    def targets(self, timelines: list[list[dict]], frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` should say.

        Returns:
            (B, classes, frames), 1 while a class sounds; the same, 1 where it begins, less in the frames beside that;
            (B, 4, classes, frames), its positions, NaN where they are not known.
        """
        is_sounding = torch.zeros(len(timelines), len(self.classes), frames)
        is_beginning = torch.zeros_like(is_sounding)
        position = torch.full((len(timelines), len(MANNER), len(self.classes), frames), torch.nan)
        centre = torch.arange(frames) + 0.5
        for clip, events in enumerate(timelines):
            for event in events:
                if event["name"] in self.classes:
                    row = self.classes.index(event["name"])
                    onset, offset = event["onset"] / self.frame_seconds, event["offset"] / self.frame_seconds
                    during = (centre > onset) & (centre < offset)
                    is_sounding[clip, row] += during
                    is_beginning[clip, row] += (1 - (centre - onset - 0.5).abs() / 1.5).clamp(min=0)
                    for axis, value in event["positions"].items():
                        position[clip, MANNER.index(axis), row, during] = value
        return is_sounding.clamp(max=1), is_beginning.clamp(max=1), position


def timeline(sounds: Tensor, begins: Tensor, manner: Tensor, classes: list[str], frame_seconds: float,
             threshold: float = 0.5) -> list[Event]:
    """Probabilities (classes, frames) of "sounds" and "begins", and positions (4, classes, frames), to events by onset.

    A sustained class is one event from its first to its last active frame, unless it pauses. A momentary one is cut
    into repetitions where it begins anew.
    """
    events = []
    for name, active, beginning, how in zip(classes, sounds > threshold, begins, manner.unbind(1), strict=True):
        has = {"pitch": SOUNDS[name].pitch, "rate": SOUNDS[name].rate, "level": True, "distance": True}
        momentary = SOUNDS[name].momentary
        pause, shortest = MOMENTARY_LIMITS if momentary else SUSTAINED_LIMITS
        onsets = _peaks(beginning, threshold) if momentary else []
        for start, stop in _runs(active, round(pause / frame_seconds)):
            if (stop - start) * frame_seconds < shortest:
                continue
            cuts = [start, *(onset for onset in onsets if start + 2 < onset < stop - 1), stop]
            for first, last in zip(cuts, cuts[1:], strict=False):
                positions = {axis: float(values[first:last].mean())
                             for axis, values in zip(MANNER, how, strict=True) if has[axis]}
                events.append(Event(name, first * frame_seconds, last * frame_seconds, positions))
    return sorted(events, key=lambda event: event.onset)


def _runs(active: Tensor, gap: int) -> list[tuple[int, int]]:
    """(start, stop) of the stretches of true frames, joined over up to `gap` false ones."""
    runs: list[tuple[int, int]] = []
    for frame in active.nonzero().flatten().tolist():
        if runs and frame - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs


def _peaks(curve: Tensor, threshold: float) -> list[int]:
    """Frames above `threshold` that are the largest within two frames either side."""
    highest = F.max_pool1d(curve[None], 5, stride=1, padding=2)[0]
    return ((curve == highest) & (curve > threshold)).nonzero().flatten().tolist()
