"""Bundles: what users load. A folder that holds a whole system as plain data, nothing in it can be executed.

    bundle.yaml         format, classes and arguments of the parts, their fingerprints and facts, sampler, clip length
    model.safetensors   the weights, under the name of their part
    README.md           the model card
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from diffsound.checkpoint import Rebuildable, rebuild
from diffsound.text_encoder.frozen import Frozen

if TYPE_CHECKING:
    from diffsound.text_to_sound import TextToSound

FORMAT = 1
PARTS = ("decoder", "codec", "vocoder")
DESCRIPTION, WEIGHTS, CARD = "bundle.yaml", "model.safetensors", "README.md"


class Bundle(NamedTuple):
    """The parts, in eval mode, frozen, on the CPU; how clips are drawn unless asked otherwise; facts of its making."""

    decoder: nn.Module
    codec: nn.Module
    vocoder: nn.Module
    sampler: Rebuildable
    columns: int
    fingerprints: dict[str, str]
    facts: dict[str, Any]


def write_bundle(model: TextToSound, folder: str | os.PathLike, card: str, facts: dict[str, Any] | None = None) -> None:
    """Write `model`, with its sampler and clip length, to a folder that must not exist yet.

    The folder appears when it is whole: it is written under a temporary name beside its place.

    Args:
        model: built from its parts; a vocoder whose weights are folded cannot be written.
        card: the text of its README.md.
        facts: where it comes from, as plain data.
    Raises:
        FileExistsError: if there is something at `folder`.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists: choose another folder, or remove it")
    parts, tensors = {}, {}
    for name in PARTS:
        module = getattr(model, name)
        facts_of_part = dict(getattr(module, "facts", {}))
        parts[name] = {"fingerprint": model.fingerprints[name], "facts": facts_of_part, **module.spec}
        for prefix, owner in _owners(name, module).items():
            tensors |= {f"{prefix}.{key}": value.contiguous() for key, value in owner.state_dict().items()}
    if any(name.startswith("vocoder.") and name.endswith("weight_g") for name in tensors) != hasattr(
            model.vocoder, "generator"):
        raise ValueError("the vocoder's weight normalisation is folded: write the bundle before it is used")
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        save_file(tensors, partial / WEIGHTS)
        description = {"format": FORMAT, "facts": facts or {}, "columns": model.columns,
                       "sampler": model.sampler.spec, "parts": parts}
        (partial / DESCRIPTION).write_text(yaml.safe_dump(description, sort_keys=False, width=120), encoding="utf-8")
        (partial / CARD).write_text(card, encoding="utf-8")
        partial.rename(folder)
    except BaseException:  # Ctrl-C too leaves nothing behind
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_bundle(folder: str | os.PathLike) -> Bundle:
    """What `write_bundle` wrote. Classes are looked up in the table of `diffsound.checkpoint`.

    Whether the weights are those that were written tells their fingerprint, which `TextToSound.from_bundle` compares.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if it is no bundle, of another format, damaged, or names a class that is not known.
    """
    folder = Path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no bundle: there is no {name} in it")
    description = _description(folder / DESCRIPTION)
    modules = {}
    try:
        with safe_open(folder / WEIGHTS, "pt") as file, _NoInitialisation():
            unused = set(file.keys())
            for name in PARTS:
                part = description["parts"][name]
                spec = {key: part[key] for key in ("class_path", "init_args")}
                module = modules[name] = rebuild(spec)
                module.spec, module.facts = spec, part["facts"]  # as written: so fingerprints outlive new defaults
                for prefix, owner in _owners(name, module).items():
                    own = [key for key in unused if key.startswith(f"{prefix}.")]
                    owner.load_state_dict({key.removeprefix(f"{prefix}."): file.get_tensor(key) for key in own})
                    unused -= set(own)
                module.eval().requires_grad_(False)
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"the bundle {folder} does not fit together: {' '.join(str(error).split())[:300]}") from error
    if unused:
        raise ValueError(f"the bundle {folder} has {len(unused)} weights of no part, {sorted(unused)[0]} among them")
    return Bundle(**modules, sampler=rebuild(description["sampler"]), columns=description["columns"],
                  fingerprints={name: part["fingerprint"] for name, part in description["parts"].items()
                                if "fingerprint" in part},
                  facts=description["facts"])


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


def _description(path: Path) -> dict[str, Any]:
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML ({str(error).splitlines()[0]})") from error
    wanted = {"format", "facts", "columns", "sampler", "parts"}
    if not isinstance(description, dict) or not wanted <= description.keys():
        raise ValueError(f"{path} does not describe a bundle: expected the keys {', '.join(sorted(wanted))}")
    if description["format"] != FORMAT:
        raise ValueError(f"{path} has format {description['format']}, this version reads format {FORMAT}")
    return description

