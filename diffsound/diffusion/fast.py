"""The denoiser for sampling: the same function with less work around its products, at lower precision if asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsound.diffusion.denoiser import QUICK, AdaLN, Block, Denoiser
from diffsound.text_encoder.condition import Condition

Precision = Literal["float32", "bfloat16", "int8"]


class FastDenoiser:
    """What `denoiser` computes with the weights that it has now.

    Query, key and value are one product; the factor of QuickGELU is inside the weights beside it; scale and shift of
    every step are computed once, keys and values of the text once for all steps of a clip. Autocast does not reach in.

    Args:
        denoiser: the network.
        precision: of the large matrix products. "bfloat16" pays where the processor multiplies in it. "int8" has a
            scale for every output and for every token, so that a clip does not depend on its batch; for CPUs.
    """

    def __init__(self, denoiser: Denoiser, precision: Precision = "float32") -> None:
        weight = denoiser.head.weight
        if precision == "int8" and weight.device.type != "cpu":
            raise ValueError(f"sampler precision int8 is for CPUs, the decoder is on {weight.device}: use bfloat16")
        self.denoiser, self.device, self.dtype = denoiser, weight.device, weight.dtype
        steps = torch.arange(1, denoiser.num_timesteps + 1, device=self.device)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self.blocks = [FastBlock(block, precision) for block in denoiser.blocks]
            norms = [norm for block in self.blocks for norm in block.norms]
            tables = [torch.stack(norm.at(steps), 1) for norm in norms]
            self.modulations = torch.stack(tables, 1)  # (T, norms, 2, width)

    def prepare(self, condition: Condition) -> Callable[[Tensor, Tensor], Tensor]:
        """`Denoiser.forward` for B texts: a function of x_t (B, L) and t (B,) that gives logits (B, L, K)."""
        denoiser, embeddings = self.denoiser, condition.embeddings.to(self.dtype)
        bias = None if condition.mask.all() else torch.zeros(
            condition.mask.shape, dtype=self.dtype, device=self.device).masked_fill(~condition.mask, -torch.inf)
        prefix, texts = None, [None] * len(self.blocks)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            if denoiser.text == "prefix":
                prefix = denoiser.text_projection(embeddings)
            else:
                texts = [block.read(embeddings) for block in self.blocks]

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            if t.device.type == "cpu" and (t == t[0]).all():
                t = t[:1]
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                x, self_bias = denoiser.embed(x_t), None
                if prefix is not None:
                    self_bias = None if bias is None else F.pad(bias, (0, x.shape[1]))
                    x = torch.cat([prefix, x], 1)
                modulations = iter(self.modulations[t - 1].unbind(1))
                for block, text in zip(self.blocks, texts, strict=True):
                    x = block(x, modulations, self_bias, text, bias)
                return denoiser.predict(x, x_t)

        return denoise


class FastBlock:
    """One `Block`."""

    def __init__(self, block: Block, precision: Precision) -> None:
        attend, feed = block.attend_self, block.feed
        self.block, self.heads = block, attend.heads
        self.norms: list[AdaLN] = [block.norm_self]
        self.query_key_value = product([attend.query, attend.key, attend.value], precision)
        self.out = product([attend.out], precision)
        if block.crosses:
            self.norms.append(block.norm_text)
            self.text_query = product([block.attend_text.query], precision)
            self.text_out = product([block.attend_text.out], precision)
        self.up = product([feed[0]], precision, factor=QUICK)
        self.down = product([feed[2]], precision, divisor=QUICK)

    def read(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, S, width / heads) of embeddings (B, S, condition_width)."""
        attend = self.block.attend_text
        return _heads(attend.key(text), 1, self.heads)[0], _heads(attend.value(text), 1, self.heads)[0]

    def __call__(self, x: Tensor, modulations: Iterator[Tensor], bias: Tensor | None,
                 text: tuple[Tensor, Tensor] | None, text_bias: Tensor | None) -> Tensor:
        """x (B, N, width); of the next norms factor and shift (1 or B, 2, width); what is added to the scores of
        positions, (B, N), and of the text, (B, S), if some are padding."""
        q, k, v = _heads(self.query_key_value(modulated(x, next(modulations))), 3, self.heads)
        x = self.out(attention(q, k, v, bias)).add_(x)
        if text is not None:
            q = _heads(self.text_query(modulated(x, next(modulations))), 1, self.heads)[0]
            x = self.text_out(attention(q, *text, text_bias)).add_(x)
        return self.down(F.silu(self.up(self.block.norm_feed(x)), inplace=True)).add_(x)


