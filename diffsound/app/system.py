"""The model as the API needs it: what may be asked of it, and everything that can be made of one job."""

from __future__ import annotations

import math
import os
import tempfile
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffsound.app.jobs import Job
from diffsound.data.audio import encode
from diffsound.diffusion import DiscreteDiffusion
from diffsound.mel_picture import mel_png
from diffsound.replay import again, differences, other_parts, other_values
from diffsound.sidecar import machine, sampler_of
from diffsound.takes import by_events
from diffsound.text_to_sound import TextToSound
from diffsound.token_sampler import TokenSampler

if TYPE_CHECKING:
    from diffsound.clip import Clip
    from diffsound.inside import Trace

FRAMES = 12  # of a film, at most
MOST_GUIDANCE = 100.0
MOST_TAKES = 8


class NotThere(Exception):
    """What was asked for cannot be made of this clip; the message says why."""


@dataclass(frozen=True)
class Limits:
    """What requests may ask for."""

    steps: int = 200  # of the sampler
    prompt: int = 500  # characters
    waiting: int = 16  # jobs in the queue
    kept: int = 64  # finished jobs
    body: int = 2**20  # bytes of a request


class System:
    """A model within limits.

    Args:
        card: the bundle's, in Markdown.
    """

    def __init__(self, model: TextToSound, card: str, limits: Limits) -> None:
        self.model, self.card, self.limits = model, card, limits
        self.pictures: dict[str, Callable[[Job], bytes]] = {
            "spectrogram.png": self._spectrogram, "timeline.png": self._timeline,
            "inside/confidence.png": self._confidence, "film.gif": self._film}

    @property
    def longest(self) -> float:
        """Seconds, of a clip."""
        return self.model.decoder.max_columns * self.model.column_seconds

    @property
    def most_steps(self) -> int:
        """Of a clip; those that the bundle's own sampler takes are always granted."""
        return max(self.limits.steps, self.steps_of(self.model.sampler, self.model.decoder.max_columns))

    @cached_property
    def most_steps_asked(self) -> int:
        """Of a job: no more than its sampler can take with this decoder."""

        def refused(steps: int) -> bool:
            try:
                self.model([], steps=steps)
            except ValueError:
                return True
            return False

        return bisect(range(1, self.most_steps + 1), False, key=refused) or self.most_steps

    def told(self) -> dict[str, Any]:
        """What `GET /api/model` says."""
        model, sampler = self.model, self.model.sampler.spec
        settings = sampler["init_args"]
        takes_steps = "num_steps" in settings
        return {
            "name": model.bundle["name"] if model.bundle else None,
            "revision": model.bundle["revision"] if model.bundle else None,
            "card": self.card, "parts": model.fingerprints, "sampler": sampler,
            "sample_rate": model.codec.mel.sample_rate,
            "defaults": {
                "seed": 0, "steps": self.steps_of(model.sampler, model.columns) if takes_steps else None,
                "guidance": settings["guidance_scale"], "duration": _down(model.columns * model.column_seconds)},
            "limits": {"prompt": self.limits.prompt, "steps": self.most_steps_asked if takes_steps else None,
                       "guidance": MOST_GUIDANCE, "duration": _down(self.longest), "seed": 2**53 - 1,
                       "best_of": MOST_TAKES,
                       "waiting": self.limits.waiting, "kept": self.limits.kept, "body": self.limits.body},
            "inside": isinstance(model.decoder, DiscreteDiffusion),
        }

    def steps_of(self, sampler: TokenSampler, columns: int) -> int:
        """That it takes for so many columns, at most."""
        return self.model.decoder.num_steps(sampler, columns)

    def job(self, asked: dict[str, Any]) -> Job:
        """That of a request, whose types and plain limits have been looked at.

        Raises:
            ValueError: if it does not fit the model; the message names the option.
        """
        text, negative = asked.pop("text"), asked.get("negative")
        self.model.check_texts([text], [] if negative is None else [negative])
        self.model([], **asked)  # looks at the options
        guidance = asked.get("guidance")
        _check_negative(negative, self.model.sampler.guided if guidance is None else guidance != 1)
        if asked.get("best_of", 1) > 1:
            by_events().check(text)
        return Job(text, asked)

    def replay_job(self, sidecar: dict[str, Any]) -> Job:
        """That of a sidecar, which has been looked at by itself.

        Raises:
            ValueError: if it is not of this bundle, or is beyond the limits.
        """
        model, grid = self.model, sidecar["grid"]
        if others := other_parts(sidecar, model.fingerprints):
            raise ValueError(f"the clip was made by another bundle than the one that is served ({'; '.join(others)})")
        for name in ("text", "negative"):
            if len(sidecar[name] or "") > self.limits.prompt:
                raise ValueError(f"the sidecar's {name} has {len(sidecar[name])} characters, expected at most "
                                 f"{self.limits.prompt}")
        if grid["rows"] != model.decoder.rows or grid["columns"] > model.decoder.max_columns:
            raise ValueError(f"the sidecar's grid has {grid['rows']} rows and {grid['columns']} columns, expected "
                             f"{model.decoder.rows} rows and 1 to {model.decoder.max_columns} columns")
        sampler = sampler_of(sidecar)
        model.decoder.check_sampler(sampler)
        if unfit := [name for name, value in sampler.spec["init_args"].items()
                     if isinstance(value, float) and not math.isfinite(value)]:
            raise ValueError(f"the sidecar's sampler has a {unfit[0]} that is no finite number")
        if (steps := self.steps_of(sampler, grid["columns"])) > self.most_steps:
            raise ValueError(f"the sidecar's sampler takes {steps} steps, expected at most {self.most_steps}")
        _check_negative(sidecar["negative"], sampler.guided)
        model.check_texts([sidecar["text"]], [sidecar["negative"]] if sidecar["negative"] else [])
        return Job(sidecar["text"], sidecar=sidecar)

    def make(self, job: Job, on_step: Callable[[int, int], None]) -> None:
        """The clip of `job`, its sound and sidecar; of a replay, whether it is the same."""
        if job.sidecar is None:
            clip = self.model(job.text, on_step=on_step, **job.options)
        else:
            clip, job.replay = self._again(job.sidecar, on_step)
        job.files["sound.wav"] = encode(clip.waveform.numpy(), clip.sample_rate, ".wav")
        job.files["sidecar.json"] = clip.sidecar_json().encode()
        job.clip = clip

    def _again(self, sidecar: dict[str, Any], on_step: Callable[[int, int], None]) -> tuple[Clip, dict[str, Any]]:
        before = torch.get_num_threads()
        if sidecar["threads"] <= (os.cpu_count() or 1):  # the last bits of a sound can depend on it
            torch.set_num_threads(sidecar["threads"])
        try:
            clip, now = again(self.model, sidecar, on_step), machine(self.model.device)
        finally:
            torch.set_num_threads(before)
        others = other_values(clip, sidecar)
        return clip, {"same": not others, "others": others,
                      "differences": differences(sidecar, self.model.fingerprints, now)}

    def picture(self, job: Job, name: str) -> bytes:
        """One of `pictures` of a finished job, made the first time.

        Raises:
            NotThere: if there is none of this clip.
        """
        if name not in job.files:
            job.files[name] = self.pictures[name](job)
        return job.files[name]

    def _spectrogram(self, job: Job) -> bytes:
        return mel_png(job.clip.mel.numpy(), job.clip.mel_settings)

    def _timeline(self, job: Job) -> bytes:
        from diffsound.evaluation.timeline_picture import save_timelines
        from diffsound.scenes import read

        if (structure := read(job.text, "wide")) is None:
            raise NotThere("there is no timeline: the judge cannot tell what this sentence asks for, which is no "
                           "sentence of a scene")
        judge = by_events().judge
        if judge.mel != job.clip.mel_settings:
            raise NotThere("there is no timeline: the judge listens to another mel than this system's")
        heard = judge.listen(job.clip.waveform[None])[0]
        asked = [{"name": request.name, "onset": request.at, "offset": None}
                 for request in structure.requests for _ in range(request.count)]
        return _written("timeline.png", lambda path: save_timelines(
            path, job.clip.mel.numpy(), job.clip.mel_settings, asked, [vars(event) for event in heard]))

    def _confidence(self, job: Job) -> bytes:
        from diffsound.inside import save_confidence

        trace = self._trace(job)
        return _written("confidence.png", lambda path: save_confidence(path, trace))

    def _film(self, job: Job) -> bytes:
        from diffsound.inside import film

        trace = self._trace(job)
        frames = min(FRAMES, len(trace.t) + 1)
        return _written("film.gif", lambda path: film(self.model, trace, path.parent, frames, sounds=0))

    def _trace(self, job: Job) -> Trace:
        """The clip on its way, which is made a second time for it."""
        from diffsound.inside import look

        if not isinstance(self.model.decoder, DiscreteDiffusion):
            raise NotThere("there is nothing to look into: this system's decoder is not one of diffusion")
        sidecar = job.clip.sidecar
        return look(self.model, sidecar["text"], sidecar["seed"], sidecar["negative"], sampler_of(sidecar),
                    sidecar["grid"]["columns"])


def _check_negative(negative: str | None, guided: bool) -> None:
    if negative is not None and not guided:
        raise ValueError(f"negative is {negative!r}, which does nothing at guidance 1: raise guidance, say to 3")


def _down(seconds: float) -> float:
    """To milliseconds: not beyond the longest clip, nor into another token column."""
    return math.floor(seconds * 1000) / 1000


def _written(name: str, write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()
