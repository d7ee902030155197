"""What an evaluation leaves behind: scores.json, the page, the clips on it, and a table for a terminal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.estimate import Estimate
from diffsound.evaluation.order import Score
from diffsound.evaluation.report import write_report
from diffsound.evaluation.scores_file import FORMAT, ROWS
from diffsound.evaluation.tagger import EventTagger
from diffsound.evaluation.timeline_picture import save_timelines
from diffsound.scenes import Event, Structure
from diffsound.whole_file import write_text

EXAMPLES = 6  # of the worst and of the best clips


class Results:
    """All that scores.json will hold. content: everything but the scores and what was skipped."""

    def __init__(self, recipe: str) -> None:
        self.content: dict[str, Any] = {"format": FORMAT, "recipe": recipe}
        self.scores: dict[str, dict[str, Any]] = {}
        self.skipped: list[dict[str, Any]] = []

    def add(self, key: str, row: str, estimate: Estimate, **of_score: str) -> None:
        """The score `key` of one row of `ROWS`; of_score: label, group, better, unit; a note too, if any."""
        self.scores.setdefault(key, of_score)[row] = estimate.as_dict()

    def skip(self, name: str, why: str, clips: ClipSet) -> None:
        self.skipped.append({"name": name, "why": why, "clips": len(clips)})

    def write(self, out: Path, clips: int) -> Path:
        """OUT/scores.json and the page; returns the path of the page."""
        content = self.content | {"clips": clips, "scores": self.scores, "skipped": self.skipped}
        write_text(out / "scores.json", json.dumps(content, indent=1))
        return write_report(out)


def table(scores: dict[str, dict[str, Any]]) -> Iterable[str]:
    """Lines of plain text: a score a line, its interval, and the rows it is to be compared with; notes at the end."""
    notes = list(dict.fromkeys(one["note"] for one in scores.values() if "note" in one))
    others = [row for row in ROWS if row != "made"]
    yield f"{'':36}{'made':>9}  {'95 % interval':18}" + "".join(f"{row:>10}" for row in others)
    for one in scores.values():
        if "made" not in one:
            continue
        made = one["made"]
        cells = (_number(one[row]["value"]) if row in one else "" for row in others)
        mark = " " + "*" * (notes.index(one["note"]) + 1) if "note" in one else ""
        label = f"{one['label']}{', ' + one['unit'] if one['unit'] else ''}{mark}"
        yield (f"{label:36}{_number(made['value']):>9}  {_number(made['low']) + ' to ' + _number(made['high']):18}"
               + "".join(f"{cell:>10}" for cell in cells))
    yield from (f"{'*' * number} {note}" for number, note in enumerate(notes, 1))


def write_examples(folder: Path, sources: Mapping[str, Path], made: ClipSet, structures: Sequence[Structure],
                   heard: Sequence[Sequence[Event]], scores: Sequence[Score], judge: EventTagger
                   ) -> list[dict[str, Any]]:
    """The worst and the best clips, copied to `folder`/clips with their pictures; as scores.json tells them.

    Args:
        folder: of the report.
        sources: the file of each clip, by its id.
    """
    ranked = sorted(range(len(made)), key=lambda i: (rightness(scores[i]), i))
    chosen = {"worst": ranked[:EXAMPLES], "best": ranked[:-EXAMPLES - 1:-1]}
    folder, examples, heard_at = folder / "clips", [], made.at(judge.mel.sample_rate)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for rank, numbers in chosen.items():
        for i in numbers:
            source = sources[made.ids[i]]
            shutil.copyfile(source, folder / source.name)
            asked = [{"name": request.name, "onset": request.at, "offset": None}
                     for request in structures[i].requests for _ in range(request.count)]
            mel = judge.log_mel(heard_at.waveforms[i][None].to(judge.device))[0].cpu()
            save_timelines(folder / f"{made.ids[i]}.png", mel.numpy(), judge.mel, asked,
                           [vars(event) for event in heard[i]])
            examples.append({
                "id": made.ids[i], "text": made.texts[i], "audio": f"clips/{source.name}",
                "picture": f"clips/{made.ids[i]}.png", "seconds": made.seconds[i], "rank": rank,
                "score": rightness(scores[i]), "asked": asked, "captioned": None,
                "heard": [{"name": event.name, "onset": event.onset, "offset": event.offset}
                          for event in heard[i]]})
    return examples


def rightness(one: Score) -> float:
    """The mean of what a clip was asked and got, 0 to 1, by which the worst and best clips are found."""
    parts = [getattr(one, name) for name in ("precision", "recall", "order", "overlap", "count", "attributes")]
    ratios = [right / of for right, of in parts if of]
    return sum(ratios) / len(ratios) if ratios else 0.0


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
