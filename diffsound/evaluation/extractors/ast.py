"""The audio spectrogram transformer (arXiv:2104.01778) of AudioSet, such as MIT/ast-finetuned-audioset-10-10-0.4593."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from diffsound.checkpoint import fingerprint
from diffsound.evaluation.extractors.base import Heard, NetworkExtractor
from diffsound.evaluation.extractors.pretrained import read_folder


class ASTExtractor(NetworkExtractor):
    """Features: the mean of its two class tokens, after the last norm (768). Logits: of 527 AudioSet classes.

    It hears the first 10.24 s (`max_length` frames of 10 ms) of a clip; a shorter one is followed by silence.

    Args:
        folder: where transformers saved it: config.json, preprocessor_config.json, model.safetensors.
    Raises:
        MissingWeights: if the folder does not hold these.
        ValueError: if it holds another network.
    """

    def __init__(self, folder: str | os.PathLike, batch_size: int = 8, device: str | torch.device = "cpu") -> None:
        from transformers import ASTFeatureExtractor, ASTForAudioClassification

        network = read_folder(ASTForAudioClassification, folder, "--ast", ("preprocessor_config.json",))
        self.front = ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
        settings = {"front": repr(self.front.to_dict()), "network": network.config.to_diff_dict()}
        super().__init__("ast", network, self.front.sampling_rate, fingerprint(network, settings),
                         round(0.03 * self.front.sampling_rate), batch_size, device)

    def hear(self, waveform: Tensor) -> Heard:
        mel = self.front([clip.cpu().numpy() for clip in waveform], sampling_rate=self.sample_rate, return_tensors="pt")
        pooled = self.network.audio_spectrogram_transformer(mel["input_values"].to(waveform)).pooler_output
        return Heard(pooled, self.network.classifier(pooled))
