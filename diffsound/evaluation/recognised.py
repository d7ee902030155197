"""How often the class of a real sound that is asked for is recognised in what a system makes.

    python -m diffsound.evaluation.recognised data/tiny/recordings.jsonl --model tiny --out out/recognised.json

A classifier learns the classes from real clips of one split and is measured on those of the other: that is its ceiling.
Then it hears clips made from the captions of these classes. Once it learns from the training split, as the system did,
and once from the test split, of which the system knows nothing: a system that only repeats its training clips would be
recognised by the first alone.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.data import manifest
from diffsound.data.datasets import Window
from diffsound.data.manifest import Clip
from diffsound.evaluation.calibration import rebuilt
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.estimate import bootstrap_mean
from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.rough_mel import rough_mel
from diffsound.text_to_sound import TextToSound
from diffsound.whole_file import write_text

EPOCHS, BATCH = 30, 16
LEARNING_RATE = 1e-3
HIDDEN_FRAMES, HIDDEN_BANDS = 48, 12  # at most so many are blotted out in training (SpecAugment, arXiv:1904.08779)
QUIETEST_DB = -12.0  # clips are turned down by up to this much in training
MIXED = 0.4  # Beta parameter of mixup, arXiv:1710.09412


class Recogniser(nn.Module):
    """Logits of classes of a waveform: the ear of the judge of scenes, with a new answer, all of it trained further."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.ear = copy.deepcopy(load_judge()).requires_grad_(True)
        self.head = nn.Linear(2 * self.ear.head.in_features, classes)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, classes)."""
        hidden = self.ear.hidden(mel)
        return self.head(torch.cat([hidden.mean(1), hidden.amax(1)], -1))

    @torch.no_grad()
    def recognise(self, waveforms: Sequence[Tensor]) -> Tensor:
        """The class of each of N clips of one length, (N,)."""
        self.eval()
        return torch.cat([self(self.ear.log_mel(torch.stack(list(waveforms[first:first + 32])))).argmax(1)
                          for first in range(0, len(waveforms), 32)])


def train_recogniser(waveforms: Tensor, labels: Tensor, classes: int, seed: int = 0, epochs: int = EPOCHS
                     ) -> Recogniser:
    """A `Recogniser` of waveforms (N, samples) with labels (N,). The same seed gives the same one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Recogniser(classes).train()
        optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.02)
        steps = epochs * -(-len(labels) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
        targets = F.one_hot(labels, classes).float()
        for _ in range(epochs):
            for chosen in torch.randperm(len(labels)).split(BATCH):
                sound, target = _varied(waveforms[chosen], targets[chosen])
                mel = _blotted(rough_mel(sound, model.ear.log_mel, 0.3))
                F.cross_entropy(model(mel), target, label_smoothing=0.1).backward()
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
        return model.eval()


def _varied(waveforms: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Clips begun elsewhere, turned down, and mixed in pairs with their targets."""
    shifts = torch.randint(waveforms.shape[1], (len(waveforms),))
    gains = 10 ** (torch.rand(len(waveforms), 1) * QUIETEST_DB / 20)
    moved = gains * torch.stack([one.roll(int(shift)) for one, shift in zip(waveforms, shifts, strict=True)])
    share = float(torch.distributions.Beta(MIXED, MIXED).sample())
    order = torch.randperm(len(moved))
    return share * moved + (1 - share) * moved[order], share * targets + (1 - share) * targets[order]


def _blotted(mel: Tensor) -> Tensor:
    """A span of time and a span of bands silenced in each mel (B, n_mels, frames)."""
    mel = mel.clone()
    for one in mel:
        for along, most in ((one.T, HIDDEN_FRAMES), (one, HIDDEN_BANDS)):
            width = int(torch.randint(min(most, len(along)) + 1, ()))
            start = int(torch.randint(len(along) - width + 1, ()))
            along[start:start + width] = 0
    return mel


def clips_of_classes(path: Path, splits: tuple[str, str]) -> tuple[dict[str, list[Clip]], list[str]]:
    """The clips of both splits whose first label is one that the second split has; and these labels.

    Raises:
        ValueError: if a split has no clips, or the first lacks a class of the second.
    """
    listed = [clip for clip in manifest.read(path) if clip.labels]
    classes = sorted({clip.labels[0] for clip in listed if clip.split == splits[1]})
    found = {split: [clip for clip in listed if clip.split == split and clip.labels[0] in classes] for split in splits}
    for split, clips in found.items():
        if missing := sorted(set(classes) - {clip.labels[0] for clip in clips}) or not clips:
            raise ValueError(f"the split {split!r} of {path} has no labelled clips of {missing or 'any class'}: "
                             f"expected the same classes in {splits[0]!r} and {splits[1]!r}")
    return found, classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="of real clips, the class first among their labels")
    parser.add_argument("--model", default="tiny", help="bundle of the system that makes sounds")
    parser.add_argument("--splits", nargs=2, default=("train", "test"), help="what the system learned from, and not")
    parser.add_argument("--num", type=int, default=16, help="clips made of every class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/recognised.json"))
    options = parser.parse_args()
    found, classes = clips_of_classes(options.manifest, tuple(options.splits))
    model = TextToSound.from_pretrained(options.model)
    rate, samples = model.codec.mel.sample_rate, model.columns * 16 * model.codec.mel.hop_length
    window = Window(rate, samples, 0.9)
    real = {split: torch.stack([torch.from_numpy(window.read(clip, None).copy()) for clip in clips])
            for split, clips in found.items()}
    labels = {split: torch.tensor([classes.index(clip.labels[0]) for clip in clips]) for split, clips in found.items()}
    rng = np.random.default_rng(options.seed)
    captions = {name: [caption for clips in found.values() for clip in clips if clip.labels[0] == name
                       for caption in clip.captions] for name in classes}
    texts = [captions[name][rng.integers(len(captions[name]))] for name in classes for _ in range(options.num)]
    made = [clip.waveform for clip in model.stream(texts, seed=options.seed, batch_size=8)]
    asked = torch.arange(len(classes)).repeat_interleave(options.num)
    result = {"classes": classes, "clips_of_a_class": options.num, "seed": options.seed, "learned_from": {}}
    for own, other in (options.splits, options.splits[::-1]):
        recogniser = train_recogniser(real[own], labels[own], len(classes), options.seed)
        through = rebuilt(ClipSet("real", tuple(real[other]), rate, ("",) * len(real[other]),
                                  tuple(map(str, range(len(real[other]))))), model.codec, model.vocoder)
        rows = {"real clips": (real[other], labels[other]),
                "these, through codec and vocoder": (through.waveforms, labels[other]), "made": (made, asked)}
        scores = {}
        for name, (waveforms, truth) in rows.items():
            right = (recogniser.recognise([one[:samples] for one in waveforms]) == truth).float()
            scores[name] = bootstrap_mean(right).as_dict() | {
                "classes": {label: round(float(right[truth == i].mean()), 3) for i, label in enumerate(classes)}}
        scores["made, of the ceiling"] = scores["made"]["value"] / scores["real clips"]["value"]
        result["learned_from"][own] = scores
        print(f"learned from {own}: " + ", ".join(
            f"{name} {score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"
            for name, score in scores.items() if isinstance(score, dict)), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.out, json.dumps(result, indent=1) + "\n")
    print(f"scores are in {options.out}")


if __name__ == "__main__":
    main()
