"""The text tower of CLIP (arXiv:2103.00020), the published condition of Diffsound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffsound.plain_weights import is_finite, plain_state, read_safetensors, read_torch
from diffsound.text_encoder.module import TextEncoder

_PLAIN = {"context_length", "vocab_size", "width", "heads", "layers"}  # what defines a text tower like OpenAI's
_FILES = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")


class CLIPTextEncoder(TextEncoder):
    """Last layer of CLIP's text transformer at every token, each embedding scaled to length 1, no projection.

    Args:
        model: a model name of open_clip. OpenAI's weights need QuickGELU, so `ViT-B-32-quickgelu`. Or the sizes
            {context_length, vocab_size, width, heads, layers, quick_gelu, embed_dim (if `pooled`)}: without a `path`
            all weights are NaN then, until a bundle brings them, and no text can be read before.
        path: weights on this machine: a .safetensors or .pt state dict of open_clip, or a folder from the Hugging Face
            hub (open_clip's or transformers' layout). The image tower is skipped.
        pretrained: where open_clip downloads weights if there is no `path`: one of its tags, or `hf-hub:owner/name`.
        attend_padding: pad every text to `max_tokens` with id 0 and pass the padding on as if it were text. The
            published models were trained so.
        pooled: one vector a text instead, as in the published autoregressive baseline: the last layer at the end token,
            projected, not scaled.
    Raises:
        ValueError: if there are no weights, or if they do not fit `model`.
    """

    mask_token = "mask"  # one word piece; "[MASK]" would be three, and ten labels no longer fit

    def __init__(self, model: str | dict[str, int | bool] = "ViT-B-32-quickgelu", path: str | None = None,
                 pretrained: str | None = "openai", trainable: bool = False, attend_padding: bool = False,
                 max_tokens: int = 77, cache_size: int = 8192, pooled: bool = False) -> None:
        import open_clip
        from open_clip.transformer import QuickGELU, TextTransformer

        config = _sizes(model) if isinstance(model, dict) else open_clip.get_model_config(model)
        if config is None or not set(config["text_cfg"]) <= _PLAIN:
            raise ValueError(f"text_encoder.init_args.model {model!r} is not an open_clip model with a plain "
                             "CLIP text tower: "
                             "use one like 'ViT-B-32-quickgelu', 'ViT-B-32' or 'ViT-L-14-quickgelu'")
        if path:
            file = _local_file(path)
        else:
            file = None if isinstance(model, dict) else _download(model, pretrained)
        activation = QuickGELU if config.get("quick_gelu") else torch.nn.GELU
        if pooled and not config["embed_dim"]:
            raise ValueError("text_encoder.init_args.pooled needs embed_dim, the width of the projection, in the sizes "
                             "text_encoder.init_args.model")
        projection = config["embed_dim"] if pooled else None
        tower = TextTransformer(**config["text_cfg"], output_dim=projection, act_layer=activation)
        if not 2 <= max_tokens <= tower.context_length:
            raise ValueError(f"text_encoder.init_args.max_tokens {max_tokens} must be in 2..{tower.context_length} "
                             f"for {model}")
        super().__init__(projection or tower.width, max_tokens, trainable, cache_size)
        self.attend_padding, self.pooled = attend_padding, pooled
        self.sizes = config["text_cfg"] | {"quick_gelu": bool(config.get("quick_gelu"))}
        if pooled:
            self.sizes["embed_dim"] = projection
        self._waits = file is None  # for weights
        self.tokenizer = open_clip.SimpleTokenizer()
        self.tower = tower
        weights = _text_weights(file, pooled) if file else _no_weights(tower)
        if file and (unfit := [name for name, value in weights.items() if not is_finite(value)]):
            raise ValueError(f"{file} has NaN or infinite weights, {unfit[0]} among them")
        try:
            self.tower.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{file} does not fit text_encoder.init_args.model {model!r}: "
                             f"{' '.join(str(error).split())[:300]}") from error
        self.requires_grad_(trainable)
        self.train(trainable)

    @property
    def sized_spec(self) -> dict[str, Any]:
        """`spec` without a place to read weights from: sizes alone, for those who bring the weights."""
        arguments = self.spec["init_args"]
        if isinstance(arguments["model"], dict) and not arguments["path"]:
            return self.spec
        return self.spec | {"init_args": arguments | {"model": self.sizes, "path": None, "pretrained": None}}

    def tokenize(self, text: str) -> list[int]:
        ids = [self.tokenizer.sot_token_id, *self.tokenizer.encode(text), self.tokenizer.eot_token_id]
        return ids + [0] * (self.max_tokens - len(ids)) if self.attend_padding else ids

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        if self._waits:
            if self.tower.positional_embedding.isnan().any():
                raise ValueError("CLIP has sizes but no weights: set text_encoder.init_args.path to a file of them")
            self._waits = False
        length = ids.shape[1]
        x = self.tower.token_embedding(ids) + self.tower.positional_embedding[:length]
        # Causal: what comes before the padding never sees it.
        x = self.tower.transformer(x, attn_mask=self.tower.attn_mask[:length, :length])
        x = self.tower.ln_final(x)
        if self.pooled:
            end = ids.argmax(-1)  # the end token has the highest id
            return (x[torch.arange(len(x), device=x.device), end] @ self.tower.text_projection)[:, None]
        return F.normalize(x, dim=-1)


def _sizes(model: dict[str, int | bool]) -> dict:
    """Sizes in the form of open_clip's configurations."""
    others = {name: model.get(name) for name in ("quick_gelu", "embed_dim")}
    return {"text_cfg": {name: value for name, value in model.items() if name not in others}, **others}


