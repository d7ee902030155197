"""A GPT over the token grid, with the text before it."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.attention import Attention, FeedForward, KeyValueCache, checkpointed, initial_std
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
    itself; tokens see the text and what came before. The last position before the tokens predicts the first of them.

    Args:
        codebook_size: K.
        rows, max_columns: the token grid.
        layers, width, heads, feed_forward: transformer size; feed_forward is a multiple of width.
        condition_width: D of the text encoder.
        positions: "grid" adds a row's and a column's embedding to each token; "sequence" is as the published baseline:
            one embedding a place of the whole sequence, no start position, and a text that is one vector.
        dropout: inside attention and feed-forward, in training.
        gradient_checkpointing: compute each block again in the backward pass instead of keeping what it computed:
            less memory, a third more time.
    """

    training_only = ("gradient_checkpointing",)

    def __init__(self, codebook_size: int, rows: int = 5, max_columns: int = 53, layers: int = 19, width: int = 1024,
                 heads: int = 16, feed_forward: int = 4, condition_width: int = 512,
                 positions: Literal["grid", "sequence"] = "grid", dropout: float = 0.0,
                 gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.codebook_size, self.rows, self.max_columns = codebook_size, rows, max_columns
        self.condition_width, self.layers, self.positions = condition_width, layers, positions
        self.gradient_checkpointing = gradient_checkpointing
        self.text_projection = nn.Linear(condition_width, width)
        self.token_embedding = nn.Embedding(codebook_size, width)
        if positions == "grid":
            self.row_embedding = nn.Embedding(rows, width)
            self.column_embedding = nn.Embedding(max_columns, width)
            self.start = nn.Parameter(torch.zeros(width))
        else:
            self.position_embedding = nn.Parameter(torch.zeros(1, 1 + rows * max_columns, width))
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
        before = self._before(condition)
        x = torch.cat([before, self._embed(tokens, 0)], 1)
        mask = self._mask(condition, x.shape[1])
        run = checkpointed if self.gradient_checkpointing and self.training else CausalBlock.__call__
        for block in self.blocks:
            x = run(block, x, mask, None)
        return self.head(self.norm(x[:, before.shape[1] - 1:]))

    def start_state(self, condition: Condition) -> tuple[Tensor, list[KeyValueCache]]:
        """Logits (B, K) of the first token, and the caches that `next_logits` extends."""
        caches = [KeyValueCache() for _ in self.blocks]
        x = self._before(condition)
        return self._advance(x, self._mask(condition, x.shape[1]), caches), caches

    def next_logits(self, token: Tensor, position: int, caches: list[KeyValueCache], condition: Condition) -> Tensor:
        """Logits (B, K) of the token after `token` (B,), which stands at `position`."""
        seen = caches[0].keys.shape[2] + 1
        mask = F.pad(condition.mask, (0, seen - condition.mask.shape[1]), value=True)[:, None, None]
        return self._advance(self._embed(token[:, None], position), mask, caches)

    def _advance(self, x: Tensor, mask: Tensor, caches: list[KeyValueCache]) -> Tensor:
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, mask, cache)
        return self.head(self.norm(x[:, -1]))

    def _before(self, condition: Condition) -> Tensor:
        """What stands before the tokens: the text, and the start position if there is one."""
        text = self.text_projection(condition.embeddings)
        if self.positions == "grid":
            return torch.cat([text, self.start.expand(len(text), 1, -1)], 1)
        if text.shape[1] != 1:
            raise ValueError(f"a text of {text.shape[1]} vectors came to a GPT with positions 'sequence', which takes "
                             "one: use a text encoder that pools, or positions: grid")
        return text + self.position_embedding[:, :1]

    def _mask(self, condition: Condition, length: int) -> Tensor:
        """(B, 1, length, length), true where attention is allowed."""
        prefix = condition.mask.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=condition.mask.device).tril()
        mask[:prefix, :prefix] = True
        return mask & F.pad(condition.mask, (0, length - prefix), value=True)[:, None, None]

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        """(B, N, width) of `tokens` (B, N) that stand at positions first, first + 1, ..."""
        last = first + tokens.shape[1]
        if last > self.rows * self.max_columns:
            raise ValueError(f"{last} tokens asked for, this decoder makes at most {self.rows * self.max_columns} "
                             "(rows * max_columns)")
        if self.positions == "sequence":
            return self.token_embedding(tokens) + self.position_embedding[:, 1 + first : 1 + last]
        s = torch.arange(first, last, device=tokens.device)
        return self.token_embedding(tokens) + self.row_embedding(s % self.rows) + self.column_embedding(s // self.rows)
