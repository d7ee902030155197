"""A log-mel as embeddings in time, and words one after the other from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffsound.attention import Attention, FeedForward, KeyValueCache, initial_std
from diffsound.checkpoint import Rebuildable
from diffsound.evaluation.tagger import ResidualBlock
from diffsound.positions import sinusoids


class MelEncoder(Rebuildable, nn.Module):
    """Two convolutions over frequency and time, residual ones over time, then a GRU both ways.

    Args:
        n_mels: bands of the mel.
        width: of the embeddings.
        blocks: residual convolutions.
    """

    def __init__(self, n_mels: int = 80, width: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.width = width
        self.stem = nn.Sequential(
            nn.Unflatten(1, (1, n_mels)),
            nn.Conv2d(1, 24, 8, stride=4, padding=2), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Flatten(1, 2), nn.Conv1d(48 * math.ceil(n_mels // 4 / 2), width, 1))
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.recurrence = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        """Embeddings (B, frames / 8, width) of a log-mel (B, n_mels, frames)."""
        x = self.blocks(self.stem(mel)).transpose(1, 2)
        x = self.norm(x + self.recurrence(x)[0])
        return x + sinusoids(x.shape[1], self.width, std=0.3).to(x)  # attention can then move on in time


class Block(nn.Module):
    """Self-attention to the words before, attention to the sound, feed-forward; each normalised first, each added."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_self, self.attend_self = nn.LayerNorm(width), Attention(width, heads, dropout=dropout)
        self.norm_sound, self.attend_sound = nn.LayerNorm(width), Attention(width, heads, dropout=dropout)
        self.norm_feed, self.feed = nn.LayerNorm(width), FeedForward(width, 4, nn.GELU(), dropout)

    def forward(self, x: Tensor, sound: Tensor, mask: Tensor | None, cache: KeyValueCache | None) -> Tensor:
        x = x + self.attend_self(self.norm_self(x), mask=mask, cache=cache)
        x = x + self.attend_sound(self.norm_sound(x), sound)
        return x + self.feed(self.norm_feed(x))


class TextDecoder(Rebuildable, nn.Module):
    """Logits of every word piece from the pieces before it and the sound.

    Args:
        vocabulary_size: number of word pieces.
        width: of its layers, and of the sound's embeddings.
        layers, heads: size of the transformer.
        max_tokens: most pieces that it has positions for.
        dropout: of attention and feed-forward.
    """

    def __init__(self, vocabulary_size: int, width: int = 128, layers: int = 2, heads: int = 4, max_tokens: int = 64,
                 dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.max_tokens = width, max_tokens
        self.word = nn.Embedding(vocabulary_size, width)
        self.position = nn.Parameter(sinusoids(max_tokens, width, std=0.3))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initial_std(width))
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.word.weight, std=0.5)

    def forward(self, ids: Tensor, sound: Tensor) -> Tensor:
        """Logits (B, S, V) of what follows each of `ids` (B, S), given the sound's embeddings (B, F, width)."""
        mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        return self._logits(ids, 0, sound, mask, [None] * len(self.blocks))

    def next_logits(self, ids: Tensor, position: int, sound: Tensor, caches: list[KeyValueCache]) -> Tensor:
        """Logits (B, V) of what follows `ids` (B,), which stand at `position`; `caches` hold what was before."""
        return self._logits(ids[:, None], position, sound, None, caches)[:, 0]

    def _logits(self, ids: Tensor, first: int, sound: Tensor, mask: Tensor | None,
                caches: list[KeyValueCache | None]) -> Tensor:
        x = self.word(ids) + self.position[first:first + ids.shape[1]]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, sound, mask, cache)
        return self.norm(x) @ self.word.weight.T / self.width ** 0.5 + self.bias
