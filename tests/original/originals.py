"""Files as the original Diffsound wrote them, with random weights of any size."""

from __future__ import annotations

import math
import sys
import types
from collections import OrderedDict
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from diffsound.vocoder import Generator
from diffsound.vqvae import Codebook, Decoder, Encoder

# Small, with everything that the published ones have; CLIP keeps its vocabulary, so that it reads texts.
CODEC = {"channels": 8, "channel_multipliers": [1, 1, 1, 1, 2], "res_blocks": 1, "z_channels": 8}
SMALL = {"codes": 16, "embed_dim": 6, "steps": 12, "rows": 5, "columns": 4, "layers": 2, "width": 32, "clip_width": 64,
         "clip_layers": 1, "clip_length": 77, "vocabulary": 49408}
PUBLISHED = {"codes": 256, "steps": 100, "rows": 5, "columns": 53, "layers": 19, "width": 1024, "clip_width": 512,
             "clip_layers": 12, "clip_length": 77, "vocabulary": 49408}
MELGAN = {"n_mels": 80, "channels": 2, "residual_layers": 1, "ratios": (8, 8, 2, 2)}

Shapes = dict[str, list[int]]


def diffusion_shapes(codes: int, steps: int, rows: int, columns: int, layers: int, width: int, clip_width: int,
                     clip_layers: int, clip_length: int, vocabulary: int, embed_dim: int = 0) -> Shapes:
    """Names and shapes of the diffusion module, without the schedule."""
    def linear(name: str, out: int, inner: int) -> Shapes:
        return {f"{name}.weight": [out, inner], f"{name}.bias": [out]}

    def norm(name: str, size: int) -> Shapes:
        return {f"{name}.weight": [size], f"{name}.bias": [size]}

    shapes = {"Lt_history": [steps], "Lt_count": [steps],
              "condition_emb.positional_embedding": [clip_length, clip_width],
              "condition_emb.text_projection": [clip_width, clip_width],
              "condition_emb.token_embedding.weight": [vocabulary, clip_width],
              "transformer.content_emb.emb.weight": [codes + 1, width],
              "transformer.content_emb.height_emb.weight": [rows, width],
              "transformer.content_emb.width_emb.weight": [columns, width],
              **norm("condition_emb.ln_final", clip_width), **norm("transformer.to_logits.0", width),
              **linear("transformer.to_logits.1", codes, width)}
    for i in range(clip_layers):
        block = f"condition_emb.transformer.resblocks.{i}"
        shapes |= {f"{block}.attn.in_proj_weight": [3 * clip_width, clip_width],
                   f"{block}.attn.in_proj_bias": [3 * clip_width],
                   **linear(f"{block}.attn.out_proj", clip_width, clip_width),
                   **norm(f"{block}.ln_1", clip_width), **norm(f"{block}.ln_2", clip_width),
                   **linear(f"{block}.mlp.c_fc", 4 * clip_width, clip_width),
                   **linear(f"{block}.mlp.c_proj", clip_width, 4 * clip_width)}
    for i in range(layers):
        block = f"transformer.blocks.{i}"
        for name in ("ln1", "ln1_1"):
            shapes[f"{block}.{name}.emb.weight"] = [steps, width]
            shapes |= linear(f"{block}.{name}.linear", 2 * width, width)
        for name in ("key", "query", "value", "proj"):
            from_text = name in ("key", "value")
            shapes |= {**linear(f"{block}.attn1.{name}", width, width),
                       **linear(f"{block}.attn2.{name}", width, clip_width if from_text else width)}
        shapes |= {f"{block}.attn2.mask": [1, 1, rows * columns, rows * columns], **norm(f"{block}.ln2", width),
                   **linear(f"{block}.mlp.0", 4 * width, width), **linear(f"{block}.mlp.2", width, 4 * width)}
    return shapes


def schedule(codes: int, steps: int, masked: float = 0.9) -> dict[str, Tensor]:
    """The tables in a file, from section 4 of the paper and the code's own indices: t steps done stand at t - 1."""
    def one_minus(log: Tensor) -> Tensor:
        return torch.log(1 - log.exp() + 1e-40)

    att = torch.cat([torch.ones(1), torch.linspace(0.99999, 9e-6, steps, dtype=torch.float64)])
    ctt = torch.cat([torch.zeros(1), torch.linspace(9e-6, masked, steps, dtype=torch.float64)])
    at, ct = att[1:] / att[:-1], 1 - (1 - ctt[1:]) / (1 - ctt[:-1])
    bt, btt = (1 - at - ct) / (codes + 1), (1 - att - ctt).clamp(min=0) / (codes + 1)
    tables = {"log_at": at, "log_bt": bt, "log_ct": ct, "log_cumprod_at": att.roll(-1),
              "log_cumprod_bt": btt.roll(-1), "log_cumprod_ct": ctt.roll(-1)}
    tables = {name: table.log() for name, table in tables.items()}
    tables |= {"log_1_min_ct": one_minus(tables["log_ct"]), "log_1_min_cumprod_ct": one_minus(tables["log_cumprod_ct"])}
    return {name: table.float() for name, table in tables.items()}


