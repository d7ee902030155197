"""Reading the published files: pickles of old library versions, of which nothing is run."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffsound.plain_weights import plain_state, refuse_bomb


class Inert:
    """Stands for a class that a published file names beside its weights. It keeps nothing and does nothing."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# Names that Lightning and the solver leave in their files: keys of `callbacks`, hyperparameters, losses and rates as
# numpy numbers. AttributeDict is filled item by item, so it must be a dict.
NAMED: dict[str, type] = dict.fromkeys((
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype",
), Inert) | {"pytorch_lightning.utilities.parsing.AttributeDict": dict}
# Entries that may hold tensors which are no weights.
TRAINING_STATE = {
    "a VQ-VAE": {"epoch", "global_step", "pytorch-lightning_version", "callbacks", "optimizer_states", "lr_schedulers",
                 "hparams_name", "hparams_type", "hyper_parameters", "native_amp_scaling_state", "amp_scaling_state",
                 "datamodule_hyper_parameters"},
    "a diffusion decoder": {"last_epoch", "last_iter", "clip_grad_norm", "optimizer_and_scheduler"},
    "a MelGAN generator": set(),
}
WEIGHTS = {"a VQ-VAE": ("state_dict",), "a diffusion decoder": ("model", "ema"), "a MelGAN generator": ()}
# How a file is told: the entry of its weights, if they are in one, and the beginning of a name there.
SIGNS = {
    "a VQ-VAE": ("state_dict", "encoder.conv_in."),
    "a diffusion decoder": ("model", "transformer.log_at"),
    "a MelGAN generator": (None, "model.1.weight_v"),
    "a MelGAN discriminator": (None, "model.disc_"),
    "an autoregressive decoder": ("state_dict", "transformer.tok_emb."),
}


def read_plain(path: str | os.PathLike) -> Any:
    """Contents of a file of `torch.save`, with stand-ins for the classes of NAMED, and no other than torch's own.

    Tensors stay in the file until they are used, where its format allows that (torch 1.6 and later).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or needs a class.
    """
    if not Path(path).is_file():
        raise FileNotFoundError("there is no such file")
    try:
        refuse_bomb(path)
        with torch.serialization.safe_globals([(kind, name) for name, kind in NAMED.items()]), \
                warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles by other Pythons: they are read or refused
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a broken pickle can fail in any way
        if match := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ValueError(f"the file needs {match[1]}, which could be any code: only tensors and plain data are "
                             "read") from error
        # torch's own message is long, and ends in advice to read the file without care
        reason = str(error).split("WeightsUnpickler error:")[-1].strip() or type(error).__name__
        cut = isinstance(error, EOFError) or re.search("central directory|zip|EOF|PytorchStreamReader", reason)
        raise ValueError(f"the file cannot be read: it is {'truncated' if cut else 'damaged'}, or none of torch.save "
                         f"({reason.splitlines()[0][:120]})") from error


def read_published(path: str | os.PathLike, kind: str) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """The state dicts of a published file by entry ("" if the file is one), and its other entries, which are not used.

    Args:
        kind: what it should be, a key of WEIGHTS.
    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or another file, or has tensors in an entry that is not known.
    """
    contents = read_plain(path)
    found = _kind(contents)
    if found != kind:
        raise ValueError(f"this is {found}, expected {kind}")
    if not WEIGHTS[kind]:
        return {"": plain_state(contents)}, []
    rest = {str(name): value for name, value in contents.items() if name not in WEIGHTS[kind]}
    for name, value in rest.items():
        if name not in TRAINING_STATE[kind] and _holds_tensors(value):
            raise ValueError(f"the entry {name} holds tensors and is not known: expected {', '.join(WEIGHTS[kind])} "
                             f"and training state ({', '.join(sorted(TRAINING_STATE[kind]))})")
    return {name: plain_state(contents[name]) for name in WEIGHTS[kind] if contents.get(name) is not None}, list(rest)


def _holds_tensors(value: Any) -> bool:
    waiting, seen = [value], set()  # a pickle may hold itself
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            return True
        if isinstance(value, dict | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            waiting += [*value, *value.values()] if isinstance(value, dict) else value
    return False


def _kind(contents: Any) -> str:
    if not isinstance(contents, dict):
        return f"a file with a {type(contents).__name__} in it"
    if "spec" in contents:
        return "a checkpoint of this package, which needs no import"
    for kind, (entry, sign) in SIGNS.items():
        state = contents if entry is None else contents.get(entry)
        if isinstance(state, dict) and any(str(name).startswith(sign) for name in state):
            return kind
    states = [contents.get(entry) for entry in ("state_dict", "model", "ema")]
    some = [str(name) for name in list(next((state for state in states if isinstance(state, dict)), contents))[:3]]
    return f"an unknown file ({', '.join(some) or 'empty'}{', ...' if some else ''})"
