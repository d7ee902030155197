"""Bundles: what users load. A folder that holds a whole system as plain data, nothing in it can be executed.

    bundle.yaml         format, classes and arguments of the parts, their fingerprints and facts, sampler, clip length;
                        of a frozen text encoder, which is a part of its decoder, the fingerprint alone
    model.safetensors   the weights, under the name of their part
    README.md           the model card
    ATTRIBUTION.md      if there is any: whose recordings the model learned from
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diffsound.autoregressive import Autoregressive
from diffsound.checked_yaml import read_plain_yaml
from diffsound.checkpoint import fingerprint, rebuild
from diffsound.diffusion import DiscreteDiffusion
from diffsound.plain_weights import SafeTensors, check_plain, check_weights, is_finite, memory_for
from diffsound.pretrained import ATTRIBUTION, CARD, DESCRIPTION, WEIGHTS, bundle_file
from diffsound.sidecar import build_sampler
from diffsound.text_encoder import BERTTextEncoder, CLIPTextEncoder
from diffsound.text_encoder.frozen import Frozen
from diffsound.token_sampler import TokenSampler
from diffsound.vocoder import GriffinLim, MelGAN
from diffsound.vqvae import VQVAE

if TYPE_CHECKING:
    from diffsound.text_to_sound import TextToSound

FORMAT = 1
_LARGEST_NUMBER = 2**24  # in a description, if the weights are not as many bytes
PARTS = {"decoder": DiscreteDiffusion | Autoregressive, "codec": VQVAE, "vocoder": MelGAN | GriffinLim}


class Bundle(NamedTuple):
    """The parts, in eval mode, frozen, on the CPU; how clips are drawn unless asked otherwise; facts of its making."""

    decoder: nn.Module
    codec: nn.Module
    vocoder: nn.Module
    sampler: TokenSampler
    columns: int
    fingerprints: dict[str, str]
    facts: dict[str, Any]


def fingerprints_of(decoder: nn.Module, codec: VQVAE, vocoder: nn.Module) -> dict[str, str]:
    """Of each part; a vocoder's must be taken before its weight normalisation is folded."""
    frozen = isinstance(decoder.text_encoder, Frozen)  # its weights are not among the decoder's
    return {"decoder": fingerprint(decoder), "codec": codec.whole_fingerprint, "vocoder": fingerprint(vocoder),
            **({"text_encoder": fingerprint(decoder.encoder)} if frozen else {})}


