"""CLAP (arXiv:2211.06687): sounds and texts in one space, for the CLAP score. Such as laion/clap-htsat-unfused."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from diffsound.checkpoint import fingerprint
from diffsound.evaluation.extractors.base import Heard, NetworkExtractor
from diffsound.evaluation.extractors.pretrained import read_folder


class CLAPExtractor(NetworkExtractor):
    """Features: the embedding of a clip, of length 1 (512). No logits.

    It hears the first 10 s of a clip, always the same ones (its own front draws a part of a longer clip at random);
    a shorter one is repeated, as published.

    Args:
        folder: where transformers saved model and processor: config.json, preprocessor_config.json, tokenizer.json,
            tokenizer_config.json, model.safetensors.
    Raises:
        MissingWeights: if the folder does not hold these.
        ValueError: if it holds another network.
    """

    def __init__(self, folder: str | os.PathLike, batch_size: int = 8, device: str | torch.device = "cpu") -> None:
        from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

        network = read_folder(ClapModel, folder, "--clap", ("tokenizer_config.json",))
        self.front = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        settings = {"front": repr(self.front.to_dict()), "network": network.config.to_diff_dict()}
        super().__init__("clap", network, self.front.sampling_rate, fingerprint(network, settings),
                         self.front.fft_window_size, batch_size, device)

    def hear(self, waveform: Tensor) -> Heard:
        waveform = waveform[:, : self.front.nb_max_samples]
        mel = self.front([clip.cpu().numpy() for clip in waveform], sampling_rate=self.sample_rate, return_tensors="pt")
        # Its front calls one clip of a batch "longer", at random, for the sake of training; none is.
        longer = torch.zeros(len(waveform), 1, dtype=torch.bool, device=waveform.device)
        found = self.network.get_audio_features(mel["input_features"].to(waveform), is_longer=longer)
        return Heard(found.pooler_output, None)

    @torch.inference_mode()
    def text(self, texts: Sequence[str]) -> Tensor:
        """(B, D) embeddings of length 1, on the CPU.

        Raises:
            ValueError: if there are no texts, or one is empty.
        """
        if not texts or not all(text.strip() for text in texts):
            raise ValueError(f"a CLAP score needs a text for each clip, found {list(texts).count('')} empty ones "
                             f"of {len(texts)}")
        rows = []
        for first in range(0, len(texts), self.batch_size):
            tokens = self.tokenizer(list(texts[first:first + self.batch_size]), padding=True, truncation=True,
                                    max_length=self._longest, return_tensors="pt").to(self.device)
            found = self.network.get_text_features(tokens["input_ids"], tokens["attention_mask"])
            rows.append(found.pooler_output.float().cpu())
        return torch.cat(rows)

    @property
    def _longest(self) -> int:
        text = self.network.config.text_config
        return text.max_position_embeddings - text.pad_token_id - 1  # positions are counted from the padding id
