"""Does the system do what captions of scenes ask for? A judge listens, and is judged on true scenes beside that."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from diffsound.evaluation import EventTagger, score, summarise
from diffsound.scenes import SceneDataModule, Structure
from diffsound.text_to_sound import Clip

COLUMNS = ("f1", "order", "order_when_heard", "overlap", "count", "exact")
ROWS = ("true", "true, through codec and vocoder", "generated", "generated, captions shuffled")


class SceneScores(Callback):
    """Prints what `diffsound.evaluation.score` says of generated scenes, and of three others to compare with.

    True scenes show what the judge itself misses; true ones through codec and vocoder what no decoder can get right;
    captions shuffled what comes by chance.

    Args:
        tagger: checkpoint of the judge, an `EventTagger`.
    """

    def __init__(self, tagger: str) -> None:
        self.path = tagger

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(trainer.datamodule, SceneDataModule):
            raise ValueError(f"audio.class_path is {type(trainer.datamodule).__name__}: only scenes, whose timelines "
                             "are known, can be scored; take SceneDataModule")
        self.tagger = EventTagger.from_checkpoint(self.path).to(pl_module.device)
        self.asked: list[Structure] = []
        self.heard: dict[str, list] = {row: [] for row in ROWS[:3]}

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: list[Clip],
                          batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        codec = pl_module.codec
        tokens = codec.encode(batch["waveform"])
        rebuilt = codec.decode(tokens, tokens.shape[1] // codec.rows)
        self.asked += [Structure(**structure) for structure in batch["structure"]]
        for row, waveform in zip(ROWS, (batch["waveform"], pl_module.vocoder(rebuilt),
                                        torch.stack([clip.waveform for clip in outputs])), strict=False):
            self.heard[row] += self.tagger.listen(waveform.to(pl_module.device))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for line in table(self.results()):
            print(line)

    def results(self) -> dict[str, dict[str, float]]:
        """`summarise` of each row."""
        rows = {row: (heard, self.asked) for row, heard in self.heard.items()}
        rows[ROWS[-1]] = (self.heard["generated"], self.asked[1:] + self.asked[:1])
        return {row: summarise(score(*one) for one in zip(heard, asked, strict=True))
                for row, (heard, asked) in rows.items()}


def table(results: dict[str, dict[str, float]]) -> list[str]:
    """Lines of plain text; a dash where nothing of the kind was asked for."""
    lines = [" " * 33 + "".join(f"{column.replace('_when_', ' if '):>16}" for column in COLUMNS)]
    for row, values in results.items():
        cells = (f"{values[column]:.3f}" if column in values else "-" for column in COLUMNS)
        lines.append(f"{row:33}" + "".join(f"{cell:>16}" for cell in cells))
    return lines
