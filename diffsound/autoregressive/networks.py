"""A GPT over the token grid, with the text before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.attention import Attention, FeedForward, KeyValueCache, initial_std
from diffsound.checkpoint import Rebuildable
from diffsound.text_encoder.condition import Condition


class CausalBlock(nn.Module):
    """Self-attention and feed-forward, each normalised first, each added."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.norm_self, self.attend_self = nn.LayerNorm(width), Attention(width, heads, dropout=dropout)
        self.norm_feed, self.feed = nn.LayerNorm(width), FeedForward(width, feed_forward, nn.GELU(), dropout)

    def forward(self, x: Tensor, mask: Tensor, cache: KeyValueCache | None) -> Tensor:
        x = x + self.attend_self(self.norm_self(x), mask=mask, cache=cache)
        return x + self.feed(self.norm_feed(x))


class GPT(Rebuildable, nn.Module):
    """Logits of every token from the tokens before it and the text.

    The sequence is the text's embeddings, a start position, and the tokens in time-major order. The text sees all of
    itself; tokens see the text and what came before.

    Args:
        codebook_size: K.
        rows, max_columns: the token grid.
        layers, width, heads, feed_forward: transformer size; feed_forward is a multiple of width.
        condition_width: D of the text encoder.
        dropout: inside attention and feed-forward, in training.
    """

    def __init__(self, codebook_size: int, rows: int = 5, max_columns: int = 53, layers: int = 19, width: int = 1024,
                 heads: int = 16, feed_forward: int = 4, condition_width: int = 512, dropout: float = 0.0) -> None:
        super().__init__()
        self.codebook_size, self.rows, self.max_columns = codebook_size, rows, max_columns
        self.condition_width, self.layers = condition_width, layers
        self.text_projection = nn.Linear(condition_width, width)
        self.token_embedding = nn.Embedding(codebook_size, width)
        self.row_embedding = nn.Embedding(rows, width)
        self.column_embedding = nn.Embedding(max_columns, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(CausalBlock(width, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codebook_size, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initial_std(width))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor, condition: Condition) -> Tensor:
        """Logits (B, N+1, K): entry i predicts token i from the tokens before it. `tokens` is (B, N), N may be 0.

        Raises:
            ValueError: if N is more than rows * max_columns.
        """
        text = self.text_projection(condition.embeddings)
        x = torch.cat([text, self._embed(tokens, 0)], 1)
        length, prefix = x.shape[1], text.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask[:prefix, :prefix] = True
        mask = mask & F.pad(condition.mask, (0, length - prefix), value=True)[:, None, None]
        for block in self.blocks:
            x = block(x, mask, None)
        return self.head(self.norm(x[:, prefix:]))

    def start_state(self, condition: Condition) -> tuple[Tensor, list[KeyValueCache]]:
        """Logits (B, K) of the first token, and the caches that `next_logits` extends."""
        caches = [KeyValueCache() for _ in self.blocks]
        x = self.text_projection(condition.embeddings)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, condition.mask[:, None, None], cache)
        none = torch.zeros(len(x), 0, dtype=torch.long, device=x.device)
        return self._advance(self._embed(none, 0), caches, condition), caches

    def next_logits(self, token: Tensor, position: int, caches: list[KeyValueCache], condition: Condition) -> Tensor:
        """Logits (B, K) of the token after `token` (B,), which stands at `position`."""
        return self._advance(self._embed(token[:, None], position)[:, 1:], caches, condition)

    def _advance(self, x: Tensor, caches: list[KeyValueCache], condition: Condition) -> Tensor:
        seen = caches[0].keys.shape[2] + 1
        mask = F.pad(condition.mask, (0, seen - condition.mask.shape[1]), value=True)[:, None, None]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, mask, cache)
        return self.head(self.norm(x[:, -1]))

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        """(B, 1 + N, width): the start position, then `tokens` (B, N) that stand at positions first, first + 1, ..."""
        last = first + tokens.shape[1]
        if last > self.rows * self.max_columns:
            raise ValueError(f"{last} tokens asked for, this decoder makes at most {self.rows * self.max_columns} "
                             "(rows * max_columns)")
        s = torch.arange(first, last, device=tokens.device)
        position = self.row_embedding(s % self.rows) + self.column_embedding(s // self.rows)
        start = self.start.expand(len(tokens), 1, -1)
        return torch.cat([start, self.token_embedding(tokens) + position], 1)
