"""The judge that comes with the package, and how it got there.

    make train-tagger RECIPE=recipes/judge.yaml
    python -m diffsound.evaluation.judge runs/judge/tagger/last.ckpt

writes the folder `judge` beside this file: the weights, what they are weights of, and a card that says how well they
hear scenes of which the truth is known.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from diffsound.checkpoint import fingerprint, rebuild
from diffsound.evaluation.order import Score, score, summarise, summarise_by
from diffsound.evaluation.tagger import EventTagger
from diffsound.scenes import SceneDataset, Structure, World
from diffsound.scenes.dataset import TEST_START
from diffsound.scenes.world import DRAW

FOLDER = Path(__file__).with_name("judge")
WEIGHTS, DESCRIPTION, CARD = "model.safetensors", "judge.json", "README.md"
FORMAT = 1
PLAIN = World()
FULL = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.5, rooms=1.0)
COLUMNS = ("f1", "order", "overlap", "count", "onset_error", "attributes", "unasked", "exact")
HELD_OUT = "held out"  # the part of the test scenes with combinations that no training scene shows


def load_judge(path: str | os.PathLike | None = None) -> EventTagger:
    """The judge of a training checkpoint, or that of the package; in eval mode, frozen, on the CPU.

    Args:
        path: a checkpoint of stage tagger; None is the package's own.
    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no `EventTagger`, or the package's files are damaged.
    """
    if path is not None:
        return EventTagger.from_checkpoint(path)
    if missing := [name for name in (DESCRIPTION, WEIGHTS) if not (FOLDER / name).is_file()]:
        raise FileNotFoundError(f"the judge has no {' and no '.join(missing)} in {FOLDER}: install the package again, "
                                "or give --judge the checkpoint of another one")
    description = json.loads((FOLDER / DESCRIPTION).read_text())
    judge = rebuild(description["spec"])
    judge.load_state_dict({name: value.float() if value.is_floating_point() else value
                           for name, value in load_file(FOLDER / WEIGHTS).items()})
    judge.facts = description["facts"]
    if (found := fingerprint(judge)) != description["fingerprint"]:
        raise ValueError(f"the judge in {FOLDER} is {found}, expected {description['fingerprint']}: its files are "
                         "damaged or mixed; install the package again")
    return judge.eval().requires_grad_(False)


def write_judge(judge: EventTagger, folder: Path, card: str) -> None:
    """Weights in half precision (they are rounded in `judge` too), description and card."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half() if value.is_floating_point() else value for name, value in judge.state_dict().items()}
    judge.load_state_dict({name: value.float() if value.is_floating_point() else value
                           for name, value in halves.items()})
    description = {"format": FORMAT, "fingerprint": fingerprint(judge), "facts": judge.facts, "spec": judge.spec}
    texts = {DESCRIPTION: json.dumps(description, indent=1) + "\n", CARD: card}
    for name, text in texts.items():
        (folder / f"{name}.part").write_text(text, encoding="utf-8")
    save_file(halves, folder / f"{WEIGHTS}.part")
    for name in (WEIGHTS, *texts):
        os.replace(folder / f"{name}.part", folder / name)


@torch.no_grad()
def hear(judge: EventTagger, world: World, clips: int, num_samples: int, batch: int = 50
         ) -> tuple[list[Score], list[Structure], list[str]]:
    """Scores of the judge on true test scenes, what they asked for, and "seen" or "held out" for each."""
    scenes = SceneDataset(clips, num_samples, judge.mel.sample_rate, start=TEST_START, split="test", world=world)
    scores, structures, parts = [], [], []
    for first in range(0, clips, batch):
        items = [scenes[i] for i in range(first, min(first + batch, clips))]
        heard = judge.listen(torch.stack([item["waveform"] for item in items]))
        structures += [Structure.from_dict(item["structure"]) for item in items]
        parts += [item["combination"] for item in items]
        scores += [score(*pair) for pair in zip(heard, structures[first:], strict=True)]
    return scores, structures, parts


def card(judge: EventTagger, clips: int) -> str:
    """What is in the folder, and how well it hears."""
    seconds, parts = 86016 / judge.mel.sample_rate, []
    for title, world in (("dry, nothing said of the sounds", PLAIN),
                         ("in a room, with attributes, seconds and up to four sounds", FULL)):
        scores, structures, part = hear(judge, world, clips, 86016)
        rows = {"all": summarise(scores), **summarise_by(scores, part),
                **summarise_by(scores, [structure.kind for structure in structures])}
        parts += [f"\n{clips} true scenes {title}:\n", "\n".join(_table(rows))]
    weights = sum(parameter.numel() for parameter in judge.parameters())
    return CARD_TEXT.format(classes=len(judge.classes), millions=weights / 1e6, seconds=seconds,
                            steps=judge.facts.get("steps", "?"), fingerprint=fingerprint(judge),
                            version=version("torch"), tables="\n".join(parts))


CARD_TEXT = """# The judge

An `EventTagger` of {millions:.2f} M parameters (stored in half precision). It hears {classes} classes of procedural
sounds: when each begins and ends, how high, fast, loud and far it is. It was trained for {steps} steps of 16 scenes
by `make train-tagger RECIPE=recipes/judge.yaml`; none of the scenes below was among them. "Held out" are those that put
together what decoders never see in training. Fingerprint {fingerprint}, torch {version}.

It judges clips that claim to be such scenes. Of other recordings it can say nothing, and what it takes for right need
not sound good.

How well it hears true scenes of {seconds:.1f} s is the ceiling of every score; written by
`python -m diffsound.evaluation.judge`.
{tables}
"""


def _table(rows: dict[str, dict[str, float]]) -> Iterable[str]:
    yield f"| scenes | {' | '.join(name.replace('_', ' ') for name in COLUMNS)} |"
    yield f"|{'---|' * (len(COLUMNS) + 1)}"
    for name, values in rows.items():
        cells = (f"{values[column]:.3f}" if column in values else "" for column in COLUMNS)
        yield f"| {name} | {' | '.join(cells)} |"


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m diffsound.evaluation.judge",
                                     description="Put a trained judge into the package, with a card.")
    parser.add_argument("checkpoint", type=Path, help="of stage tagger")
    parser.add_argument("--clips", type=int, default=1000, help="true scenes of each table of the card")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(args)
    judge = EventTagger.from_checkpoint(options.checkpoint)
    write_judge(judge, options.out, "")  # rounds the weights: the card is of those
    write_judge(judge, options.out, text := card(judge, options.clips))
    print(text)


if __name__ == "__main__":
    main()
