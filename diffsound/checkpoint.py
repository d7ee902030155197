"""Parts that can be rebuilt from their constructor arguments, and checkpoints that need no pickled code.

A checkpoint holds a `spec`, the nested `{"class_path": ..., "init_args": {...}}` of a module and all its parts, beside
the weights. Both are plain data: `torch.load(..., weights_only=True)` reads them, and class names are looked up among
the classes that inherit from `Rebuildable`, never imported by a name that a file gives.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import os
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from diffsound.plain_weights import check_plain, check_weights, memory_for, plain_state, read_torch

_CLASSES: dict[str, type[Rebuildable]] = {}
_OTHER_FILES = 2**33  # bytes that the weights of a frozen text encoder may have
# Importing these fills _CLASSES.
_PACKAGES = ("vqvae", "text_encoder", "diffusion", "autoregressive", "vocoder", "evaluation", "captioner")


def _public_name(cls: type) -> str:
    """`diffsound.vqvae.VQVAE` for a class in any file of diffsound/vqvae/, so that files can move."""
    parts = cls.__module__.split(".")
    return ".".join((parts[:2] if parts[0] == "diffsound" else parts) + [cls.__qualname__])


def _plain(value: Any) -> Any:
    """`value` as data made of dict, list, str and numbers."""
    if isinstance(value, Rebuildable):
        return value.spec
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written to a checkpoint: "
                    "pass numbers, text, or a class that inherits from diffsound.checkpoint.Rebuildable")


def _parameters(owners: list[type]) -> dict[str, inspect.Parameter]:
    """Of the constructor of owners[0], where `**options` stands for those of the class that it inherits from."""
    own = dict(list(inspect.signature(owners[0].__init__).parameters.items())[1:])
    options = [name for name, parameter in own.items() if parameter.kind is parameter.VAR_KEYWORD]
    if not options or len(owners) == 1:
        return own
    del own[options[0]]
    inherited = _parameters(owners[1:])
    return own | {name: p.replace(kind=p.KEYWORD_ONLY) for name, p in inherited.items() if name not in own}


def _signature(cls: type) -> inspect.Signature:
    """Of the constructor of `cls`, without self."""
    owners = [base for base in cls.__mro__ if "__init__" in vars(base) and issubclass(base, Rebuildable)]
    return inspect.Signature(list(_parameters(owners or [cls]).values()))


class Rebuildable:
    """Remembers its constructor arguments in `spec`. Put it first among the base classes.

    Those in `training_only` say how it is trained, not what it computes, and are left out.
    """

    spec: dict[str, Any]
    training_only: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _CLASSES[_public_name(cls)] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        obj = super().__new__(cls)
        try:
            bound = _signature(cls).bind(*args, **kwargs)
        except TypeError:  # a copy (spec arrives with its state), or wrong arguments (__init__ will say so)
            return obj
        bound.apply_defaults()
        init_args = {name: _plain(value) for name, value in bound.arguments.items() if name not in cls.training_only}
        obj.__dict__["spec"] = {"class_path": _public_name(cls), "init_args": init_args}
        return obj


def rebuild(spec: dict[str, Any], kind: type = object) -> Any:
    """The object that `spec` describes, with new weights.

    Raises:
        ValueError: if `spec` names a class that is not a known `Rebuildable`, or no `kind`, or an argument that it does
            not take; nothing is built then.
    """
    name, arguments = spec.get("class_path"), spec.get("init_args")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError("a class is described without class_path and init_args")
    if name not in _CLASSES:
        for package in _PACKAGES:
            importlib.import_module(f"diffsound.{package}")
    if name not in _CLASSES:
        raise ValueError(f"the checkpoint needs the class {name}, which is not known here: "
                         "import the module that defines it first, or install the version that wrote the checkpoint")
    cls = _CLASSES[name]
    if not issubclass(cls, kind):
        raise ValueError(f"expected a {kind.__name__}, found {name}")
    arguments = {key: _rebuild_value(value) for key, value in arguments.items()}
    if unknown := arguments.keys() - _signature(cls).parameters.keys():
        raise ValueError(f"{name} does not take {sorted(unknown)}: another version of the package wrote this; use that "
                         "version, or train again (make demo-train ARGS=--fresh)")
    return cls(**arguments)


def _rebuild_value(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"class_path", "init_args"}:
            return rebuild(value)
        return {key: _rebuild_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rebuild_value(item) for item in value]
    return value


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """Contents of a training checkpoint, without running any code it may hold.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not one of our checkpoints.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: train that stage first, or change the path in the recipe")
    try:
        checkpoint = read_torch(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a checkpoint that can be read safely ({error})") from error
    if not isinstance(checkpoint, dict) or "spec" not in checkpoint or "state_dict" not in checkpoint:
        raise ValueError(f"{path} is not a Diffsound checkpoint: expected the keys 'spec' and 'state_dict'")
    try:
        for key in ("spec", "facts"):
            check_plain(checkpoint.setdefault(key, {}), key)
            if not isinstance(checkpoint[key], dict):
                raise ValueError(f"{key} is no mapping")
        checkpoint["state_dict"] = plain_state(checkpoint["state_dict"])
    except ValueError as error:
        raise ValueError(f"{path} is not a Diffsound checkpoint: {error}") from error
    return checkpoint


def load_module(path: str | os.PathLike) -> nn.Module:
    """The module saved at `path`, whatever its class: rebuilt, weights loaded, in eval mode, frozen, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint, a part of it cannot be built, or its weights do not fit, are of another kind
            of number, or are not finite.
    """
    checkpoint = read_checkpoint(path)
    spec, state = checkpoint["spec"], checkpoint["state_dict"]
    try:
        with memory_for(sum(value.nbytes for value in state.values()), _OTHER_FILES if _reads_files(spec) else 0):
            module = rebuild(spec, nn.Module)
        check_weights(module, state)
        module.load_state_dict(state)
    except Exception as error:  # wrong arguments can fail in any way
        raise ValueError(f"{path}: {_one_line(error)}") from error
    module.facts = checkpoint["facts"]
    return module.eval().requires_grad_(False)


def _reads_files(spec: Any) -> bool:
    """Whether a part of it, a frozen text encoder, has weights in a file of its own."""
    if isinstance(spec, dict):
        return bool(spec.get("path") or spec.get("pretrained")) or any(map(_reads_files, spec.values()))
    return isinstance(spec, list) and any(map(_reads_files, spec))


def _one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:500]