def averaged(state: dict[str, Tensor], steps: int = 3000) -> dict[str, Tensor]:
    """The moving average of what never changed, as the original computes it: not quite the same in float32."""
    average = {name: value.clone() for name, value in state.items()}
    for _ in range(steps):
        average = {name: value * 0.99 + state[name] * (1 - 0.99) for name, value in average.items()}
    return average


def orders(rows: int, columns: int) -> dict[str, Tensor]:
    forward = torch.tensor([row * columns + column for column in range(columns) for row in range(rows)])
    return {"forward_shuffle_idx": forward, "backward_shuffle_idx": forward.argsort()}


def random(shapes: Shapes, scale: float = 0.3) -> dict[str, Tensor]:
    """Random weights; those of CLIP's linear maps in float16, as they are in the files."""
    return {name: torch.empty(shape).uniform_(-scale, scale).to(dtype(name)) for name, shape in shapes.items()}


def dtype(name: str) -> torch.dtype:
    half = "condition_emb" in name and ("attn" in name or "mlp" in name or "text_projection" in name)
    return torch.float16 if half else torch.float32


def codec_state(codes: int, embed_dim: int) -> dict[str, Tensor]:
    codec = nn.ModuleDict({"encoder": Encoder(**CODEC), "decoder": Decoder(**CODEC),
                           "quantize": Codebook(codes, embed_dim),
                           "quant_conv": nn.Conv2d(CODEC["z_channels"], embed_dim, 1),
                           "post_quant_conv": nn.Conv2d(embed_dim, CODEC["z_channels"], 1)})
    return codec.state_dict()


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def original_states(**changes: int) -> dict[str, dict[str, Tensor]]:
    """State dicts of a small system: "codec", "module" (diffusion), "ema" (of the module), "vocoder"."""
    sizes = SMALL | changes
    grid = sizes["rows"] * sizes["columns"]
    mask = torch.ones(1, 1, grid, grid).tril()
    states = {"codec": codec_state(sizes["codes"], sizes["embed_dim"]), "vocoder": Generator(**MELGAN).state_dict()}
    tables = schedule(sizes["codes"], sizes["steps"])
    for name in ("module", "ema"):
        module = random(diffusion_shapes(**sizes)) | (tables if name == "module" else averaged(tables))
        states[name] = {key: mask.clone() if key.endswith("mask") else value for key, value in module.items()}
    states["order"] = orders(sizes["rows"], sizes["columns"])
    return states


class ModelCheckpoint:
    """Lightning 1.2 keys the states of its callbacks by class."""


ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"


def solver(states: dict[str, dict[str, Tensor]]) -> dict:
    """The contents of a diffusion file."""
    model = OrderedDict(prefixed("content_codec.", states["codec"]) | prefixed("transformer.", states["module"])
                        | prefixed("first_stage_permuter.", states["order"]))
    return {"last_epoch": 299, "last_iter": 115200, "model": model, "ema": OrderedDict(states["ema"]),
            "clip_grad_norm": {"start_iteration": 0}, "optimizer_and_scheduler": {"none": {"optimizer": {
                "state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 3e-6, "params": [0]}]},
                "scheduler": {"best": math.inf}}}}


def lightning(codec: dict[str, Tensor]) -> dict:
    """The contents of a VQ-VAE file."""
    losses = {"loss.discriminator.main.0.weight": torch.zeros(4, 1, 4, 4),
              "loss.discriminator.main.3.num_batches_tracked": torch.tensor(3),
              "loss.perceptual_loss.lin0.model.1.weight": torch.zeros(1, 4, 1, 1)}
    return {"epoch": 3, "global_step": 7, "pytorch-lightning_version": "1.2.10",
            "state_dict": OrderedDict(codec | losses),
            "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(0.5), "best_model_path": "a.ckpt"}},
            "optimizer_states": [{"state": {}, "param_groups": []}], "lr_schedulers": []}


def save(contents: object, path: Path, zipped: bool = True) -> Path:
    """torch.save, where classes need not exist under the names that they give."""
    module = types.ModuleType(ModelCheckpoint.__module__)
    module.ModelCheckpoint = ModelCheckpoint
    with mock.patch.dict(sys.modules, {module.__name__: module}):
        torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    return path


def write(folder: Path, states: dict[str, dict[str, Tensor]], zipped: bool = True) -> dict[str, Path]:
    """The three files by flag."""
    return {"--vqvae": save(lightning(states["codec"]), folder / "last.ckpt", zipped),
            "--diffusion": save(solver(states), folder / "diffsound.pth", zipped),
            "--vocoder": save(OrderedDict(states["vocoder"]), folder / "best_netG.pt", zipped)}
