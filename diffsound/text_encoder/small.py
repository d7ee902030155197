"""A text encoder that learns with the decoder and needs no download."""

from __future__ import annotations

from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.optimizer import optimization
from diffsound.positions import sinusoids
from diffsound.text_encoder.module import TextEncoder
from diffsound.text_encoder.word_pieces import (
    END,
    MASK,
    VOCABULARY,
    build_tokenizer,
    read_vocabulary,
    refuse_other_vocabulary,
    vocabulary_checksum,
)


class Neighbours(nn.Module):
    """Adds to every word what the `reach` words before and after it make of it, each `dilation` words from the next."""

    def __init__(self, width: int, reach: int = 2, dropout: float = 0.0, dilation: int = 1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, 2 * reach + 1, padding=reach * dilation, dilation=dilation)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, width); `mask` (B, S) is true at words. Padding counts as silence, so batches do not matter."""
        y = self.norm(x).masked_fill(~mask[..., None], 0)
        y = self.convolution(y.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(self.out(F.gelu(y)))


class SmallTextEncoder(TextEncoder):
    """Word pieces, their places and their neighbours, trained together with the decoder that uses it.

    Layers are convolutions over neighbouring words: "after a dog" becomes something else than "before a dog", while
    every embedding stays that of its own word. With self-attention layers instead, each would soon hold the whole
    sentence, the decoder would have no need to look for the right word, and would learn no order of events.

    On its own it can be trained beforehand to fill in masked words (arXiv:1810.04805) of batches that have "text".

    Args:
        layers: convolutions, each over two words to both sides.
        dilations: of the layers' convolutions, one for each of `layers`; by default 1. 1, 1, 2, 4 reach 16 words.
        dropout: of every layer.
        learning_rate, betas, weight_decay, warmup_steps: of the training by itself, see
            `diffsound.optimizer.optimization`.
    """

    vocabulary_file = VOCABULARY

    def __init__(self, width: int = 192, layers: int = 2, max_tokens: int = 48, dropout: float = 0.0,
                 learning_rate: float = 1e-3, betas: tuple[float, float] = (0.9, 0.98), weight_decay: float = 0.01,
                 warmup_steps: int = 100, dilations: list[int] | None = None) -> None:
        super().__init__(width, max_tokens, trainable=True)
        if dilations and (len(dilations) != layers or min(dilations) < 1):
            raise ValueError(f"text_encoder.init_args.dilations is {dilations}, expected {layers} (layers) numbers of "
                             "at least 1")
        vocabulary = read_vocabulary(self.vocabulary_file)
        self.tokenizer = build_tokenizer(vocabulary)
        self.mask_id, self.end_id = vocabulary.index(MASK), vocabulary.index(END)
        self.register_buffer("vocabulary_checksum", vocabulary_checksum(vocabulary))
        # Positions must not drown beside words: at std 0.02 beside 1 a decoder learns which sounds a text names, but
        # never in what order.
        self.word = nn.Embedding(len(vocabulary), width)
        self.position = nn.Parameter(sinusoids(max_tokens, width, std=0.3))
        nn.init.normal_(self.word.weight, std=0.5)
        self.layers = nn.ModuleList(Neighbours(width, dropout=dropout, dilation=dilation)
                                    for dilation in dilations or repeat(1, layers))
        self.norm = nn.LayerNorm(width)
        self.learning_rate, self.betas, self.weight_decay = learning_rate, betas, weight_decay
        self.warmup_steps = warmup_steps

    def tokenize(self, text: str) -> list[int]:
        return [*self.tokenizer.encode(text).ids, self.end_id]

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.word(ids) + self.position[:ids.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        loss = self._masked_word_loss(batch["text"])
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["text"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        loss = self._masked_word_loss(batch["text"], torch.Generator().manual_seed(batch_idx))
        self.log(f"{self.phase}/loss", loss, prog_bar=True, batch_size=len(batch["text"]), sync_dist=True)

    def test_step(self, batch: dict, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> dict:
        return optimization(self, self.learning_rate, self.betas, self.weight_decay, self.warmup_steps)

    def _masked_word_loss(self, texts: list[str], generator: torch.Generator | None = None) -> Tensor:
        """Cross-entropy of the 15 % of word pieces that the encoder does not see."""
        ids, mask = self.token_ids(texts)
        hidden = (torch.rand(ids.shape, generator=generator) < 0.15).to(ids.device) & mask & (ids != self.end_id)
        embeddings = self.embed(ids.masked_fill(hidden, self.mask_id), mask)
        logits = embeddings[hidden] @ self.word.weight.T / self.width ** 0.5
        return F.cross_entropy(logits, ids[hidden], reduction="sum") / hidden.sum().clamp(min=1)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        refuse_other_vocabulary(state_dict, prefix, self.vocabulary_checksum, "text encoder")
        super()._load_from_state_dict(state_dict, prefix, *args)


def trained(path: str) -> SmallTextEncoder:
    """A `SmallTextEncoder` that was trained by itself, frozen, as a recipe can name it.

    Args:
        path: a checkpoint of stage text_encoder.
    """
    return SmallTextEncoder.from_checkpoint(path)