class Checkpointed(Rebuildable):
    """Mix-in of the LightningModules: their checkpoints are enough to build them again.

    `facts` is what training notes beside the weights, as plain data: which codec the tokens came from, the steps done.
    The weights in `state_dict` are the averaged ones where the EMA callback was on.
    """

    facts: dict[str, Any] = {}

    @property
    def phase(self) -> str:
        """What metrics are logged under: "test" while the trainer tests, otherwise "val"."""
        return "test" if self._trainer is not None and self._trainer.testing else "val"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["spec"] = self.spec
        checkpoint["facts"] = {**self.facts, "steps": checkpoint["global_step"]}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse, in one line, a checkpoint that does not fit this module."""
        saved = checkpoint.get("spec", {}).get("class_path", "another program")
        if saved != self.spec["class_path"]:
            raise ValueError(f"the checkpoint was written by {saved}, but the recipe trains "
                             f"{self.spec['class_path']}: check ckpt_path or start_from")
        own = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        if "state_dict" not in checkpoint:  # FSDP has loaded the weights, and compared them
            return
        other = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
        for name in sorted(own.keys() | other.keys()):
            if own.get(name) != other.get(name):
                raise ValueError(f"the checkpoint does not fit the recipe: {name} is {other.get(name, 'missing')} in "
                                 f"the checkpoint and {own.get(name, 'missing')} in the recipe; use the recipe it was "
                                 "trained with, or start without ckpt_path and start_from")
        check_weights(self, checkpoint["state_dict"])

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike) -> Self:
        """The trained module: rebuilt from the checkpoint alone, in eval mode, frozen, on the CPU.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not a checkpoint of this class.
        """
        module = load_module(path)
        if not isinstance(module, cls):
            raise ValueError(f"{path} is a checkpoint of {type(module).__name__}, not of {cls.__name__}")
        return module


def fingerprint(module: nn.Module, spec: dict[str, Any] | None = None) -> str:
    """16 hex digits that change when a weight, a shape or a constructor argument of `module` does (or of `spec`)."""
    digest = hashlib.sha256(repr(module.spec if spec is None else spec).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
