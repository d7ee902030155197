"""Modules from published weights: their sizes are read off the tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffsound.diffusion import (
    Denoiser,
    DiscreteDiffusion,
    ImportanceTimesteps,
    LinearSchedule,
    Mask,
    MaskUniform,
    Transition,
    Uniform,
    VariationalBound,
)
from diffsound.mel import MelSettings
from diffsound.original.keys import State
from diffsound.plain_weights import is_finite
from diffsound.text_encoder import CLIPTextEncoder
from diffsound.vocoder import Generator, MelGAN
from diffsound.vqvae import VQVAE, Codebook, Decoder, Encoder, ReconstructionLoss

LOG_TOLERANCE = 1e-3  # of the schedule's logarithms, which the file holds in float32


def build_codec(weights: State, mel: MelSettings) -> VQVAE:
    """The codec with the weights of `VQVAE`. Any number of rows and columns fits it.

    Raises:
        ValueError: if a weight is missing, superfluous, of another shape or not finite.
    """
    sizes = codec_sizes(weights)
    codes, embed_dim = _shape(weights, "quantize.embedding.weight", 2)
    with torch.device("meta"):
        encoder, decoder = Encoder(**sizes), Decoder(**sizes)
    codec = VQVAE(mel, encoder, decoder, Codebook(codes, embed_dim, legacy_commitment=True), embed_dim,
                  ReconstructionLoss())
    return fill(codec, weights)


def codec_sizes(weights: State) -> dict[str, Any]:
    """Arguments of `Encoder` and `Decoder`."""
    channels, in_channels = _shape(weights, "encoder.conv_in.weight", 4)[:2]
    if in_channels != 1:
        raise ValueError(f"the codec takes pictures of {in_channels} channels, expected mels: one channel")
    levels = _count(weights, "encoder.down.")
    widths = [_shape(weights, f"encoder.down.{level}.block.0.conv1.weight", 4)[0] for level in range(levels)]
    if any(width % channels for width in widths):
        raise ValueError(f"the codec's levels are {widths} wide, expected multiples of the first, {channels}")
    return {"channels": channels, "channel_multipliers": [width // channels for width in widths],
            "res_blocks": _count(weights, "encoder.down.0.block."),
            "z_channels": _shape(weights, "encoder.conv_out.weight", 4)[0],
            "attention": "encoder.mid.attn_1.q.weight" in weights}


def build_vocoder(weights: State) -> MelGAN:
    """The vocoder with the weights of `Generator`; its mel has the published settings, bands and hop the tensors'."""
    sizes = melgan_sizes(weights)
    with torch.device("meta"):
        generator = Generator(**sizes)
    generator = fill(generator, weights)
    mel = MelSettings(n_mels=sizes["n_mels"], hop_length=generator.hop_length)
    segment = 8192 - 8192 % generator.hop_length
    # Not known from the file; what training needs to go on, without an adversary.
    return MelGAN(mel, generator, segment=segment, mel_weight=1.0, fade_silence=False)


