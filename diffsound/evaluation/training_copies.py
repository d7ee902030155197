"""Are clips that were made copies of clips that the system was trained on?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningDataModule
from torch import Tensor

from diffsound.data import AudioTextDataModule, manifest
from diffsound.data.audio import UnreadableAudio, fit_length, load, resample
from diffsound.evaluation.checks import Check, share_check
from diffsound.evaluation.clips import ClipSet
from diffsound.mel import LogMel
from diffsound.scenes import SceneDataModule
from diffsound.vqvae import VQVAE

COPIES = "copies of training clips"  # the name of the check, or of what was skipped
RANGE = 0.4  # of a log-mel in [0, 1]: what is more than 40 dB below the loudest point of a clip is taken for silence
BANDS, FRAMES = 5, 4  # over which a log-mel is blurred
# Correlation from which two clips are the same. Of 400 scenes none is so near to any of 3000 others (the nearest .983),
# nor one of the recordings of ESC-10 to another (.949, but for one pair at .986). Scenes at a tenth
# of their gain, or under hiss at -60 dB, are above .997 in 95 % of cases; through codec and Griffin-Lim, beside the
# original's mel through the codec, above .98.
SAME = 0.985
CROP = 15  # frames by which a random crop of a recording may begin later than the clip: 0.17 s
BATCH = 64


def training_clips(data: LightningDataModule, most: int, sample_rate: int) -> tuple[Iterator[np.ndarray], int]:
    """Waveforms (N,) at `sample_rate` Hz of at most `most` clips that `data` gives to training, and how many it has.

    Of scenes they are the first, of recordings a random choice that is always the same; those that cannot be read are
    left out.

    Raises:
        ValueError: if it has none.
    """
    if isinstance(data, SceneDataModule):
        scenes = (data.train[i]["waveform"].numpy() for i in range(min(most, len(data.train))))
        return (resample(scene, data.train.sample_rate, sample_rate) for scene in scenes), len(data.train)
    if not isinstance(data, AudioTextDataModule):
        raise ValueError(f"audio.class_path is {type(data).__name__}, which has no clips to train on")
    clips = [clip for path in data.manifests for clip in manifest.read(path) if clip.split == "train"]
    if not clips:
        raise ValueError(f"{', '.join(map(str, data.manifests))} holds no clip of the split 'train'")

    def read() -> Iterator[np.ndarray]:
        for i in np.random.default_rng(0).permutation(len(clips))[:most]:
            try:
                yield load(clips[i].audio, sample_rate)
            except UnreadableAudio:
                continue

    return read(), len(clips)


def check_training_copies(made: ClipSet, true: ClipSet, data: LightningDataModule, most: int, log_mel: LogMel,
                          codec: VQVAE | None = None) -> Check:
    """How many of the clips `made` are the same as one of at most `most` training clips of `data`, in sound or through
    `codec`; gain does not matter. A warning, if they are more than a hundredth and more than of the clips `true`, which
    are known to be none.

    Raises:
        ValueError: if there are no training clips.
    """
    rate = log_mel.settings.sample_rate
    training, total = training_clips(data, most, rate)
    clips = [waveform.cpu().numpy() for some in (made, true) for waveform in some.at(rate).waveforms]
    shift = 0 if isinstance(data, SceneDataModule) else CROP
    alike = similarity(clips, training, log_mel, codec, shift)
    same = (alike.amax(1) >= SAME).tolist()
    found = [name for name, is_same in zip(made.ids, same, strict=False) if is_same]
    there = sum(same[len(made):])
    return share_check(COPIES, found, len(made), there, len(true),
                       f"true ones ({true.name}), beside {alike.shape[1]} of {total} training clips")


@torch.no_grad()
def similarity(clips: Sequence[np.ndarray], training: Iterable[np.ndarray], log_mel: LogMel, codec: VQVAE | None = None,
               shift: int = 0) -> Tensor:
    """How alike each of `clips` (N,) and each training clip (N,) are, at the sample rate of `log_mel`.

    All are cut to the longest of `clips`, or followed by silence.

    Args:
        codec: its mels of the training clips are compared too, and the larger correlation counts: a decoder that knows
            a clip by heart makes those.
        shift: frames by which one may begin later than the other.
    Returns:
        (N, M) correlations in -1..1; of a silent clip 0.
    Raises:
        ValueError: if there are no training clips.
    """
    column = 16 * log_mel.settings.hop_length
    num_samples = column * math.ceil(max(map(len, clips)) / column)

    def mels(waveforms: Iterable[np.ndarray]) -> Iterator[Tensor]:
        waveforms = iter(waveforms)
        while batch := [fit_length(waveform, num_samples) for waveform in islice(waveforms, BATCH)]:
            yield log_mel(torch.from_numpy(np.stack(batch)).to(log_mel.window.device))

    patterns, parts = torch.cat([_pattern(mel) for mel in mels(clips)]), []
    for mel in mels(training):
        parts.append(_correlations(patterns, _pattern(mel), shift))
        if codec is not None:
            rebuilt = codec.decode(codec.encode_mel(mel), num_samples // column)
            parts[-1] = torch.maximum(parts[-1], _correlations(patterns, _pattern(rebuilt), shift))
    if not parts:
        raise ValueError("none of the training clips can be read")
    return torch.cat(parts, 1).cpu()


def _pattern(mel: Tensor) -> Tensor:
    """(B, n_mels / 5, frames) of log-mels (B, n_mels, frames): what is less than 40 dB below the loudest point."""
    return F.avg_pool2d(F.relu(mel - mel.amax((1, 2), keepdim=True) + RANGE), (BANDS, 1))


def _correlations(one: Tensor, other: Tensor, shift: int) -> Tensor:
    """(N, M): the largest over all shifts of patterns (N, bands, frames) and (M, bands, frames)."""
    frames = one.shape[-1]
    return torch.stack([
        _directions(one[..., max(0, late):frames + min(0, late)])
        @ _directions(other[..., max(0, -late):frames + min(0, -late)]).T
        for late in range(-shift, shift + 1)]).amax(0)


def _directions(pattern: Tensor) -> Tensor:
    """(B, D) of length 1; without the mean of each band, else steady noises of one colour would be alike."""
    blurred = F.avg_pool1d(pattern, FRAMES)
    return F.normalize((blurred - blurred.mean(-1, keepdim=True)).flatten(1), eps=1e-6)
