"""Clips that a system makes of the texts of an evaluation, and scores over settings of its sampler."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.progress import track

from diffsound.callbacks.clip_writer import write_clip
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.estimate import bootstrap_summary
from diffsound.evaluation.order import score
from diffsound.evaluation.scoring import BATCH, REPEATS, listen
from diffsound.evaluation.subjects import Subjects
from diffsound.evaluation.tagger import EventTagger
from diffsound.takes import Judge, by_events
from diffsound.text_to_sound import TextToSound
from diffsound.token_sampler import TokenSampler

SWEPT = ("f1", "order", "count")


def make_clips(model: TextToSound, of: ClipSet, folder: Path, seed: int, best_of: int = 1) -> ClipSet:
    """A clip of every text of `of`, kept as `folder`/ID.wav with its sidecar; what is there and the same is kept.

    With `best_of` that many takes are made of each, and the one is kept in which the package's judge hears most of
    what the text, which must be a sentence of a scene, asks for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = [(name, text, [seed_of(name, seed, take) for take in range(best_of)])
             for name, text in zip(of.ids, of.texts, strict=True)]
    judge, size = by_events() if best_of > 1 else None, max(1, BATCH // best_of)
    missing = [one for one in asked if not _is_made(model, judge, folder, *one)]
    if missing:
        print(f"making {len(missing)} of {len(asked)} clips", flush=True)
    for first in track(range(0, len(missing), size), "making clips", disable=not missing):
        names, texts, takes = zip(*missing[first:first + size], strict=True)
        seeds = [seed for of_clip in takes for seed in of_clip]
        for name, clip in zip(names, model(texts, seeds, best_of=best_of, judge=judge), strict=True):
            write_clip(clip, folder / name)
    return ClipSet.from_files("made", [folder / f"{name}.wav" for name in of.ids])


def seed_of(name: str, seed: int, take: int = 0) -> int:
    """Of a clip, from its id and the seed of the run: the same in every batch and for every sampler."""
    return zlib.crc32(f"{seed} {name}{f' {take}' if take else ''}".encode())


@torch.no_grad()
def sweep(model: TextToSound, key: str, values: list[Any], subjects: Subjects, clips: int, judge: EventTagger, seed: int
          ) -> dict[str, Any]:
    """Scores of the first `clips` texts, which are of scenes, for each value of one setting of the sampler."""
    texts, ids, structures = subjects.real.texts[:clips], subjects.real.ids[:clips], subjects.structures[:clips]
    scores = {name: [] for name in SWEPT}
    for value in values:
        sampler, made = changed_sampler(model, key, value), []
        for first in track(range(0, len(texts), BATCH), f"{key} {value}"):
            part = slice(first, first + BATCH)
            made += model(texts[part], [seed_of(name, seed) for name in ids[part]], sampler=sampler)
        heard = listen(judge, ClipSet("made", [clip.waveform for clip in made], made[0].sample_rate, texts, ids))
        summary = bootstrap_summary([score(*pair) for pair in zip(heard, structures, strict=True)], REPEATS)
        for name in SWEPT:
            scores[name].append(summary[name].value if name in summary else None)
    told = [value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
            for value in values]
    return {"over": key, "values": told, "scores": scores}


def read_sweep(text: str, model: TextToSound | None) -> tuple[str, list[Any]]:
    """"num_steps=5,10" -> ("num_steps", [5, 10]). Raises ValueError if the sampler does not take these."""
    key, _, values = text.partition("=")
    if not key or not values:
        raise ValueError(f"--sweep is {text!r}, expected KEY=VALUE,VALUE such as guidance_scale=1,2,3")
    if model is None:
        raise ValueError("--sweep makes clips: leave --clips out")
    parsed = [yaml.safe_load(value) for value in values.split(",")]
    for value in parsed:
        changed_sampler(model, key, value)
    return key, parsed


def changed_sampler(model: TextToSound, key: str, value: Any) -> TokenSampler:
    """The model's sampler with another value of one of its settings.

    Raises:
        ValueError: if it has no such setting, or not that value.
    """
    try:
        sampler = model.sampler.changed(**{key: value})
        model.decoder.check_sampler(sampler)
    except ValueError as error:
        raise ValueError(f"--sweep: {error}") from error
    return sampler


def _is_made(model: TextToSound, judge: Judge | None, folder: Path, name: str, text: str, seeds: list[int]) -> bool:
    sidecar = folder / f"{name}.json"
    if not (sidecar.is_file() and sidecar.with_suffix(".wav").is_file()):
        return False
    known = json.loads(sidecar.read_text())
    chosen = known.get("chosen", {})
    return known["seed"] in seeds and (
        known["text"], chosen.get("of", 1), chosen.get("by"), known["sampler"], known["parts"], known["grid"]["columns"]
    ) == (text, len(seeds), judge and judge.name, model.sampler.spec, model.fingerprints, model.columns)
