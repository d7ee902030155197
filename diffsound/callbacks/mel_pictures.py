"""Pictures of true and rebuilt mels, drawn at validation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from diffsound.vqvae.module import whole_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class MelPictures(pl.Callback):
    """Draws the first clips of the validation set beside what the codec makes of them.

    Writes `<default_root_dir>/pictures/step-000123.png`, and an image to TensorBoard where that is the logger.

    Args:
        count: number of clips; at most one batch.
        every_n_epochs: draws at the validations of every n-th epoch only.
    """

    def __init__(self, count: int = 4, every_n_epochs: int = 1) -> None:
        self.count, self.every_n_epochs = count, every_n_epochs

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any,
                                batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> None:
        wanted = batch_idx == dataloader_idx == 0 and trainer.current_epoch % self.every_n_epochs == 0
        if not wanted or trainer.sanity_checking or not trainer.is_global_zero:
            return
        mel = whole_columns(pl_module.log_mel(batch["waveform"][: self.count]))
        figure = draw(mel, pl_module(mel)[0].clamp(0, 1))
        path = Path(trainer.default_root_dir) / "pictures" / f"step-{trainer.global_step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure("val/mel", figure, trainer.global_step)


def draw(mel: Tensor, rebuilt: Tensor) -> Figure:
    """A row per clip, true mel left, rebuilt right. Both (B, n_mels, frames) in [0, 1]."""
    from matplotlib.figure import Figure  # without pyplot, which would keep every figure and look for a display

    figure = Figure(figsize=(10, 1 + 1.8 * len(mel)), layout="constrained")
    axes = figure.subplots(len(mel), 2, sharex=True, sharey=True, squeeze=False)
    for row, pair in zip(axes, zip(mel, rebuilt, strict=True), strict=True):
        for axis, picture in zip(row, pair, strict=True):
            axis.imshow(picture.float().cpu().numpy(), origin="lower", aspect="auto", vmin=0, vmax=1, cmap="magma")
    axes[0, 0].set_title("true")
    axes[0, 1].set_title("rebuilt")
    axes[-1, 0].set_xlabel("frame")
    axes[-1, 0].set_ylabel("mel band")
    return figure
