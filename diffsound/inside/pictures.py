"""Pictures of a trace, drawn over the mel that came out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from diffsound.inside.attention_maps import WordAttention
from diffsound.inside.trace import Trace
from diffsound.mel_picture import mel_axis, no_formula, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

VEIL = 0.7  # opacity of what lies over the mel
PALE = (-1.2, 1)  # range of its greys: black would darken the colours over silence, as if their values were others


def save_confidence(path: Path, trace: Trace, steps: int = 4) -> None:
    """Confidence in the code that was chosen in the end (left) and entropy (right), before truncation, at so many
    steps; dots are tokens that are still masked."""
    from matplotlib.figure import Figure  # without pyplot, which would keep every figure and look for a display

    if steps < 1:
        raise ValueError(f"steps is {steps}, expected at least 1")
    calls = evenly(len(trace.t), steps)
    figure = Figure(figsize=(11, 1.9 * len(calls) + 0.6), layout="constrained")
    axes = figure.subplots(len(calls), 2, sharex=True, sharey=True, squeeze=False)
    most = math.log(trace.codebook_size)
    for row, call in zip(axes, calls, strict=True):
        for axis, values, name, top in [(row[0], trace.full_confidence, "confidence", 1),
                                        (row[1], trace.full_entropy, "entropy", most)]:
            drawn = overlay(axis, trace, trace.grid(values[call]), colours="viridis", low=0, high=top)
            _dots(axis, trace, call)
            axis.set_title(f"{name} at t = {int(trace.t[call])}: mean {values[call].mean():.2f}", fontsize=9)
            axis.label_outer()
            if call == calls[-1]:
                label = "probability" if name == "confidence" else "nats"
                figure.colorbar(drawn, ax=axes[:, int(name == "entropy")], label=label, shrink=0.8)
    figure.suptitle(no_formula(trace.text), fontsize=10, wrap=True)
    save_figure(path, figure)


def save_decided(path: Path, trace: Trace) -> None:
    """At which step every token became what it is in the end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axis, names = figure.subplots(), ["start", *(str(int(t)) for t in trace.t)]
    drawn = overlay(axis, trace, trace.grid(trace.decided), colours="viridis_r", low=0, high=len(trace.t))
    ticks = evenly(len(names), 6)
    figure.colorbar(drawn, ax=axis, label="decided at t =").set_ticks(ticks, labels=[names[tick] for tick in ticks])
    axis.set_title(no_formula(trace.text), fontsize=9, wrap=True)
    save_figure(path, figure)


def save_attention(path: Path, trace: Trace, attention: WordAttention) -> None:
    """A row a word: how much the places of the clip take from it, a mean over steps, blocks and heads.

    One colour scale for all words. Where a column of tokens is one position, a word is one line of a single picture.
    """
    from matplotlib.figure import Figure

    mean = attention.mean
    if mean.ndim == 2:
        figure = Figure(figsize=(7, 2.6 + 0.26 * len(mean)), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.0, 0.3 + 0.26 * len(mean)))
        mel_axis(above, trace.mel.numpy(), trace.mel_settings)
        above.set_xlabel("")
        drawn = below.imshow(mean.numpy(), aspect="auto", cmap="viridis", vmin=0, interpolation="nearest",
                             extent=(*above.get_xlim(), len(mean), 0))
        below.set_yticks(np.arange(len(mean)) + 0.5, attention.words, parse_math=False)
        below.set(xlabel="s")
        figure.colorbar(drawn, ax=below, label="weight")
    else:
        figure = Figure(figsize=(7, 0.6 + 1.1 * len(mean)), layout="constrained")
        axes = figure.subplots(len(mean), 1, sharex=True, squeeze=False)[:, 0]
        for axis, word, values in zip(axes, attention.words, mean, strict=True):
            drawn = overlay(axis, trace, values, colours="viridis", low=0, high=float(mean.max()))
            axis.set_ylabel(word, rotation=0, ha="right", va="center", parse_math=False)
            axis.set_yticks([])
            axis.label_outer()
        figure.colorbar(drawn, ax=axes, label="weight", shrink=min(1, 3 / len(mean)))
    save_figure(path, figure)


def overlay(axis: Axes, trace: Trace, values: Tensor, colours: str, low: float, high: float) -> AxesImage:
    """`values` (rows, columns) in colour over the grey mel, a cell a token."""
    mel_axis(axis, trace.mel.numpy(), trace.mel_settings)
    axis.images[0].set(cmap="gray", clim=PALE)
    return axis.imshow(values.numpy(), **on_grid(axis), cmap=colours, vmin=low, vmax=high, alpha=VEIL)


def on_grid(axis: Axes) -> dict[str, Any]:
    """How `imshow` lays a grid of tokens (rows, columns) over the mel on `axis`."""
    return {"origin": "lower", "aspect": "auto", "interpolation": "nearest",
            "extent": (*axis.get_xlim(), *axis.get_ylim())}


def evenly(length: int, count: int) -> list[int]:
    """At most `count` of 0..length-1, the first and the last among them; the last alone if `count` is 1."""
    count = min(count, length)
    return [round(i * (length - 1) / (count - 1)) for i in range(count)] if count > 1 else [length - 1]


def _dots(axis: Axes, trace: Trace, call: int) -> None:
    rows, columns = np.nonzero(trace.grid(trace.masked[call]).numpy())
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    axis.scatter(left + (columns + 0.5) * (right - left) / trace.columns,
                 bottom + (rows + 0.5) * (top - bottom) / trace.rows, s=4, c="white", linewidths=0)
