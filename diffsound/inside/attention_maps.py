"""How much every place of the token grid takes from every word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffsound.attention import Attention
from diffsound.diffusion import Denoiser
from diffsound.inside.trace import Trace, diffusion_of
from diffsound.text_encoder import Condition
from diffsound.text_to_sound import TextToSound


@dataclass(frozen=True)
class WordAttention:
    """Attention to W words, a mean over heads, pieces of a word summed.

    With `text: cross` the words of a place sum to 1; with `text: prefix` to less, the rest went to other tokens.
    """

    words: list[str]
    t: Tensor  # (M,) int64, the steps looked at
    weights: Tensor  # (M, blocks, W, rows, columns), or (M, blocks, W, columns) with `positions: column`

    @property
    def mean(self) -> Tensor:
        """(W, rows, columns) or (W, columns): over steps and blocks."""
        return self.weights.mean((0, 1))


@torch.no_grad()
def attention_maps(denoiser: Denoiser, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """Weights of the attention from tokens to text, in every block and head, of an ordinary forward pass.

    Args:
        x_t, t, condition: as `Denoiser.forward`.
    Returns:
        (B, blocks, heads, N, S), N = L, or the number of columns with `positions: column`. 0 at padding of the text.
        With `text: cross` rows sum to 1; with `text: prefix` they are the share of the self-attention that goes to the
        text.
    """
    found, length = [], condition.mask.shape[1]

    def keep(layer: Attention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        weights = layer.weights(*args, **kwargs)
        found.append(weights[..., length:, :length].clone() if denoiser.text == "prefix" else weights)

    layers = [block.attend_text if block.crosses else block.attend_self for block in denoiser.blocks]
    hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
    try:
        denoiser(x_t, t, condition)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found, 1)


@torch.no_grad()
def word_attention(model: TextToSound, trace: Trace, calls: list[int] | None = None) -> WordAttention:
    """Attention to the words of `trace` at its steps, with the text; that of guidance's other pass is not looked at.

    Args:
        calls: which calls of the network, 0..N-1; by default all.
    """
    decoder = diffusion_of(model)
    condition = decoder.condition([trace.text])
    calls = list(range(len(trace.t))) if calls is None else calls
    of_call = []
    for call in calls:  # one by one: a block of the published size holds 25 MB of weights a step
        x_t, t = (each[call:call + 1].to(decoder.device) for each in (trace.x_t, trace.t))
        maps = attention_maps(decoder.denoiser, x_t, t, condition)[0].mean(1).cpu()  # (blocks, N, S)
        words = torch.stack([maps[..., list(word.places)].sum(-1) for word in trace.words], 1)  # (blocks, W, N)
        of_call.append(words if decoder.denoiser.positions == "column" else trace.grid(words))
    return WordAttention([word.text for word in trace.words], trace.t[calls], torch.stack(of_call))
