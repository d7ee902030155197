"""Makes a listening test: a page, clips under names that tell nothing, and the key to them."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from diffsound.data.audio import SUFFIXES, load, sample_rate_of, save
from diffsound.listening_test.loudness import Loudness, common_level, leveled
from diffsound.whole_file import write_text

FORMAT = 1
QUESTIONS = ("mos", "relevance", "pairwise")  # overall quality, fit to the text, which of two fits better


@dataclass(frozen=True)
class SourceClip:
    """A clip of one system. text: what it was made from, "" if that is not known."""

    system: str
    path: Path
    text: str


def make(systems: dict[str, Path], out: Path, questions: Sequence[str], clips_per_listener: int, seed: int,
         keep_levels: bool = False) -> Path:
    """Write `out`/index.html, `out`/clips/ and `out`/key.json; returns the path of the page.

    Nothing on the page, nor the name, kind, order or tags of its clips, tells the systems apart; key.json does, and
    the page does not know of it.

    Args:
        systems: name of each system and its folder of clips, with texts in the sidecars ("text" in clip.json).
        questions: of `QUESTIONS`, in the order in which they are asked.
        clips_per_listener: how many clips (or pairs) one listener is given for each question; all if there are fewer.
        keep_levels: leave every clip as loud as it is. Else all have one level (`loudness.common_level`): a louder clip
            is easily taken for a better one.
    Raises:
        ValueError: if a question or a folder does not fit (see messages).
        FileExistsError: if `out` holds a test: its results could not be read without its key.
    """
    if unknown := [name for name in questions if name not in QUESTIONS]:
        raise ValueError(f"--questions {','.join(unknown)}: expected some of {', '.join(QUESTIONS)}")
    if not questions or len(set(questions)) < len(questions):
        raise ValueError(f"--questions {','.join(questions)}: expected each of {', '.join(QUESTIONS)} once at most")
    if clips_per_listener < 1:
        raise ValueError(f"--clips-per-listener is {clips_per_listener}, expected 1 or more")
    if "pairwise" in questions and len(systems) < 2:
        raise ValueError("pairwise compares two systems, and there is one: give --clips two folders, or --questions "
                         "mos,relevance")
    if (out / "key.json").exists():
        raise FileExistsError(f"{out} holds a test already: give --out another folder")
    rng = random.Random(seed)
    clips = {name: find_clips(name, folder, needs_text=set(questions) != {"mos"}) for name, folder in systems.items()}
    blind = {clip: f"{rng.getrandbits(48):012x}" for members in clips.values() for clip in members}
    pairs = _pairs(clips) if "pairwise" in questions else {}
    if "pairwise" in questions and not pairs:
        raise ValueError(f"pairwise compares clips of the same text, and {', '.join(systems)} have no text in common")
    loudness = {} if keep_levels else {clip: Loudness.of(*_decoded(clip.path)) for clip in blind}
    level = None if keep_levels else round(common_level(loudness.values()), 2)
    content = {
        "level": level, "questions": list(questions), "count": clips_per_listener,
        "clips": [blind[clip] for clip in _in_turns(list(clips.values()), rng)],
        "pairs": [rng.sample([blind[clip] for clip in pair], 2) for pair in _in_turns(list(pairs.values()), rng)],
        "texts": {blind[clip]: clip.text for clip in sorted(blind, key=blind.get)},
    }
    content["test"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    for clip in sorted(blind, key=blind.get):  # in this order, so that the files' times tell nothing either
        _copy(clip.path, out / "clips" / f"{blind[clip]}.wav", loudness.get(clip), level)
    key = {"format": FORMAT, "test": content["test"], "seed": seed, "level": level,
           "questions": list(questions), "clips_per_listener": clips_per_listener,
           "clips": {blind[clip]: {"system": clip.system, "file": str(clip.path), "text": clip.text} for clip in blind}}
    write_text(out / "key.json", json.dumps(key, indent=1, ensure_ascii=False))
    page = out / "index.html"
    write_text(page, _page(content))
    return page


def find_clips(system: str, folder: Path, needs_text: bool) -> list[SourceClip]:
    """The sounds in `folder`, by name, with the texts of their sidecars.

    Raises:
        ValueError: if there is none, or one without a text although texts are needed.
    """
    sounds = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not sounds:
        raise ValueError(f"--clips {folder}: expected a folder with sounds ({', '.join(SUFFIXES)})")
    return [SourceClip(system, path, _text(path, needs_text)) for path in sounds]


def _text(sound: Path, needed: bool) -> str:
    sidecar = sound.with_suffix(".json")
    try:
        text = json.loads(sidecar.read_text(encoding="utf-8"))["text"] if needed or sidecar.is_file() else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{sound} has no text: expected {sidecar.name} beside it, with the key text, or "
                         f"--questions mos ({type(error).__name__})") from error
    if not isinstance(text, str) or (needed and not text.strip()):
        raise ValueError(f"{sidecar}: text is {text!r}, expected a sentence")
    return text


def _pairs(clips: dict[str, list[SourceClip]]) -> dict[tuple[str, str], list[tuple[SourceClip, SourceClip]]]:
    """For every two systems the pairs of clips that have the same text; of several each, the first with the first."""
    by_text: dict[str, dict[str, list[SourceClip]]] = {}
    for system, members in clips.items():
        for clip in members:
            by_text.setdefault(clip.text, {}).setdefault(system, []).append(clip)
    pairs: dict[tuple[str, str], list[tuple[SourceClip, SourceClip]]] = {}
    for a, b in combinations(clips, 2):
        for of in by_text.values():
            if found := list(zip(of.get(a, ()), of.get(b, ()), strict=False)):
                pairs.setdefault((a, b), []).extend(found)
    return pairs


def _in_turns(lists: list[list[Any]], rng: random.Random) -> list[Any]:
    """All members, each list shuffled, one of every list in each round: any stretch of it holds as many of each."""
    lists = [rng.sample(members, len(members)) for members in lists]
    rounds = [[members[number] for members in lists if number < len(members)]
              for number in range(max(map(len, lists), default=0))]
    return [entry for one in rounds for entry in rng.sample(one, len(one))]


def _copy(source: Path, target: Path, loudness: Loudness | None, level: float | None) -> None:
    """Decode and write anew as 16 bit wav at its own rate: tags and file kinds would tell the systems apart."""
    waveform, rate = _decoded(source)
    save(target, waveform if loudness is None else leveled(waveform, loudness, level), rate)


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    """(N,) samples at the file's own rate, and that rate."""
    rate = sample_rate_of(path)
    return load(path, rate), rate


def _page(content: dict[str, Any]) -> str:
    part = {name: files("diffsound.listening_test").joinpath(f"page.{name}").read_text(encoding="utf-8")
            for name in ("html", "css", "js")}
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")  # no text can end the script it stands in
    return Template(part["html"]).substitute(style=part["css"], script=part["js"], test=data)