def _heads(x: Tensor, parts: int, heads: int) -> Tensor:
    """(B, N, parts * width) -> (parts, B, heads, N, width / heads), in one copy."""
    clips, length, width = x.shape
    return x.view(clips, length, parts, heads, width // (parts * heads)).permute(2, 0, 3, 1, 4).contiguous()


def modulated(x: Tensor, modulation: Tensor) -> Tensor:
    """Layer norm of x (B, N, width), times a factor, plus a shift: modulation (1 or B, 2, width)."""
    if len(modulation) == 1:  # all clips at one step: one pass
        return F.layer_norm(x, x.shape[-1:], *modulation[0])
    factor, shift = modulation[:, None].unbind(2)
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), factor)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """(B, N, width) from heads (B, heads, N or S, width / heads); `bias` (B, S) is added to the scores.

    On a CPU clip by clip: a clip's scores stay in the cache, where torch's fused kernel is slower at these lengths.
    """
    clips, heads, length, width = q.shape
    if q.device.type != "cpu":
        mask = None if bias is None else bias[:, None, None].to(q.dtype)
        y = F.scaled_dot_product_attention(q, k, v, mask)
        return y.transpose(1, 2).reshape(clips, length, heads * width)
    result = torch.empty_like(q)
    scores = q.new_empty(heads, length, k.shape[2])
    for clip in range(clips):
        start = scores if bias is None else bias[clip]
        torch.baddbmm(start, q[clip], k[clip].transpose(1, 2), beta=int(bias is not None), alpha=width**-0.5,
                      out=scores)
        torch.softmax(scores, -1, out=scores)
        torch.bmm(scores, v[clip], out=result[clip])
    return result.transpose(1, 2).reshape(clips, length, heads * width)


def product(layers: list[nn.Linear], precision: Precision, factor: float = 1.0, divisor: float = 1.0
            ) -> Callable[[Tensor], Tensor]:
    """x (..., in) -> (..., out) for `layers` side by side: times `factor`, of an x that was multiplied by `divisor`."""
    weight, bias = layers[0].weight, layers[0].bias
    if len(layers) > 1:
        weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    if factor != divisor:
        weight, bias = weight * (factor / divisor), bias * factor
    return {"float32": Product, "bfloat16": BFloat16Product, "int8": Int8Product}[precision](weight, bias)


class Product:
    """x W^T + b in the type of the weights."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class BFloat16Product(Product):
    """The same in bfloat16, between activations as they are."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__(weight.bfloat16(), bias.bfloat16())

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x.bfloat16()).to(x.dtype)


class Int8Product:
    """The same in 8-bit integers: symmetric, a scale for every output of W (out, in) and for every row of x."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        weight = weight.float()
        self.scale, self.bias = weight.abs().amax(1).clamp(min=1e-12) / 127, bias.float()
        self.codes = (weight / self.scale[:, None]).round().to(torch.int8).t()

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).float()
        low, high = rows.aminmax(dim=-1, keepdim=True)
        scale = torch.maximum(high, -low).clamp(min=1e-12) / 127
        codes = (rows * scale.reciprocal()).round_().to(torch.int8)
        y = torch._int_mm(codes, self.codes) * scale
        return torch.addcmul(self.bias, y, self.scale).to(x.dtype).view(*x.shape[:-1], -1)
