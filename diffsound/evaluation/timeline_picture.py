"""A mel spectrogram under the events that were asked for and those that were heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffsound.mel import MelSettings
from diffsound.mel_picture import mel_axis, save_figure
from diffsound.scenes import Event

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which stay apart for colour-blind readers; grey is for what nobody asked for.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
UNASKED = "#7f7f7f"
LANE = 0.24  # inches of height a class
MOST_LANES = 12  # of a clip in which a bad judge hears everything, the rest is counted only


def save_timelines(path: Path, mel: np.ndarray, mel_settings: MelSettings, asked: Sequence[Event | Mapping[str, Any]],
                   heard: Sequence[Event | Mapping[str, Any]]) -> None:
    """Write a picture (PNG) to `path`, under a temporary name until it is whole.

    A lane a class: the upper bar is what was asked for (open), the lower what was heard (filled; grey and hatched if
    the class was not asked for). Dotted lines carry the times asked for down into the spectrogram.

    Args:
        mel: (n_mels, frames) in [0, 1].
        asked: events with name, onset and offset (seconds), as `Event`s or as mappings. Of those that begin at a second
            the offset is None, a line stands for the onset; those of which only the order is known have neither (None
            or absent), and stand as words above the lanes.
        heard: the same, every one with its times.
    """
    from matplotlib.figure import Figure  # without pyplot, which would keep every figure and look for a display

    asked, heard = [_times(event) for event in asked], [_times(event) for event in heard]
    classes = list(dict.fromkeys([event[0] for event in (*asked, *heard)]))
    shown, hidden = classes[:MOST_LANES], classes[MOST_LANES:]
    wanted = list(dict.fromkeys(event[0] for event in asked))
    colours = {name: COLOURS[wanted.index(name) % len(COLOURS)] if name in wanted else UNASKED for name in classes}
    order = [name for name, onset, _ in asked if onset is None]

    lanes = LANE * max(len(shown), 1) + 0.1
    figure = Figure(figsize=(6.4, 2.5 + lanes), layout="constrained")
    timeline, picture = figure.subplots(2, sharex=True, height_ratios=(lanes, 2.0))
    mel_axis(picture, mel, mel_settings)
    for name, onset, offset in asked:
        if onset is not None and name in shown:
            lane = shown.index(name)
            if offset is None:
                timeline.vlines(onset, lane + 0.08, lane + 0.46, color=colours[name], linewidth=2.5)
            else:
                timeline.broken_barh([(onset, offset - onset)], (lane + 0.08, 0.38), facecolor="none",
                                     edgecolor=colours[name], linewidth=1.3)
            for moment in (onset, offset):
                if moment is not None:
                    picture.axvline(moment, color="white", linestyle=":", linewidth=0.9, alpha=0.8)
    for name, onset, offset in heard:
        if name in shown:
            timeline.broken_barh([(onset, offset - onset)], (shown.index(name) + 0.52, 0.38), facecolor=colours[name],
                                 hatch=None if name in wanted else "////", edgecolor="white", linewidth=0)
    _label(timeline, shown, colours)
    if hidden:
        timeline.set_xlabel(f"and {len(hidden)} more classes", fontsize=8)
    title = "open: asked   filled: heard   hatched: heard, not asked"
    if order:
        title = f"asked, in this order: {' → '.join(order)}\n{title}"
    timeline.set_title(title, fontsize=8, loc="left", wrap=True)
    save_figure(path, figure)


def _times(event: Event | Mapping[str, Any]) -> tuple[str, float | None, float | None]:
    """(name, onset, offset) of one event; no offset without an onset."""
    get = event.get if isinstance(event, Mapping) else lambda key: getattr(event, key)
    name, onset, offset = get("name"), get("onset"), get("offset")
    if onset is None and offset is not None:
        raise ValueError(f"event {name} from {onset} to {offset}: expected an onset too")
    return name.replace("_", " "), onset, offset


def _label(axis: Axes, classes: Sequence[str], colours: Mapping[str, str]) -> None:
    axis.set_ylim(max(len(classes), 1), 0)
    axis.set_yticks(np.arange(len(classes)) + 0.5, classes, fontsize=8)
    for tick, name in zip(axis.get_yticklabels(), classes, strict=True):
        tick.set_color(colours[name])
    axis.tick_params(length=0, labelbottom=False)
    for edge in range(1, len(classes)):
        axis.axhline(edge, color="0.85", linewidth=0.6)
    if not classes:
        axis.text(0.5, 0.5, "nothing asked, nothing heard", transform=axis.transAxes, ha="center", va="center",
                  fontsize=8)
