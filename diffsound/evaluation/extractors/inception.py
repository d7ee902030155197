"""Melception, the extractor of the published scores: an Inception network over mels, trained on VGGSound
(arXiv:2110.08791)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.inception import BasicConv2d, Inception3

from diffsound.checkpoint import fingerprint
from diffsound.evaluation.extractors.base import Heard, MissingWeights, NetworkExtractor
from diffsound.evaluation.extractors.state import fill, read_state, sizes_of
from diffsound.mel import LogMel, MelSettings

LAYERS = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "Mixed_5b", "Mixed_5c",
          "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c")


class Melception(Inception3):
    """torchvision's Inception3 for one channel and, since a mel has 80 rows, without its two early poolings."""

    def __init__(self, classes: int = 309) -> None:
        super().__init__(classes, init_weights=False)
        self.Conv2d_1a_3x3 = BasicConv2d(1, 32, kernel_size=3, stride=2)

    def pooled(self, mel: Tensor) -> Tensor:
        """(B, 2048) of a standardised mel (B, 80, frames)."""
        x = mel[:, None]
        for name in LAYERS:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


class MelceptionExtractor(NetworkExtractor):
    """Features: pooled (2048). Logits: of 309 VGGSound classes; the inception score takes those without bias.

    Args:
        checkpoint: the published weights, read with weights_only=True.
        table: text of 80 lines, mean and standard deviation of each band of a mel in 0..1.
    Raises:
        MissingWeights: if one of the files is not there.
        ValueError: if one does not fit.
    """

    def __init__(self, checkpoint: str | os.PathLike, table: str | os.PathLike, batch_size: int = 8,
                 device: str | torch.device = "cpu") -> None:
        settings = MelSettings()
        state = read_state(checkpoint, "Melception", "--melception")
        means, deviations = _table(table, settings.n_mels)
        if "fc.weight" not in state:
            raise ValueError(f"{checkpoint}, given by --melception, is not Melception: it lacks the weight 'fc.weight'")
        with sizes_of(state, "Melception", "--melception"):
            network = Melception(len(state["fc.weight"]))
        if not any(name.startswith("AuxLogits.") for name in state):
            network.AuxLogits = None  # only for training
        fill(network, state, "Melception", "--melception")
        whole = nn.ModuleDict({"network": network, "mel": LogMel(settings)})
        whole.register_buffer("mean", means[:, None])
        whole.register_buffer("deviation", deviations[:, None])
        super().__init__("melception", whole, settings.sample_rate, fingerprint(whole, {"network": "Melception"}),
                         settings.sample_rate // 2, batch_size, device)

    def hear(self, waveform: Tensor) -> Heard:
        mel = (self.network["mel"](waveform) - self.network.mean) / self.network.deviation
        features = self.network["network"].pooled(mel)
        last = self.network["network"].fc
        return Heard(features, last(features), features @ last.weight.T)


def _table(path: str | os.PathLike, bands: int) -> tuple[Tensor, Tensor]:
    if not Path(path).is_file():
        raise MissingWeights(f"no table of band means and deviations at {path}: give --melception-table the one that "
                             "Melception was trained with")
    try:
        table = torch.from_numpy(np.loadtxt(path, dtype=np.float32, ndmin=2))
    except ValueError as error:
        raise ValueError(f"{path}, given by --melception-table, is not a table of numbers ({error})") from error
    if table.shape != (bands, 2) or not table.isfinite().all() or not (table[:, 1] > 0).all():
        raise ValueError(f"{path}, given by --melception-table, has shape {tuple(table.shape)}: expected {bands} lines "
                         "of a mean and a deviation above 0")
    return table[:, 0], table[:, 1]
