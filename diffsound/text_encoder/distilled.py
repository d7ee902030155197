"""A text encoder that learns with the decoder and knows beforehand which words are alike."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diffsound.text_encoder.small import SmallTextEncoder

VOCABULARY = Path(__file__).with_name("distilled.txt")
VECTORS = Path(__file__).with_name("distilled.safetensors")


class MeaningEmbedding(nn.Module):
    """Embeddings of words: a map of what they mean, which all share, and what each has of its own.

    What they mean are fixed vectors. What a word has of its own is left out in training at random, so that the shared
    map has to do without: words that were never trained on have nothing else.

    Args:
        vectors: (V, D) int8.
        scale: of one step of `vectors`.
        width: of an embedding.
        own: numbers that are learned of each word.
        own_dropout: share of words in training that go without.
        noise: standard deviation of what is added to meanings in training, where their mean square is 1: words nearby
            must do as well.
    """

    def __init__(self, vectors: Tensor, scale: Tensor, width: int, own: int, own_dropout: float, noise: float) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)
        self.register_buffer("scale", scale)
        self.own = nn.Embedding(len(vectors), own)
        self.map = nn.Linear(vectors.shape[1] + own, width, bias=False)
        nn.init.zeros_(self.own.weight)
        nn.init.normal_(self.map.weight, std=0.5 / vectors.shape[1] ** 0.5)  # embeddings of std 0.5
        self.own_dropout, self.noise = own_dropout, noise

    @property
    def weight(self) -> Tensor:
        """(V, width): the embeddings of all words."""
        return self.map(torch.cat([self.vectors * self.scale, self.own.weight], -1))

    def forward(self, ids: Tensor) -> Tensor:
        """(B, S) -> (B, S, width)."""
        meaning, own = self.vectors[ids] * self.scale, self.own(ids)
        if self.training:
            meant = (meaning != 0).any(-1, keepdim=True)  # punctuation and pieces of words have only their own
            meaning = meaning + self.noise * torch.randn_like(meaning) * meant
            own = own * ((torch.rand(*ids.shape, 1, device=ids.device) >= self.own_dropout) | ~meant)
        return self.map(torch.cat([meaning, own], -1))


class DistilledTextEncoder(SmallTextEncoder):
    """`SmallTextEncoder` whose words have vectors of a large sentence encoder, so that it can guess at unseen wordings.

    "A puppy yaps" is near "a dog barks" before any training. The vectors are in the package (`distil.py` tells how they
    were made) and become part of every checkpoint.

    Args:
        own, own_dropout, noise: see `MeaningEmbedding`; the rest as for `SmallTextEncoder`.
        dilations: of the layers' convolutions, one for each of `layers`; by default 1.
    """

    vocabulary_file = VOCABULARY

    def __init__(self, width: int = 192, layers: int = 2, max_tokens: int = 64, own: int = 16,
                 own_dropout: float = 0.3, noise: float = 0.2, dropout: float = 0.0, learning_rate: float = 1e-3,
                 betas: tuple[float, float] = (0.9, 0.98), weight_decay: float = 0.01, warmup_steps: int = 100,
                 dilations: list[int] | None = None) -> None:
        super().__init__(width, layers, max_tokens, dropout, learning_rate, betas, weight_decay, warmup_steps,
                         dilations)
        stored = load_file(VECTORS)
        self.word = MeaningEmbedding(stored["vectors"], stored["scale"], width, own, own_dropout, noise)
