"""The network p(x_0 | x_t, text): a transformer over the token grid."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.attention import Attention, FeedForward, checkpointed, initial_std
from diffsound.checkpoint import Rebuildable
from diffsound.positions import sinusoids
from diffsound.text_encoder.condition import Condition

QUICK = 1.702  # the slope of QuickGELU


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of CLIP and of the published denoiser."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(QUICK * x) / QUICK  # the same, in fewer passes over memory


class AdaLN(nn.Module):
    """Layer norm whose scale and shift depend on the step t; every layer owns its table of steps, as published."""

    def __init__(self, num_timesteps: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_timesteps, width)
        self.modulation = nn.Linear(width, 2 * width)

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """What the normed activations are multiplied by at steps t (B,) in 1..T, and what is added: (B, width) each."""
        scale, shift = self.modulation(F.silu(self.embedding(t - 1))).chunk(2, -1)
        return 1 + scale, shift

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (B, N, width), t (B,)."""
        factor, shift = self.at(t)
        return torch.addcmul(shift[:, None], F.layer_norm(x, x.shape[-1:]), factor[:, None])


class Block(nn.Module):
    """Self-attention, attention to the text (if `condition_width`), feed-forward; each normalised first, each added."""

    def __init__(self, num_timesteps: int, width: int, heads: int, condition_width: int | None, feed_forward: int,
                 dropout: float) -> None:
        super().__init__()
        self.norm_self, self.attend_self = AdaLN(num_timesteps, width), Attention(width, heads, dropout=dropout)
        self.crosses = condition_width is not None
        if self.crosses:
            self.norm_text = AdaLN(num_timesteps, width)
            self.attend_text = Attention(width, heads, condition_width, dropout)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = FeedForward(width, feed_forward, QuickGELU(), dropout)

    def forward(self, x: Tensor, t: Tensor, mask: Tensor | None, text: Tensor, text_mask: Tensor) -> Tensor:
        x = x + self.attend_self(self.norm_self(x, t), mask=mask)
        if self.crosses:
            x = x + self.attend_text(self.norm_text(x, t), text, text_mask)
        return x + self.feed(self.norm_feed(x))


class Denoiser(Rebuildable, nn.Module):
    """Logits of x_0 for every token, from x_t, t and the text.

    Args:
        codebook_size: K; tokens are 0..K, K the mask.
        num_timesteps: T.
        rows: frequency rows of the grid.
        max_columns: most time columns it can be asked for; any number up to it works.
        layers, width, heads, feed_forward: transformer size; feed_forward is a multiple of width.
        condition_width: D of the text encoder.
        text: "cross" attends to the text in every block (published); "prefix" puts it before the tokens in the
            self-attention, where word order reaches every layer.
        positions: "token" has one position a token; "column" one a time column, `rows` times shorter; "original" is
            "token" with row and column as the published models learned them: those of a row-major grid of
            max_columns, although the tokens are time-major.
        dropout: inside attention and feed-forward, in training.
        gradient_checkpointing: compute each block again in the backward pass instead of keeping what it computed:
            less memory, a third more time.
    """

    training_only = ("gradient_checkpointing",)

    def __init__(self, codebook_size: int, num_timesteps: int, rows: int = 5, max_columns: int = 53, layers: int = 19,
                 width: int = 1024, heads: int = 16, feed_forward: int = 4, condition_width: int = 512,
                 text: Literal["cross", "prefix"] = "cross",
                 positions: Literal["token", "column", "original"] = "token", dropout: float = 0.0,
                 gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.codebook_size, self.num_timesteps = codebook_size, num_timesteps
        self.rows, self.max_columns, self.condition_width = rows, max_columns, condition_width
        self.text, self.positions = text, positions
        self.gradient_checkpointing = gradient_checkpointing
        # One table of codes per row where a column sums its rows: the sum must tell which row a code came from.
        self.code_embedding = nn.Embedding((codebook_size + 1) * (rows if positions == "column" else 1), width)
        self.row_embedding = nn.Embedding(rows, width) if positions != "column" else None
        self.column_embedding = nn.Embedding(max_columns, width)
        self.text_projection = nn.Linear(condition_width, width) if text == "prefix" else None
        self.blocks = nn.ModuleList(
            Block(num_timesteps, width, heads, condition_width if text == "cross" else None, feed_forward, dropout)
            for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codebook_size * (rows if positions == "column" else 1))
        self._initialise(width)

    def _initialise(self, width: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=initial_std(width))
                nn.init.zeros_(module.bias)
        if self.positions == "column":  # at x_T only the position tells columns apart
            nn.init.normal_(self.code_embedding.weight, std=0.1)
            with torch.no_grad():
                self.column_embedding.weight.copy_(sinusoids(self.max_columns, width, std=0.3))

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits (B, L, K) of x_0.

        Args:
            x_t: (B, L) tokens in 0..K, time-major, L = rows * columns.
            t: (B,) in 1..T.
            condition: embeddings (B, S, condition_width).
        Raises:
            ValueError: if L is not a whole number of columns up to `max_columns`.
        """
        x = self.embed(x_t)
        text, mask, text_mask = condition.embeddings.to(x.dtype), None, condition.mask[:, None, None]
        if self.text == "prefix":
            x = torch.cat([self.text_projection(text), x], 1)
            mask = F.pad(text_mask, (0, x.shape[1] - text.shape[1]), value=True)
        run = checkpointed if self.gradient_checkpointing and self.training else Block.__call__
        for block in self.blocks:
            x = run(block, x, t, mask, text, text_mask)
        return self.predict(x, x_t)

    def embed(self, x_t: Tensor) -> Tensor:
        """Vectors (B, N, width) of tokens x_t (B, L): one each, or one a column."""
        columns, rest = divmod(x_t.shape[1], self.rows)
        if rest or not 1 <= columns <= self.max_columns:
            raise ValueError(f"{x_t.shape[1]} tokens are not 1 to {self.max_columns} columns of {self.rows} rows: "
                             "ask for another length, or raise max_columns of the denoiser and train again")
        if self.positions == "original":
            place = (self.row_embedding.weight[:, None] + self.column_embedding.weight).flatten(0, 1)
            return self.code_embedding(x_t) + place[:x_t.shape[1]]
        column = self.column_embedding.weight[:columns]
        if self.positions == "column":
            offset = torch.arange(self.rows, device=x_t.device) * (self.codebook_size + 1)
            return self.code_embedding(x_t.unflatten(1, (columns, self.rows)) + offset).sum(2) + column
        position = (column[:, None] + self.row_embedding.weight).flatten(0, 1)  # s = column * rows + row
        return self.code_embedding(x_t) + position

    def predict(self, x: Tensor, x_t: Tensor) -> Tensor:
        """Logits (B, L, K) from the last block's x (B, S + N, width), whose first S are the text, if it is a prefix."""
        positions = x_t.shape[1] // (self.rows if self.positions == "column" else 1)
        return self.head(self.norm(x[:, -positions:])).reshape(*x_t.shape, self.codebook_size)
