"""The best of several takes of a sentence: by the events that a judge hears in them, or by CLAP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from diffsound.evaluation.tagger import EventTagger
    from diffsound.scenes import Structure
    from diffsound.text_to_sound import TextToSound

THRESHOLDS = (0.2, 0.5, 0.8)  # a take is right if nothing else is heard by an easy ear, and all of it by a hard one


@dataclass
class Take:
    """What `model` has drawn: `tokens` (rows * columns,). Mel and waveform are made if a judge asks for them."""

    model: TextToSound
    tokens: torch.Tensor

    @cached_property
    def mel(self) -> torch.Tensor:
        """(n_mels, frames), in [0, 1]."""
        return self.model.mel_of(self.tokens)[0]

    @cached_property
    def waveform(self) -> torch.Tensor:
        """(N,), on the CPU."""
        return self.model.sound_of(self.mel[None])


class Judge(Protocol):
    """Who chooses among takes; `name` is what sidecars call it."""

    name: str

    def check(self, text: str) -> None:
        """Raise ValueError if it cannot choose among takes of `text`."""

    def __call__(self, text: str, takes: Sequence[Take]) -> list[float]:
        """How good each is."""


def choose(text: str, takes: Sequence[Take], judge: Judge) -> tuple[int, dict[str, Any]]:
    """The place of the best, the first of several, and what its sidecar says of that."""
    scores = judge(text, takes)
    best = max(range(len(takes)), key=scores.__getitem__)
    return best, {"chosen": {"of": len(takes), "score": round(scores[best], 4), "by": judge.name}}


class ByEvents:
    """What the package's judge hears in takes of a sentence, against what it asks for. It is loaded when it listens."""

    @cached_property
    def judge(self) -> EventTagger:
        from diffsound.evaluation.judge import load_judge

        return load_judge()

    @cached_property
    def name(self) -> str:
        from diffsound.checkpoint import fingerprint

        return (f"events in mels likelier than {', '.join(map(str, THRESHOLDS))} for the judge "
                f"{fingerprint(self.judge)}")

    def check(self, text: str) -> None:
        """Raise ValueError if it cannot be told what `text` asks for."""
        self._asked(text)

    def __call__(self, text: str, takes: Sequence[Take]) -> list[float]:
        """From 0 to 1. Of takes that are right, the one of which the judge is surest: others are likelier to agree."""
        from diffsound.evaluation.order import fulfilment, score

        asked = self._asked(text)
        return [mean(fulfilment(score(events, asked)) for events in heard)
                for heard in self.judge.listen_at(THRESHOLDS, self._mels(takes))]

    def _mels(self, takes: Sequence[Take]) -> torch.Tensor:
        """(B, n_mels, frames), as the judge listens; of the sounds where mels of the system are of another kind."""
        import torch

        from diffsound.data.audio import resample

        settings = takes[0].model.codec.mel
        if settings == self.judge.mel:
            return torch.stack([take.mel for take in takes]).to(self.judge.device)
        waveforms = [torch.from_numpy(resample(take.waveform.numpy(), settings.sample_rate, self.judge.mel.sample_rate))
                     for take in takes]
        with torch.no_grad():
            return self.judge.log_mel(torch.stack(waveforms).to(self.judge.device))

    def _asked(self, text: str) -> Structure:
        from diffsound.scenes import read

        if (asked := read(text, "wide")) is None:
            raise ValueError(f"no best take can be told: the judge cannot tell what {text!r} asks for, which is no "
                             "sentence of a scene: leave best_of out, or give diffsound generate --rank clap --clap "
                             "FOLDER")
        return asked


@cache
def by_events() -> ByEvents:
    """The one of the package, loaded once."""
    return ByEvents()


class ByCLAP:
    """How near takes are to their sentence, by the model in a folder."""

    name = "CLAP"

    def __init__(self, folder: Path, device: torch.device) -> None:
        from diffsound.evaluation.extractors.clap import CLAPExtractor

        self.clap = CLAPExtractor(folder, device=device)

    def check(self, text: str) -> None:
        """All sentences will do."""

    def __call__(self, text: str, takes: Sequence[Take]) -> list[float]:
        """Cosines."""
        heard = self.clap([take.waveform for take in takes], takes[0].model.codec.mel.sample_rate)
        return (heard.features @ self.clap.text([text])[0]).tolist()
