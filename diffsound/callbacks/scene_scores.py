"""Does the system do what captions of scenes ask for? A judge listens, and is judged on true scenes beside that."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from diffsound.evaluation import EventTagger, score, summarise, summarise_by
from diffsound.scenes import SceneDataModule, Structure
from diffsound.text_to_sound import Clip

COLUMNS = ("f1", "order", "order_when_heard", "overlap", "count", "exact")
ROWS = ("true", "true, through codec and vocoder", "generated", "generated, captions shuffled")


class SceneScores(Callback):
    """Tells what `diffsound.evaluation.score` says of generated scenes, and of three others to compare with.

    True scenes show what the judge itself misses; true ones through codec and vocoder what no decoder can get right;
    captions shuffled what comes by chance. Generated ones are told by kind of caption too.

    Args:
        tagger: checkpoint of the judge, an `EventTagger`.
        file: where the table is kept, as JSON.
    Raises:
        ValueError: if the data are not scenes, or there are several processes.
    """

    def __init__(self, tagger: str, file: str) -> None:
        self.path, self.file = tagger, Path(file)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(trainer.datamodule, SceneDataModule):
            raise ValueError(f"audio.class_path is {type(trainer.datamodule).__name__}: only scenes, whose timelines "
                             "are known, can be scored; take SceneDataModule")
        if trainer.world_size > 1:
            raise ValueError(f"scores are counted in one process, not {trainer.world_size}: set trainer.devices to 1")
        self.tagger = EventTagger.from_checkpoint(self.path).to(pl_module.device)
        self.asked: list[Structure] = []
        self.heard: dict[str, list] = {row: [] for row in ROWS[:3]}

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: list[Clip],
                          batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        codec = pl_module.codec
        tokens = codec.encode(batch["waveform"])
        rebuilt = codec.decode(tokens, tokens.shape[1] // codec.rows)
        self.asked += [Structure.from_dict(structure) for structure in batch["structure"]]
        for row, waveform in zip(ROWS, (batch["waveform"], pl_module.vocoder(rebuilt),
                                        torch.stack([clip.waveform for clip in outputs])), strict=False):
            self.heard[row] += self.tagger.listen(waveform.to(pl_module.device))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        results = self.results()
        for line in table(results):
            print(line)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(self.file.name + ".part")
        temporary.write_text(json.dumps({"clips": len(self.asked), "scores": results}, indent=1))
        os.replace(temporary, self.file)
        print(f"scores of {len(self.asked)} scenes are in {self.file}")

    def results(self) -> dict[str, dict[str, float]]:
        """`summarise` of each row: those of `ROWS`, then the generated scenes by kind."""
        scores = {row: [score(*one) for one in zip(heard, self.asked, strict=True)]
                  for row, heard in self.heard.items()}
        scores[ROWS[-1]] = [score(*one) for one in zip(self.heard["generated"], self.asked[1:] + self.asked[:1],
                                                       strict=True)]
        kinds = summarise_by(scores["generated"], [asked.kind for asked in self.asked])
        return {**{row: summarise(scores[row]) for row in ROWS},
                **{f"generated, {kind}": values for kind, values in kinds.items()}}


def table(results: dict[str, dict[str, float]]) -> list[str]:
    """Lines of plain text; a dash where nothing of the kind was asked for."""
    lines = [" " * 33 + "".join(f"{column.replace('_when_', ' if '):>16}" for column in COLUMNS)]
    for row, values in results.items():
        cells = (f"{values[column]:.3f}" if column in values else "-" for column in COLUMNS)
        lines.append(f"{row:33}" + "".join(f"{cell:>16}" for cell in cells))
    return lines
