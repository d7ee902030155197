"""Names of the published weights and their names here, module by module."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor

Rule = tuple[str, str]  # a pattern of original names, and the name here
State = dict[str, Tensor]

DENOISER: list[Rule] = [
    (r"content_emb\.emb\.", "code_embedding."),
    (r"content_emb\.height_emb\.", "row_embedding."),
    (r"content_emb\.width_emb\.", "column_embedding."),
    (r"blocks\.(\d+)\.ln1\.emb\.", r"blocks.\1.norm_self.embedding."),
    (r"blocks\.(\d+)\.ln1\.linear\.", r"blocks.\1.norm_self.modulation."),
    (r"blocks\.(\d+)\.ln1_1\.emb\.", r"blocks.\1.norm_text.embedding."),
    (r"blocks\.(\d+)\.ln1_1\.linear\.", r"blocks.\1.norm_text.modulation."),
    (r"blocks\.(\d+)\.ln2\.", r"blocks.\1.norm_feed."),
    (r"blocks\.(\d+)\.attn1\.proj\.", r"blocks.\1.attend_self.out."),
    (r"blocks\.(\d+)\.attn1\.(key|query|value)\.", r"blocks.\1.attend_self.\2."),
    (r"blocks\.(\d+)\.attn2\.proj\.", r"blocks.\1.attend_text.out."),
    (r"blocks\.(\d+)\.attn2\.(key|query|value)\.", r"blocks.\1.attend_text.\2."),
    (r"blocks\.(\d+)\.mlp\.([02])\.", r"blocks.\1.feed.\2."),
    (r"to_logits\.0\.", "norm."),
    (r"to_logits\.1\.", "head."),
]
GPT: list[Rule] = [
    (r"tok_emb\.", "token_embedding."),
    (r"pos_emb$", "position_embedding"),
    (r"embedder\.", "text_projection."),
    (r"blocks\.(\d+)\.ln1\.", r"blocks.\1.norm_self."),
    (r"blocks\.(\d+)\.ln2\.", r"blocks.\1.norm_feed."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"blocks.\1.attend_self.out."),
    (r"blocks\.(\d+)\.attn\.(key|query|value)\.", r"blocks.\1.attend_self.\2."),
    (r"blocks\.(\d+)\.mlp\.([02])\.", r"blocks.\1.feed.\2."),
    (r"ln_f\.", "norm."),
    (r"head\.", "head."),
]


def rename(state: State, rules: list[Rule], unused: Callable[[str], bool] = lambda name: False) -> State:
    """`state` under the names of this package; names that are `unused` are left out.

    Raises:
        ValueError: if a name fits no rule.
    """
    result = {}
    for name, value in state.items():
        if unused(name):
            continue
        for pattern, replacement in rules:
            if match := re.match(pattern, name):
                result[match.expand(replacement) + name[match.end():]] = value
                break
        else:
            raise ValueError(f"the weight {name} {tuple(value.shape)} is not known")
    return result


def denoiser_weights(state: State) -> State:
    """Weights of `Denoiser`; the original's attn2.mask was never used."""
    return rename(state, DENOISER, lambda name: name.endswith("attn2.mask"))


def gpt_weights(state: State) -> State:
    """Weights of `GPT`; its masks are made anew."""
    result = rename(state, GPT, lambda name: name.endswith("attn.mask"))
    result["text_projection.weight"] = result["text_projection.weight"].squeeze(-1)  # a convolution of width 1
    return result