def write_bundle(model: TextToSound, folder: str | os.PathLike, card: str, facts: dict[str, Any] | None = None,
                 half: bool = False, attribution: str | None = None) -> None:
    """Write `model`, with its sampler and clip length, to a folder that must not exist yet.

    The folder appears when it is whole: it is written under a temporary name beside its place. It needs no other file:
    CLIP's weights are in it, wherever they came from.

    Args:
        model: built from its parts; a vocoder whose weights are folded cannot be written, nor can BERT.
        card: the text of its README.md.
        facts: where it comes from, as plain data.
        attribution: the text of its ATTRIBUTION.md; None writes none.
        half: store weights as float16. They are read back as float32, with fingerprints of their own: the decoder then
            is of tokens of the rounded codec.
    Raises:
        FileExistsError: if there is something at `folder`.
        ValueError: if the model cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists: choose another folder, or remove it")
    specs, fingerprints = _self_contained(model)
    parts, tensors = {}, {}
    for name in PARTS:
        module = getattr(model, name)
        parts[name] = {"fingerprint": fingerprints[name], "facts": dict(getattr(module, "facts", {})), **specs[name]}
        for prefix, owner in _owners(name, module).items():
            tensors |= {f"{prefix}.{key}": value.contiguous() for key, value in owner.state_dict().items()}
    if "text_encoder" in fingerprints:
        parts["text_encoder"] = {"fingerprint": fingerprints["text_encoder"]}
    if any(name.startswith("vocoder.") and name.endswith("weight_g") for name in tensors) != hasattr(
            model.vocoder, "generator"):
        raise ValueError("the vocoder's weight normalisation is folded: write the bundle before it is used")
    if unfit := [name for name, tensor in tensors.items() if not is_finite(tensor)]:
        raise ValueError(f"{unfit[0]} is not finite: the training diverged, or CLIP has no weights yet")
    if half:
        tensors = {name: _halved(name, tensor) for name, tensor in tensors.items()}
    description = {"format": FORMAT, "facts": (facts or {}) | ({"half": True} if half else {}),
                   "columns": model.columns, "sampler": model.sampler.spec, "parts": parts}
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    new = [parent for parent in folder.parents if not parent.exists()]  # the nearest first
    try:
        partial.mkdir(parents=True)
        save_file(tensors, partial / WEIGHTS)
        _write_description(partial, description)
        shutil.copymode(partial / DESCRIPTION, partial / WEIGHTS)  # which safetensors writes for its owner alone
        if half:
            _sign_again(partial, description)
        (partial / CARD).write_text(card, encoding="utf-8")
        if attribution is not None:
            (partial / ATTRIBUTION).write_text(attribution, encoding="utf-8")
        partial.rename(folder)
    except BaseException:  # Ctrl-C too leaves nothing behind
        shutil.rmtree(partial, ignore_errors=True)
        with contextlib.suppress(OSError):  # something else may be in them by now
            for parent in new:
                parent.rmdir()
        raise


def read_bundle(folder: str | os.PathLike) -> Bundle:
    """What `write_bundle` wrote, from that folder alone. Classes are looked up in the table of `diffsound.checkpoint`.

    Whether the weights are those that were written tells their fingerprint: `TextToSound.from_pretrained` compares it.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if it is no bundle, of another format, damaged, names a class that is not known, or one that would
            read other files.
    """
    folder = Path(folder)
    places = {name: bundle_file(folder, name) for name in (DESCRIPTION, WEIGHTS)}
    description = _description(places[DESCRIPTION])
    modules, stored = {}, places[WEIGHTS].stat().st_size
    try:
        _refuse_other_files(description)
        _refuse_sizes(description["parts"], max(_LARGEST_NUMBER, stored))
        with SafeTensors(places[WEIGHTS]) as file, _NoInitialisation():
            unused = set(file.keys())
            for name, kind in PARTS.items():
                part = description["parts"][name]
                spec = {key: part[key] for key in ("class_path", "init_args")}
                with memory_for(stored):
                    module = modules[name] = rebuild(spec)
                if not isinstance(module, kind):
                    raise ValueError(f"its {name} is a {type(module).__name__}")
                module.spec, module.facts = spec, part["facts"]  # as written: so fingerprints outlive new defaults
                for prefix, owner in _owners(name, module).items():
                    own = [key for key in unused if key.startswith(f"{prefix}.")]
                    weights = {key.removeprefix(f"{prefix}."): file[key] for key in own}
                    check_weights(owner, weights)
                    owner.load_state_dict(weights)
                    unused -= set(own)
                module.eval().requires_grad_(False)
        if isinstance(modules["decoder"].text_encoder, Frozen):
            modules["decoder"].encoder.spec = description["parts"]["decoder"]["init_args"]["text_encoder"]
        sampler = build_sampler(description["sampler"], "its")
    except Exception as error:  # wrong arguments can fail in any way
        raise ValueError(f"the bundle {folder} does not fit together: {' '.join(str(error).split())[:300]}") from error
    if unused:
        raise ValueError(f"the bundle {folder} has {len(unused)} weights of no part, {sorted(unused)[0]} among them")
    return Bundle(**modules, sampler=sampler, columns=description["columns"],
                  fingerprints={name: part["fingerprint"] for name, part in description["parts"].items()
                                if "fingerprint" in part},
                  facts=description["facts"])


def _halved(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if (half := tensor.half()).isinf().any() and not tensor.isinf().any():
        raise ValueError(f"{name} has numbers of up to {float(tensor.abs().max()):.3g}, float16 only of up to 65504: "
                         "write the bundle without half")
    return half


def _write_description(folder: Path, description: dict[str, Any]) -> None:
    (folder / DESCRIPTION).write_text(yaml.dump(description, Dumper=_Dumper, sort_keys=False, width=120),
                                      encoding="utf-8")


def _sign_again(folder: Path, description: dict[str, Any]) -> None:
    """Put into `description` the fingerprints of what is read back from `folder`, and write it there."""
    bundle = read_bundle(folder)
    for name, found in fingerprints_of(bundle.decoder, bundle.codec, bundle.vocoder).items():
        description["parts"][name]["fingerprint"] = found
    description["parts"]["decoder"]["facts"]["codec"] = bundle.codec.fingerprint
    _write_description(folder, description)


def _self_contained(model: TextToSound) -> tuple[dict[str, dict], dict[str, str]]:
    """Specs of the parts in which CLIP has sizes instead of a place to read weights from, and the fingerprints."""
    specs, encoder = {name: getattr(model, name).spec for name in PARTS}, model.decoder.encoder
    if isinstance(encoder, BERTTextEncoder):
        raise ValueError("a bundle cannot hold BERTTextEncoder, whose tokenizer is in files of its own: keep the "
                         "checkpoints, or train with CLIPTextEncoder or SmallTextEncoder")
    if not isinstance(encoder, CLIPTextEncoder) or encoder.sized_spec == encoder.spec:
        return specs, model.fingerprints
    decoder = specs["decoder"]
    specs["decoder"] = decoder | {"init_args": decoder["init_args"] | {"text_encoder": encoder.sized_spec}}
    fingerprints = model.fingerprints | {"decoder": fingerprint(model.decoder, specs["decoder"])}
    if "text_encoder" in fingerprints:
        fingerprints["text_encoder"] = fingerprint(encoder, encoder.sized_spec)
    return specs, fingerprints


def _refuse_other_files(value: Any) -> None:
    """Raise if a class in `value` would read files of its own, or download them."""
    if isinstance(value, list):
        for item in value:
            _refuse_other_files(item)
    if isinstance(value, dict):
        name, arguments = str(value.get("class_path")).rsplit(".", 1)[-1], value.get("init_args")
        if name == BERTTextEncoder.__name__:
            raise ValueError("it needs BERTTextEncoder, whose files are not in a bundle")
        if name == CLIPTextEncoder.__name__ and (not isinstance(arguments.get("model"), dict) or arguments.get("path")):
            raise ValueError("its CLIPTextEncoder would read weights from elsewhere: expected sizes as model, no path")
        for item in value.values():
            _refuse_other_files(item)


def _refuse_sizes(value: Any, most: int, name: str = "") -> None:
    """Raise if a whole number in `value` is larger than `most`, which no size is: some make lists of that length."""
    if isinstance(value, int) and abs(value) > most:
        raise ValueError(f"{name} is {str(value)[:40]}, expected at most {most}")
    if isinstance(value, list | dict):
        for key, item in value.items() if isinstance(value, dict) else ((name, item) for item in value):
            _refuse_sizes(item, most, key)


class _NoInitialisation(TorchFunctionMode):
    """Leaves out the random start of modules: at published size it takes longer than reading their weights."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _owners(name: str, module: nn.Module) -> dict[str, nn.Module]:
    """Whose state dicts make up a part: a frozen text encoder is not in that of its decoder."""
    encoder = getattr(module, "text_encoder", None)
    return {name: module} | ({"text_encoder": encoder.module} if isinstance(encoder, Frozen) else {})


