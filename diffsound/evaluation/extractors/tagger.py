"""The judge of the scenes as an extractor: it knows these sounds and no others, and comes with every training."""

from __future__ import annotations

import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor

from diffsound.checkpoint import fingerprint
from diffsound.evaluation.extractors.base import Heard, MissingWeights, NetworkExtractor
from diffsound.evaluation.tagger import EventTagger


class TaggerExtractor(NetworkExtractor):
    """Features: the hidden states of an `EventTagger`, each frame normalised, mean over time. As they are, those of
    silence are ten times as long as others, and distances tell little but how much silence there is: with them, a faint
    hiss is as far as pure noise. Logits: of "sounds", by a soft maximum over time (the logarithm of the mean of the
    exponentials), so that a bark of a fifth of a second is not lost in the rest.

    Args:
        tagger: the judge or its checkpoint.
    Raises:
        MissingWeights: if there is no such checkpoint.
        ValueError: if it is not one of an `EventTagger`.
    """

    def __init__(self, tagger: EventTagger | str | os.PathLike, batch_size: int = 16,
                 device: str | torch.device = "cpu") -> None:
        if not isinstance(tagger, EventTagger):
            if not os.path.isfile(tagger):
                raise MissingWeights(f"no tagger at {tagger}: train one (make train-tagger), or give --judge the path "
                                     "of its checkpoint")
            tagger = EventTagger.from_checkpoint(tagger)
        super().__init__("tagger", tagger, tagger.mel.sample_rate, fingerprint(tagger), tagger.mel.n_fft, batch_size,
                         device)

    def hear(self, waveform: Tensor) -> Heard:
        hidden = self.network.hidden(self.network.log_mel(waveform))
        sounds = self.network.head(hidden)[..., : len(self.network.classes)]  # (B, frames, classes)
        return Heard(F.layer_norm(hidden, hidden.shape[-1:]).mean(1), sounds.logsumexp(1) - math.log(sounds.shape[1]))
