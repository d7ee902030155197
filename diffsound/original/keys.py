"""Names of the published weights and their names here, module by module, and what of a file is left out, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

Rule = tuple[str, str]  # a pattern of original names, and the name here
Drop = tuple[str, str]  # a pattern of original names that are left out, and why
State = dict[str, Tensor]

CODEC: list[Rule] = [(rf"{part}\.", f"{part}.")
                     for part in ("encoder", "decoder", "quantize", "quant_conv", "post_quant_conv")]
CODEC_DROPS: list[Drop] = [
    (r"loss\.", "losses of its training (perceptual network, discriminator): they neither encode nor decode"),
]
MELGAN: list[Rule] = [(r"model\.(\d+)\.", r"model.\1.")]
CLIP: list[Rule] = [(re.escape(part), part)
                    for part in ("token_embedding.", "positional_embedding", "transformer.resblocks.", "ln_final.")]
CLIP_DROPS: list[Drop] = [(r"text_projection$", "projection of CLIP's text: the condition is taken before it")]
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
DENOISER_DROPS: list[Drop] = [(r"blocks\.\d+\.attn2\.mask$", "causal masks of the cross-attention: never used")]


def under(theirs: str, entries: Iterable[tuple[str, str]], ours: str = "") -> list[tuple[str, str]]:
    """Rules of a module for where it is a part: its names begin with `theirs` there, and with `ours` here."""
    return [(re.escape(theirs) + pattern, ours + replacement) for pattern, replacement in entries]


# The diffusion module in the moving average, which averages statistics and tables too.
AVERAGED: list[Rule] = [*under("transformer.", DENOISER, "denoiser."),
                        *under("condition_emb.", CLIP, "text_encoder.tower.")]
AVERAGED_DROPS: list[Drop] = [
    *under("transformer.", DENOISER_DROPS), *under("condition_emb.", CLIP_DROPS),
    (r"Lt_(history|count)$", "statistics of the loss by step: those of the last step ('model') are taken"),
    (r"log_(1_min_)?(cumprod_)?[abc]t$", "tables of the schedule: compared with those that the transition computes"),
]
# The diffusion module as it was last.
DIFFUSION: list[Rule] = [*AVERAGED, (r"Lt_history$", "timesteps.history"), (r"Lt_count$", "timesteps.count")]
# The whole diffusion file.
SOLVER: list[Rule] = [*under("content_codec.", CODEC, "codec."), *under("transformer.", DIFFUSION, "decoder.")]
SOLVER_DROPS: list[Drop] = [
    *under("content_codec.", CODEC_DROPS), *under("transformer.", AVERAGED_DROPS),
    (r"first_stage_permuter\.(forward|backward)_shuffle_idx$", "order of the tokens: compared with that of the codec"),
]


def sort(state: State, rules: list[Rule], drops: Iterable[Drop] = ()) -> tuple[State, dict[str, list[str]]]:
    """`state` under the names of this package, and the names that are left out by reason.

    Raises:
        ValueError: if a name fits neither a rule nor a drop.
    """
    kept, dropped = {}, {}
    for name, value in state.items():
        for pattern, replacement in rules:
            if match := re.match(pattern, name):
                kept[match.expand(replacement) + name[match.end():]] = value
                break
        else:
            reasons = [reason for pattern, reason in drops if re.match(pattern, name)]
            if not reasons:
                raise ValueError(f"the weight {name} {tuple(value.shape)} is not known")
            dropped.setdefault(reasons[0], []).append(name)
    return kept, dropped
