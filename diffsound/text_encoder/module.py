"""Text to condition: what all text encoders share."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diffsound.checkpoint import Checkpointed
from diffsound.text_encoder.condition import Condition


class TextEncoder(Checkpointed, LightningModule):
    """Base class. A subclass cuts a text into ids (`tokenize`) and embeds padded ids (`embed`).

    An encoder that is not trainable is frozen: always in eval mode, without gradients, in float32, and every caption's
    embeddings are kept on the CPU once computed.

    Args:
        width: D, size of an embedding.
        max_tokens: longer texts are cut, with a warning; their last id (the end token) is kept.
        trainable: learns with the decoder that uses it.
        cache_size: number of captions whose embeddings a frozen encoder keeps; 15 tokens of CLIP are 30 kB.
    """

    mask_token: str = "[MASK]"  # how a missing word is written in a text for this encoder

    def __init__(self, width: int, max_tokens: int, trainable: bool, cache_size: int = 0) -> None:
        super().__init__()
        self.width, self.max_tokens, self.trainable, self.cache_size = width, max_tokens, trainable, cache_size
        self._cache: dict[str, Tensor] = {}
        self._warned = False
        self.register_load_state_dict_post_hook(_forget)

    def forward(self, texts: list[str]) -> Condition:
        """The texts' token embeddings, padded to the longest of them; those of one text do not depend on the others."""
        if self.trainable:
            return self._encode(texts)
        with torch.no_grad(), torch.autocast(self._place.type, enabled=False):
            return self._encode_cached(texts)

    @classmethod
    def read_mask_token(cls, **arguments: Any) -> str:
        """The `mask_token` that an encoder with these arguments has, read without its weights."""
        return cls.mask_token

    def tokenize(self, text: str) -> list[int]:
        """Ids of one text, however long, with its end token: at least one, also for an empty text."""
        raise NotImplementedError

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, S, width) embeddings of ids (B, S), or (B, 1, width) if a text becomes one vector.

        `mask` (B, S) is true at tokens and false at padding, which is 0.
        """
        raise NotImplementedError

    def token_ids(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids (B, S) of the texts, cut to `max_tokens` and padded with 0, and their mask (B, S)."""
        rows = []
        for text in texts:
            ids = self.tokenize(text)
            if len(ids) > self.max_tokens:
                if not self._warned:
                    warnings.warn(f"a text of {len(ids)} tokens is cut to text_encoder.init_args.max_tokens = "
                                  f"{self.max_tokens} (said once): {text!r}", stacklevel=2)
                    self._warned = True
                ids = ids[:self.max_tokens - 1] + ids[-1:]
            rows.append(torch.tensor(ids))
        ids = pad_sequence(rows, batch_first=True)
        mask = torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])
        return ids.to(self._place), mask.to(self._place)

    def train(self, mode: bool = True) -> TextEncoder:
        learns = self.trainable and any(p.requires_grad for p in self.parameters())  # else no dropout either
        return super().train(mode and learns)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        raise ValueError(f"{type(self).__name__} comes trained, and has no training of its own: the stage text_encoder "
                         "is for SmallTextEncoder")

    def configure_optimizers(self) -> None:
        return None

    def predict_step(self, batch: dict, batch_idx: int) -> Condition:
        return self(batch["text"])

    @property
    def _place(self) -> torch.device:
        return next(self.parameters()).device

    def _encode(self, texts: list[str]) -> Condition:
        ids, mask = self.token_ids(texts)
        embeddings = self.embed(ids, mask).float()
        mask = mask[:, :embeddings.shape[1]]  # every text has a first token, so one vector is always real
        return Condition(embeddings.masked_fill(~mask[..., None], 0), mask)

    def _encode_cached(self, texts: list[str]) -> Condition:
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        fresh = {}
        if missing:
            embeddings, mask = self._encode(missing)
            fresh = {text: row[keep].cpu() for text, row, keep in zip(missing, embeddings, mask, strict=True)}
        rows = [fresh.get(text, self._cache.get(text)) for text in texts]
        # A full cache keeps what it has: an epoch visits captions in a new order, and by the time one comes round
        # again, dropping the oldest would have dropped it.
        self._cache |= dict(list(fresh.items())[:max(0, self.cache_size - len(self._cache))])
        lengths = torch.tensor([[len(row)] for row in rows])
        embeddings = pad_sequence(rows, batch_first=True)
        mask = torch.arange(embeddings.shape[1]) < lengths
        return Condition(embeddings, mask).to(self._place)


def _forget(encoder: TextEncoder, _: object) -> None:
    """Embeddings of earlier weights. A function, since a lambda cannot be sent to another process."""
    encoder._cache.clear()