def _no_weights(tower: torch.nn.Module) -> dict[str, Tensor]:
    return {name: torch.full_like(value, math.nan) for name, value in tower.state_dict().items()}


def _local_file(path: str) -> Path:
    """The file of weights at `path`, which may be a folder."""
    place = Path(path).expanduser()
    for file in [place / name for name in _FILES] if place.is_dir() else [place]:
        if file.is_file():
            return file
    raise ValueError(f"no CLIP weights at text_encoder.init_args.path = {path}: give a .safetensors or .pt state dict, "
                     f"or a folder with one of {', '.join(_FILES)}")


def _download(model: str, pretrained: str | None) -> Path:
    """open_clip's weights for `model`, from its download cache or the network."""
    from open_clip import pretrained as hub

    where = "set text_encoder.init_args.path to a file of CLIP weights on this machine"
    if pretrained is None:
        raise ValueError(f"CLIP needs weights: {where}, or text_encoder.init_args.pretrained to a tag of open_clip")
    if pretrained.startswith("hf-hub:"):
        config = {"hf_hub": pretrained.removeprefix("hf-hub:") + "/"}
    else:
        config = hub.get_pretrained_cfg(model, pretrained)
        if not config:
            raise ValueError(f"text_encoder.init_args.pretrained {pretrained!r} is none of open_clip's tags for "
                             f"{model}: {', '.join(hub.list_pretrained_tags_by_model(model)) or 'it has none'}")
    try:
        return Path(hub.download_pretrained(config))
    except (OSError, RuntimeError) as error:
        source = config.get("hf_hub") or config.get("url")
        raise ValueError(f"the weights of CLIP {model} could not be downloaded from {source} ({type(error).__name__}): "
                         f"fetch its open_clip_model.safetensors elsewhere and {where}") from error


def _text_weights(file: Path, projection: bool) -> dict[str, Tensor]:
    """State dict of the text tower in `file`, with its `projection` or not, in float32, whichever library wrote it."""
    if file.suffix == ".safetensors":
        state = read_safetensors(file)
    else:
        try:
            state = read_torch(file)
            state = plain_state(state.get("state_dict", state) if isinstance(state, dict) else state)
        except ValueError as error:
            raise ValueError(f"{file} is not a plain state dict (OpenAI's own .pt files are programs): give "
                             "text_encoder.init_args.path open_clip's .safetensors of the same model") from error
    for prefix in ("module.", "text.", "text_model."):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    if "final_layer_norm.weight" in state:
        state = _from_transformers(state)
    prefixes = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.")
    if projection:
        prefixes += ("text_projection",)
    return {name: value.float() for name, value in state.items() if name.startswith(prefixes)}


def _from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of transformers' `CLIPTextModel`, with projection or not, under open_clip's names."""
    names = {"embeddings.token_embedding.": "token_embedding.", "final_layer_norm.": "ln_final.",
             "embeddings.position_embedding.weight": "positional_embedding",
             "encoder.layers.": "transformer.resblocks.", ".layer_norm1.": ".ln_1.", ".layer_norm2.": ".ln_2.",
             ".mlp.fc1.": ".mlp.c_fc.", ".mlp.fc2.": ".mlp.c_proj.", ".self_attn.out_proj.": ".attn.out_proj.",
             ".self_attn.q_proj.": ".attn.in_proj_"}
    result = {}
    for name, value in state.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue  # stacked under q_proj
        if ".q_proj." in name:
            value = torch.cat([state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"])
        if name == "text_projection.weight":
            name, value = "text_projection", value.T
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = value
    return result
