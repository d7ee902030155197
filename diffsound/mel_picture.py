"""A mel spectrogram as a picture, with seconds and Hz at its axes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffsound.mel import MelSettings
from diffsound.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_mel(path: Path, mel: np.ndarray, settings: MelSettings, title: str = "") -> None:
    """Write `mel` (n_mels, frames) in [0, 1] to `path` (PNG), whole."""
    whole_file(path, lambda partial: partial.write_bytes(mel_png(mel, settings, title)))


def mel_png(mel: np.ndarray, settings: MelSettings, title: str = "") -> bytes:
    """The picture of `mel` (n_mels, frames) in [0, 1], as PNG."""
    from matplotlib.figure import Figure  # without pyplot, which would keep every figure and look for a display

    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axis = figure.subplots()
    mel_axis(axis, mel, settings)
    if title:
        axis.set_title(no_formula(title), fontsize=9, wrap=True)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def no_formula(text: str) -> str:
    """`text` for matplotlib to draw as it is: with `wrap` it reads formulas between dollars, `parse_math` or not."""
    return text.replace("$", r"\$")


def save_figure(path: Path, figure: Figure) -> None:
    """Write `figure` to `path` (PNG), whole."""
    whole_file(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def mel_axis(axis: Axes, mel: np.ndarray, settings: MelSettings) -> None:
    """Draw `mel` (n_mels, frames) in [0, 1] on `axis`, over seconds and Hz."""
    seconds = mel.shape[1] * settings.hop_length / settings.sample_rate
    axis.imshow(mel, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=1, extent=(0, seconds, 0, mel.shape[0]))
    ticks = np.array([hz for hz in (250, 500, 1000, 2000, 4000, 8000) if settings.f_min < hz < settings.f_max])
    low, high = (_slaney(np.array([hz]))[0] for hz in (settings.f_min, settings.f_max))
    axis.set_yticks((_slaney(ticks) - low) / (high - low) * mel.shape[0], [f"{hz}" for hz in ticks])
    axis.set(xlabel="s", ylabel="Hz")


def _slaney(hz: np.ndarray) -> np.ndarray:
    """Hz to mel: linear below 1 kHz, logarithmic above (Slaney, Auditory Toolbox)."""
    return np.where(hz < 1000, 3 * hz / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) * 27 / np.log(6.4))
