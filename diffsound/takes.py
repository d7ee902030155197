"""The best of several takes of a sentence: by the events that a judge hears in them, or by CLAP."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from diffsound.clip import Clip
    from diffsound.scenes import Structure

THRESHOLDS = (0.2, 0.5, 0.8)  # a take is right if nothing else is heard by an easy ear, and all of it by a hard one


def best(takes: list[Clip], judge: ByEvents | ByCLAP) -> Clip:
    """The take with the highest score, the first of several; its sidecar tells among how many, and by whom."""
    scores = judge(takes[0].sidecar["text"], takes)
    chosen = max(range(len(takes)), key=scores.__getitem__)
    takes[chosen].sidecar["chosen"] = {"of": len(takes), "score": round(scores[chosen], 4), "by": judge.name}
    return takes[chosen]


class ByEvents:
    """What the package's judge hears in takes of a sentence, against what the sentence asks for."""

    def __init__(self) -> None:
        from diffsound.checkpoint import fingerprint
        from diffsound.evaluation.judge import load_judge

        self.judge = load_judge()
        self.name = f"events likelier than {', '.join(map(str, THRESHOLDS))} for the judge {fingerprint(self.judge)}"

    def check(self, text: str) -> None:
        """Raise ValueError if it cannot be told what `text` asks for."""
        self._asked(text)

    def __call__(self, text: str, takes: list[Clip]) -> list[float]:
        """From 0 to 1. Of takes that are right, the one of which the judge is surest: others are likelier to agree."""
        from diffsound.evaluation.clips import ClipSet
        from diffsound.evaluation.order import fulfilment, score
        from diffsound.evaluation.scoring import listen_at

        asked = self._asked(text)
        clips = ClipSet("takes", [clip.waveform for clip in takes], takes[0].sample_rate, [text] * len(takes),
                        [str(number) for number in range(len(takes))])
        return [mean(fulfilment(score(events, asked)) for events in heard)
                for heard in listen_at(THRESHOLDS, self.judge, clips)]

    def _asked(self, text: str) -> Structure:
        from diffsound.scenes import read

        if (asked := read(text, "wide")) is None:
            raise ValueError(f"--best-of: the judge cannot tell what {text!r} asks for, which is no sentence of a "
                             "scene: give --rank clap --clap FOLDER, or leave --best-of out")
        return asked


class ByCLAP:
    """How near takes are to their sentence, by the model in a folder."""

    name = "CLAP"

    def __init__(self, folder: Path, device: torch.device) -> None:
        from diffsound.evaluation.extractors.clap import CLAPExtractor

        self.clap = CLAPExtractor(folder, device=device)

    def check(self, text: str) -> None:
        """All sentences will do."""

    def __call__(self, text: str, takes: list[Clip]) -> list[float]:
        """Cosines."""
        heard = self.clap([clip.waveform for clip in takes], takes[0].sample_rate)
        return (heard.features @ self.clap.text([text])[0]).tolist()
