"""The protocol card: all that must be the same before two scores may be put side by side."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.extractors import Extractor
from diffsound.whole_file import write_text

PACKAGES = ("diffsound", "torch", "transformers", "numpy")


def protocol(made: ClipSet, reference: ClipSet, extractors: Sequence[Extractor], seed: int, repeats: int,
             level: float = 0.95, split: str = "", combinations: Sequence[str] = (),
             notes: Mapping[str, str] | None = None, **settings: Any) -> dict[str, Any]:
    """As plain data, for scores.json.

    Args:
        seed, repeats, level: of the bootstrap.
        split: of the data that the reference is; "" of a folder, which has none.
        combinations: "seen" or "held out" of each text, where that is known.
        notes: what must be known of the scores of an extractor, by its name.
        settings: whatever else scores depend on, such as splits=10 of the inception score.
    """
    return {
        "reference_hash": reference.fingerprint, "made_hash": made.fingerprint,
        "made": _card(made), "reference": _card(reference), "split": split or None,
        "combinations": dict(sorted(Counter(combinations).items())),
        "extractors": {each.name: {"hash": each.fingerprint, "sample_rate": each.sample_rate} for each in extractors},
        "notes": dict(notes or {}),
        "bootstrap": {"over": "clips made, the reference held fixed", "seed": seed, "repeats": repeats,
                      "level": level},
        "settings": settings, "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that numbers depend on; "not installed" where one is run from its sources."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found | {"torch": torch.__version__}  # with the build, which its metadata leave out


def markdown(card: Mapping[str, Any]) -> str:
    """The card for people to read."""
    lines = ["# Protocol of this evaluation", "",
             "Scores are comparable only where the hash of the reference, the extractors and the number of clips are "
             "the same.", "", "| clips | number | seconds each | sample rate | hash |", "|---|---|---|---|---|"]
    for name in ("made", "reference"):
        clips = card[name]
        lines.append(f"| {name} | {clips['clips']} | {_range(clips['seconds'])} | {clips['sample_rate']} Hz | "
                     f"`{card[f'{name}_hash']}` |")
    lines += ["", f"The reference is the {card['split']} split of its data." if card["split"]
              else "The reference is of no named split."]
    if card["combinations"]:
        parts = (f"{number} {name}" for name, number in card["combinations"].items())
        lines += ["", f"Combinations of sounds that the texts ask for: {', '.join(parts)}."]
    lines += ["", "| extractor | listens at | hash of weights and settings |", "|---|---|---|"]
    lines += [f"| {name} | {one['sample_rate']} Hz | `{one['hash']}` |" for name, one in card["extractors"].items()]
    for name, note in card["notes"].items():
        lines += ["", f"Scores of {name}: {note}."]
    draw = card["bootstrap"]
    lines += ["", f"Intervals: {draw['level']:.0%} of {draw['repeats']} bootstrap draws over {draw['over']}; "
                  f"seed {draw['seed']}.", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in card["settings"].items()]
    lines += [f"- {name} {version}" for name, version in card["versions"].items()]
    return "\n".join(lines) + "\n"


def write_markdown(card: Mapping[str, Any], path: str | os.PathLike) -> None:
    """`protocol.md`; it appears under its name only when it is whole."""
    write_text(Path(path), markdown(card))


def _card(clips: ClipSet) -> dict[str, Any]:
    seconds = clips.seconds
    return {"name": clips.name, "clips": len(clips), "sample_rate": clips.sample_rate,
            "seconds": {"shortest": min(seconds), "mean": mean(seconds), "longest": max(seconds)}}


def _range(seconds: Mapping[str, float]) -> str:
    shortest, longest = (round(seconds[name], 2) for name in ("shortest", "longest"))
    return f"{shortest}" if shortest == longest else f"{shortest} to {longest}, mean {seconds['mean']:.2f}"