class _Dumper(yaml.SafeDumper):
    """Writes what is used twice in full."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _description(path: Path) -> dict[str, Any]:
    description = read_plain_yaml(path)
    _check_kinds(f"{path}: the description", description,
                 {"format": int, "facts": dict, "columns": int, "sampler": dict, "parts": dict})
    if description["format"] != FORMAT:
        raise ValueError(f"{path} has format {description['format']}, this version reads format {FORMAT}")
    check_plain(description, f"{path}: the description")
    _check_kinds(f"{path}: sampler", description["sampler"], _SPEC)
    parts = dict(description["parts"])
    encoder = parts.pop("text_encoder", None)
    if encoder is not None:
        _check_kinds(f"{path}: parts.text_encoder", encoder, {"fingerprint": str})
    _check_kinds(f"{path}: parts", parts, dict.fromkeys(PARTS, dict))
    for name, part in parts.items():
        part = {"fingerprint": "", **part}  # may be left out: it is not compared then
        _check_kinds(f"{path}: parts.{name}", part, _SPEC | {"fingerprint": str, "facts": dict})
    return description


_SPEC = {"class_path": str, "init_args": dict}


def _check_kinds(what: str, value: Any, kinds: dict[str, type]) -> None:
    """Raise unless `value` has just these keys, with values of these types."""
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        found = ", ".join(map(str, value)) if isinstance(value, dict) else repr(value)
        raise ValueError(f"{what} does not fit a bundle: expected the keys {', '.join(kinds)}, found {found[:100]}")
    for key, kind in kinds.items():
        if type(value[key]) is not kind:
            raise ValueError(f"{what} does not fit a bundle: expected {key} of type {kind.__name__}, found "
                             f"{str(value[key])[:100]!r}")
