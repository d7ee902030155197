"""The denoising as a film: what is there and what the decoder would bet on, step by step, to see and to hear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffsound.data.audio import save
from diffsound.inside.pictures import evenly, on_grid
from diffsound.inside.trace import Trace
from diffsound.mel_picture import mel_axis, save_figure
from diffsound.text_to_sound import TextToSound
from diffsound.whole_file import whole_file

SECONDS_A_FRAME, SECONDS_OF_THE_LAST = 0.4, 2.0


@dataclass(frozen=True)
class Film:
    """What `film` wrote."""

    path: Path  # the animated GIF
    frames: list[Path]
    captions: list[str]  # of the frames
    sounds: dict[int, Path]  # number of the frame: its wav


@torch.no_grad()
def film(model: TextToSound, trace: Trace, folder: Path, frames: int = 12, sounds: int = 4) -> Film:
    """Write `folder`/film.gif, the same frames as frames/00.png, 01.png, ... and of some the sound: sounds/00.wav, ...

    A frame has two mels: of the tokens at that step, those that are masked in grey, and of the likeliest code of every
    token, which is what is heard. The last frame is the clip, so that its wav is the clip's. Frames and sounds of an
    earlier film in `folder` are deleted.

    Args:
        model: the system that `trace` is of.
        frames: at most N + 1 for N steps; evenly spread over them, the first and the last among them.
        sounds: at most one a frame; spread as the frames are. 0 for none.
    Raises:
        ValueError: if frames or sounds are out of range.
    """
    last = len(trace.t)
    if not 1 <= frames <= last + 1:
        raise ValueError(f"frames is {frames}, expected 1 to {last + 1}: this clip was made in {last} steps, each a "
                         "frame, and the result")
    if not 0 <= sounds <= frames:
        raise ValueError(f"sounds is {sounds}, expected 0 to the number of frames, {frames}")
    numbers = evenly(last + 1, frames)
    present, likeliest = (torch.cat([each, trace.tokens[None]])[numbers] for each in (trace.x_t, trace.likeliest))
    masked = present == trace.codebook_size
    mels = [_decode(model, tokens, trace.columns) for tokens in (torch.where(masked, likeliest, present), likeliest)]
    captions = [f"t = {int(trace.t[number])}, {share:.0%} masked" if number < last else "the clip"
                for number, share in zip(numbers, masked.float().mean(1).tolist(), strict=True)]
    _clear(folder / "frames", ".png")
    paths = []
    for number, (caption, grey, *pair) in enumerate(zip(captions, masked, *mels, strict=True)):
        paths.append(folder / "frames" / f"{number:02d}.png")
        _save_frame(paths[-1], trace, caption, grey, *pair)
    _save_gif(folder / "film.gif", paths)
    _clear(folder / "sounds", ".wav")
    heard = {}
    for number in evenly(frames, sounds) if sounds else []:
        heard[number] = folder / "sounds" / f"{number:02d}.wav"
        waveform = model.vocoder(mels[1][number:number + 1].to(model.device))[0].cpu().numpy()
        save(heard[number], waveform, trace.mel_settings.sample_rate)
    return Film(folder / "film.gif", paths, captions, heard)


def _decode(model: TextToSound, tokens: Tensor, columns: int) -> Tensor:
    """Mels (F, n_mels, frames) on the CPU; one clip at a time, as the clip itself was decoded."""
    return torch.cat([model.codec.decode(one[None].to(model.device), columns).cpu() for one in tokens])


def _save_frame(path: Path, trace: Trace, caption: str, masked: Tensor, present: Tensor, likeliest: Tensor) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axis, mel, title in [(above, present, "the tokens, grey where masked"),
                             (below, likeliest, "the likeliest code of every token")]:
        mel_axis(axis, mel.numpy(), trace.mel_settings)
        axis.set_title(title, fontsize=8)
        axis.label_outer()
    grey = np.full((trace.rows, trace.columns, 4), 0.5)
    grey[..., 3] = trace.grid(masked).numpy()
    above.imshow(grey, **on_grid(above))
    figure.suptitle(caption, fontsize=10)
    save_figure(path, figure)


def _save_gif(path: Path, frames: list[Path]) -> None:
    from PIL import Image

    images = []
    for frame in frames:
        with Image.open(frame) as image:
            images.append(image.convert("RGB").quantize(256))
    times = [round(1000 * seconds) for seconds in [SECONDS_A_FRAME] * (len(frames) - 1) + [SECONDS_OF_THE_LAST]]
    whole_file(path, lambda partial: images[0].save(partial, format="GIF", save_all=True, append_images=images[1:],
                                                    duration=times, loop=0))


def _clear(folder: Path, suffix: str) -> None:
    """Make `folder`, without the numbered files of an earlier film."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"[0-9]*{suffix}"):
        path.unlink()
