"""The network p(x_0 | x_t, text): a transformer over the token grid."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.attention import Attention, FeedForward, initial_std
from diffsound.checkpoint import Rebuildable
from diffsound.positions import sinusoids
from diffsound.text_encoder.condition import Condition


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of CLIP and of the published denoiser."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(1.702 * x) / 1.702  # the same, in fewer passes over memory


class AdaLN(nn.Module):
    """Layer norm whose scale and shift depend on the step t; every layer owns its table of steps, as published."""

    def __init__(self, num_timesteps: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_timesteps, width)
        self.modulation = nn.Linear(width, 2 * width)

    def at(self, t: Tensor) -> Tensor:
        """Scale and shift (B, 2 * width) at steps t (B,) in 1..T."""
        return self.modulation(F.silu(self.embedding(t - 1)))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """x (B, N, width), modulation (B, 2 * width)."""
        scale, shift = modulation[:, None].chunk(2, -1)
        return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)


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

    def modulations(self, t: Tensor) -> list[Tensor]:
        """What its adaptive norms need at steps t (B,): (B, 2 * width) each."""
        return [norm.at(t) for norm in ((self.norm_self, self.norm_text) if self.crosses else (self.norm_self,))]

    def forward(self, x: Tensor, modulations: list[Tensor], mask: Tensor | None,
                text: tuple[Tensor, Tensor] | None, text_mask: Tensor) -> Tensor:
        x = x + self.attend_self(self.norm_self(x, modulations[0]), mask=mask)
        if self.crosses:
            x = x + self.attend_text(self.norm_text(x, modulations[1]), text, text_mask)
        return x + self.feed(self.norm_feed(x))


class Prepared(NamedTuple):
    """What all steps of a clip have in common, computed once by `Denoiser.prepare`."""

    prefix: Tensor | None  # (B, S, width): the text as positions of the self-attention
    text: list[tuple[Tensor, Tensor] | None]  # per block: keys and values of the text
    mask: Tensor  # (B, S)
    modulations: list[list[Tensor]]  # per block, per adaptive norm: (T, 2 * width)


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
    """

    def __init__(self, codebook_size: int, num_timesteps: int, rows: int = 5, max_columns: int = 53, layers: int = 19,
                 width: int = 1024, heads: int = 16, feed_forward: int = 4, condition_width: int = 512,
                 text: Literal["cross", "prefix"] = "cross",
                 positions: Literal["token", "column", "original"] = "token", dropout: float = 0.0) -> None:
        super().__init__()
        self.codebook_size, self.num_timesteps = codebook_size, num_timesteps
        self.rows, self.max_columns, self.condition_width = rows, max_columns, condition_width
        self.text, self.positions = text, positions
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

    def prepare(self, condition: Condition) -> Prepared:
        """For many calls with the same texts: all that does not depend on the tokens."""
        prefix, text = self._read(condition)
        t = torch.arange(1, self.num_timesteps + 1, device=condition.mask.device)
        return Prepared(prefix, text, condition.mask, [block.modulations(t) for block in self.blocks])

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | Prepared) -> Tensor:
        """Logits (B, L, K) of x_0.

        Args:
            x_t: (B, L) tokens in 0..K, time-major, L = rows * columns.
            t: (B,) in 1..T.
            condition: embeddings (B, S, condition_width), or what `prepare` made of them.
        Raises:
            ValueError: if L is not a whole number of columns up to `max_columns`.
        """
        columns, rest = divmod(x_t.shape[1], self.rows)
        if rest or not 1 <= columns <= self.max_columns:
            raise ValueError(f"{x_t.shape[1]} tokens are not 1 to {self.max_columns} columns of {self.rows} rows: "
                             "ask for another length, or raise max_columns of the denoiser and train again")
        if isinstance(condition, Prepared):
            prefix, text = condition.prefix, condition.text
            modulations = [[table[t - 1] for table in tables] for tables in condition.modulations]
        else:
            prefix, text = self._read(condition)
            modulations = [block.modulations(t) for block in self.blocks]
        x, mask, text_mask = self._embed(x_t, columns), None, condition.mask[:, None, None]
        if prefix is not None:
            x = torch.cat([prefix, x], 1)
            mask = F.pad(text_mask, (0, x.shape[1] - prefix.shape[1]), value=True)
        for block, modulation, keys_values in zip(self.blocks, modulations, text, strict=True):
            x = block(x, modulation, mask, keys_values, text_mask)
        positions = columns if self.positions == "column" else x_t.shape[1]
        return self.head(self.norm(x[:, -positions:])).reshape(*x_t.shape, self.codebook_size)

    def _read(self, condition: Condition) -> tuple[Tensor | None, list[tuple[Tensor, Tensor] | None]]:
        """The text as the blocks take it: as a prefix, or as keys and values of every block."""
        embeddings = condition.embeddings.to(self.head.weight.dtype)
        if self.text == "prefix":
            return self.text_projection(embeddings), [None] * len(self.blocks)
        return None, [block.attend_text.keys_values(embeddings) for block in self.blocks]

    def _embed(self, x_t: Tensor, columns: int) -> Tensor:
        if self.positions == "original":
            place = (self.row_embedding.weight[:, None] + self.column_embedding.weight).flatten(0, 1)
            return self.code_embedding(x_t) + place[:x_t.shape[1]]
        column = self.column_embedding.weight[:columns]
        if self.positions == "column":
            offset = torch.arange(self.rows, device=x_t.device) * (self.codebook_size + 1)
            return self.code_embedding(x_t.unflatten(1, (columns, self.rows)) + offset).sum(2) + column
        position = (column[:, None] + self.row_embedding.weight).flatten(0, 1)  # s = column * rows + row
        return self.code_embedding(x_t) + position