def melgan_sizes(weights: State) -> dict[str, Any]:
    """Arguments of `Generator`."""
    n_mels = _shape(weights, "model.1.weight_v", 3)[1]
    outer = sorted(int(name.split(".")[1]) for name in weights if name.count(".") == 2 and name.endswith(".weight_v"))
    ratios = [_shape(weights, f"model.{i}.weight_v", 3)[2] // 2 for i in outer[1:-1]]
    if not ratios:
        raise ValueError("the vocoder has no upsampling: model.3.weight_v is missing")
    units = sum(name.endswith(".shortcut.weight_v") for name in weights)
    return {"n_mels": n_mels, "channels": _shape(weights, f"model.{outer[-1]}.weight_v", 3)[1],
            "residual_layers": units // len(ratios), "ratios": ratios}


def build_decoder(weights: State, tables: State, heads: int) -> DiscreteDiffusion:
    """The diffusion decoder and its text encoder.

    Args:
        weights: under the names that `keys.DIFFUSION` gives.
        tables: the schedule's, `log_at` and so on: those of 'model', since averages of them are rounded.
        heads: of the denoiser; no tensor tells.
    """
    denoiser_state = part(weights, "denoiser.")
    sizes = denoiser_sizes(denoiser_state)
    if sizes["width"] % heads:
        raise ValueError(f"--heads {heads} does not divide the width of the denoiser, {sizes['width']}")
    with torch.device("meta"):
        denoiser = Denoiser(**sizes, heads=heads, positions="original")
    steps = sizes["num_timesteps"]
    decoder = DiscreteDiffusion(
        build_text_encoder(part(weights, "text_encoder.tower.")), fill(denoiser, denoiser_state),
        build_transition(tables, sizes["codebook_size"], steps), VariationalBound(5e-4, auxiliary_trend="rising"),
        fill(ImportanceTimesteps(steps), part(weights, "timesteps.")), text_dropout=0.0)
    nn.init.zeros_(decoder.null.embedding)  # the originals have none: what does not depend on a seed
    return decoder


def denoiser_sizes(weights: State) -> dict[str, Any]:
    """Arguments of `Denoiser`, but for the heads."""
    classes, width = _shape(weights, "code_embedding.weight", 2)
    codes = _shape(weights, "head.weight", 2)[0]
    if classes != codes + 1:
        raise ValueError(f"the denoiser reads {classes} classes and predicts {codes}, expected one fewer: the mask")
    return {"codebook_size": codes, "num_timesteps": _shape(weights, "blocks.0.norm_self.embedding.weight", 2)[0],
            "rows": _shape(weights, "row_embedding.weight", 2)[0],
            "max_columns": _shape(weights, "column_embedding.weight", 2)[0],
            "layers": _count(weights, "blocks."), "width": width,
            "feed_forward": _shape(weights, "blocks.0.feed.0.weight", 2)[0] // width,
            "condition_width": _shape(weights, "blocks.0.attend_text.key.weight", 2)[1]}


def build_text_encoder(weights: State) -> CLIPTextEncoder:
    """CLIP's text tower, in float32; as in the published training the padding is attended to."""
    vocabulary, width = _shape(weights, "token_embedding.weight", 2)
    length = _shape(weights, "positional_embedding", 2)[0]
    sizes = {"context_length": length, "vocab_size": vocabulary, "width": width, "heads": max(1, width // 64),
             "layers": _count(weights, "transformer.resblocks."), "quick_gelu": True}  # CLIP's heads are 64 wide
    encoder = CLIPTextEncoder(sizes, attend_padding=True, max_tokens=length)
    fill(encoder.tower, weights)
    return encoder


def build_transition(tables: State, codebook_size: int, num_timesteps: int) -> Transition:
    """The corruption whose tables are in the file, all of them compared.

    Raises:
        ValueError: if no linear schedule gives those tables.
    """
    cumulative = {letter: _table(tables, f"log_cumprod_{letter}t", num_timesteps + 1) for letter in "abc"}
    intact, masked = cumulative["a"].exp(), cumulative["c"].exp()
    schedule = LinearSchedule(num_timesteps, start=1 - _neat(-torch.expm1(cumulative["a"][0])),
                              end=_neat(intact[-2]))
    mask_start, mask_fraction = _neat(masked[0]), _neat(masked[-2])
    if mask_fraction == 0:
        transition = Uniform(codebook_size, schedule, original=True)
    elif cumulative["b"][:-1].max() < -30:
        transition = Mask(codebook_size, schedule, original=True)
    else:
        transition = MaskUniform(codebook_size, schedule, mask_fraction, mask_start, original=True)
    bar, t = transition.cumulative(schedule), torch.arange(1, num_timesteps + 1)
    step = transition.between(t - 1, t, bar)
    for i, letter in enumerate("abc"):
        _compare(f"log_cumprod_{letter}t", cumulative[letter], bar[i].roll(-1))  # there the identity stands last
        _compare(f"log_{letter}t", _table(tables, f"log_{letter}t", num_timesteps), step[i])
    _compare("log_1_min_ct", _table(tables, "log_1_min_ct", num_timesteps), 1 - step[2])
    _compare("log_1_min_cumprod_ct", _table(tables, "log_1_min_cumprod_ct", num_timesteps + 1), 1 - bar[2].roll(-1))
    return transition


def same_logarithms(table: Tensor, other: Tensor) -> bool:
    """Whether they differ by no more than float32 makes of averaging them at every step of a training."""
    return bool(((table == other) | ((table - other).abs() <= LOG_TOLERANCE)).all())  # log 0 is -inf in both


def check_order(forward: Tensor, backward: Tensor, rows: int, columns: int) -> None:
    """Raise unless token s = column * rows + row of a clip is cell (row, column) of the grid."""
    expected = torch.arange(rows * columns).view(rows, columns).T.flatten()
    if not torch.equal(forward, expected) or not torch.equal(backward, expected.argsort()):
        raise ValueError(f"first_stage_permuter orders the tokens of the {rows} x {columns} grid in another way than "
                         "column by column, the lowest band first")


def fill(module: nn.Module, weights: State) -> Any:
    """`module` with `weights`, in float32, in eval mode.

    Raises:
        ValueError: if a weight is missing, superfluous, of another shape or not finite.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.items()}
    for name in wanted | given:
        if wanted.get(name) != given.get(name):
            raise ValueError(f"the sizes do not fit together: {name} is {given.get(name, 'missing')}, expected "
                             f"{wanted.get(name, 'none')}")
    for name, value in weights.items():
        if not is_finite(value):
            raise ValueError(f"the weight {name} is not finite: the training diverged, or the file is damaged")
    # assign: the tensors of a mapped file are not copied
    module.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return module.eval()


def part(weights: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def _shape(weights: State, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in weights:
        raise ValueError(f"the weight {name} is missing")
    if weights[name].dim() != dimensions or 0 in weights[name].shape:
        raise ValueError(f"the weight {name} is {tuple(weights[name].shape)}, expected {dimensions} dimensions")
    return tuple(weights[name].shape)


def _count(weights: State, prefix: str) -> int:
    """How many modules of a list have weights: the numbers after `prefix`."""
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})


def _table(tables: State, name: str, length: int) -> Tensor:
    if _shape(tables, name, 1) != (length,):
        raise ValueError(f"the table {name} has {len(tables[name])} entries, the denoiser needs {length}")
    return tables[name].double()


def _neat(probability: Tensor) -> float:
    """The decimal number that was meant: the logarithm in the file keeps about 7 digits."""
    return float(f"{probability.item():.5g}")


def _compare(name: str, table: Tensor, computed: Tensor) -> None:
    expected = computed.clamp(min=1e-30).log()
    table = table.clamp(min=expected.min().item())  # log 0 is -inf there
    wrong = ((table - expected).abs() <= LOG_TOLERANCE).logical_not()  # NaN too
    if wrong.any():
        i = int(wrong.nonzero()[0])
        raise ValueError(f"the schedule is not the published linear one over K + 1 classes: {name}[{i}] is "
                         f"{table[i].item():.5g}, expected {expected[i].item():.5g}")
